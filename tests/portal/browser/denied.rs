//! Pages of which somebody may see nothing: they say so, and what right is missing.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use serde_json::json;

use super::{chromium::ABSENCE, demo_with, driver::browse_with};
use crate::scene::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_a_page_is_told_which_right_is_missing() {
    let stage = Stage::shared().await;
    let place = stage.toystore("denied").await;
    place.publish("owner1", "toys", &json!({})).await;
    let account = ServiceAccount {
        metadata: kube::api::ObjectMeta { name: Some("nobody".into()), ..Default::default() },
        ..Default::default()
    };
    place.api::<ServiceAccount>().create(&PostParams::default(), &account).await.unwrap();
    let nobody = stage.plane.token_for("denied", "nobody", &[], 3600).await.unwrap();
    let (_home, site) = demo_with(stage, &[("nobody", nobody)], &[]).await;
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
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
