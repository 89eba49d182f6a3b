//! Pages of which somebody may see nothing: they say so, and what right is missing.

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::api::PostParams;
use serde_json::json;

use super::{chromium::ABSENCE, demo_with, driver::browse_with};
use crate::scene::{Place, Stage};

/// An account, and its token.
async fn account(place: &Place<'_>, name: &'static str) -> (&'static str, String) {
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    place.api::<ServiceAccount>().create(&PostParams::default(), &account).await.unwrap();
    (name, place.stage.plane.token_for(&place.namespace, name, &[], 3600).await.unwrap())
}

/// Lets an account decide about the keys of its namespace, and do nothing else.
async fn let_decide(place: &Place<'_>, name: &str) {
    let decides =
        json!({"apiGroups": ["devportal.kuadrant.io"], "resources": ["apikeys/status"], "verbs": ["patch"]});
    let role: Role = serde_json::from_value(json!({"metadata": {"name": name}, "rules": [decides]})).unwrap();
    place.api::<Role>().create(&PostParams::default(), &role).await.unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": place.namespace}],
    }))
    .unwrap();
    place.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_a_page_is_told_which_right_is_missing() {
    let stage = Stage::shared().await;
    let place = stage.toystore("denied").await;
    place.publish("owner1", "toys", &json!({})).await;
    let others = [account(&place, "nobody").await, account(&place, "decider").await];
    let_decide(&place, "decider").await;
    let (_home, site) = demo_with(stage, &others, &[]).await;
    let products =
        ("You don't have permission to view API products", "list apiproducts.devportal.kuadrant.io");
    let keys =
        ("You don't have permission to approve API keys", "patch apikeys.devportal.kuadrant.io/status");
    // The lists are refused.
    let refusals = (&[][..], &["403"][..]);
    let ran = browse_with("denied", &site, refusals, async |browser| {
        for (who, page, (title, right)) in [
            ("nobody", "/", products),
            ("nobody", "/products", products),
            ("nobody", "/approvals", keys),
            ("alice", "/approvals", keys),
            ("alice", "/approvals?namespace=denied&status=Pending", keys),
        ] {
            browser.open_as(who, page).await;
            browser.shows(title).await;
            browser.shows(right).await;
            assert_eq!(browser.value("document.querySelectorAll('h1').length").await, 1, "{who}: {page}");
        }
        // Who may decide, and has nothing to decide about, is told that.
        browser.open_as("owner2", "/approvals?namespace=denied").await;
        browser.shows("No API keys match the selected filters.").await;
        browser.open_as("decider", "/approvals").await;
        browser.shows("No API keys found.").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
