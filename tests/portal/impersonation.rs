//! `--identity=impersonate`: sessions speak through the portal's account, with names that are nobody else's.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{Api, api::PostParams};
use portolan_core::api::devportal::APIProduct;
use portolan_testkit::{
    ServiceAccountSetup,
    login::{LoginProvider, Person},
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    login::{come_back, csrf, sign_in},
    scene::Stage,
    site::{Caller, ORIGIN, Site},
};

/// Groups that the account may impersonate, as values of the chart name them.
const GROUPS: [&str; 3] = ["api-consumers", "api-owners", "api-Ä, Berlin"];

/// A portal that impersonates, and an issuer that the API server does not know.
pub struct Masked {
    site: Site,
    login: LoginProvider,
    pub kubeconfig: String,
}

pub async fn masked() -> &'static Masked {
    static SHARED: OnceCell<Masked> = OnceCell::const_new();
    let start = || async {
        let stage = Stage::shared().await;
        let setup = ServiceAccountSetup::new("portal", "impersonation");
        let kubeconfig = setup.create(&stage.plane).await.unwrap();
        let role: ClusterRole = serde_json::from_value(json!({
            "metadata": {"name": "portal-impersonate"},
            "rules": [
                {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
                {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": GROUPS},
            ],
        }))
        .unwrap();
        Api::all(stage.client()).create(&PostParams::default(), &role).await.unwrap();
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "portal-impersonate"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "portal-impersonate"},
            "subjects": [{"kind": "ServiceAccount", "name": "portal", "namespace": "impersonation"}],
        }))
        .unwrap();
        Api::all(stage.client()).create(&PostParams::default(), &binding).await.unwrap();
        let people = [
            Person::new("alice", &["api-consumers", "system:masters", "platform"]),
            Person::new("owner9", &["api-owners"]),
            Person::new("admin9", &["api-admins"]),
            Person::new("müller", &["api-consumers", "api-Ä, Berlin", "api-owners ", "api-owners\t"]),
            Person::new("owner9 ", &["api-owners"]),
            Person::new("system:admin", &["api-owners"]),
            Person::new("system:serviceaccount:kube-system:x", &["api-owners"]),
        ];
        let login = LoginProvider::start(&people).unwrap();
        let flags = ["--identity=impersonate", "--groups-prefix=api-"];
        let site = Site::start(&kubeconfig, Some(&login), &flags).await;
        Masked { site, login, kubeconfig }
    };
    SHARED.get_or_init(start).await
}

/// Somebody who has signed in, with what changes need.
async fn signed_in(masked: &Masked, person: &str) -> String {
    let (jar, _) = sign_in(&masked.login, &masked.site, person, "/").await;
    let token = csrf(&masked.site, &jar).await;
    format!("{}x-csrf-token: {token}\r\norigin: {ORIGIN}\r\n", jar.header())
}

#[tokio::test]
async fn a_session_has_a_name_with_a_prefix_and_the_groups_that_count() {
    let (stage, masked) = (Stage::shared().await, masked().await);
    let place = stage.toystore("masked").await;
    place.publish("owner1", "toys", &json!({})).await;
    let alice = masked.site.with(&signed_in(masked, "alice").await).get("/api/me").await.json();
    assert_eq!(alice["user"], "oidc:alice", "{alice}");
    let groups = alice["groups"].to_string();
    assert!(groups.contains("api-consumers"), "{alice}");
    assert!(!groups.contains("system:masters") && !groups.contains("platform"), "{alice}");
    assert_eq!(
        (&alice["can"]["createProducts"], &alice["can"]["listRoutes"]),
        (&json!(false), &json!(false))
    );

    let by = masked.site.with(&signed_in(masked, "alice").await);
    let body = json!({"apiProductName": "toys", "namespace": "masked", "planTier": "gold", "userEmail": "alice@example.com"});
    let asked = by.post("/api/kuadrant/requests", &body).await;
    assert_eq!(asked.status, 201, "{}", asked.text);
    assert_eq!(asked.json()["spec"]["requestedBy"]["userId"], "oidc:alice");
    // She is not the alice of the cluster, who has no key here.
    let alice = stage.portal.by(&stage.login, "alice");
    assert!(alice.names("/api/kuadrant/requests/my?namespace=masked").await.is_empty());
    let product = place.product("hers", &json!({}));
    Caller::is_problem(&by.post("/api/kuadrant/apiproducts", &product).await, 403);

    let owner = masked.site.with(&signed_in(masked, "owner9").await);
    let made = owner.post("/api/kuadrant/apiproducts", &place.product("theirs", &json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let stored = place.api::<APIProduct>().get("theirs").await.unwrap();
    assert_eq!(stored.metadata.annotations.unwrap()["backstage.io/owner"], "oidc:owner9");
}

#[tokio::test]
async fn nobody_of_the_system_and_no_group_that_was_not_named_is_impersonated() {
    let masked = masked().await;
    for (person, why) in [
        ("system:admin", "it begins with system:"),
        ("system:serviceaccount:kube-system:x", "it begins with system:"),
        ("owner9 ", "it begins or ends with a blank"),
    ] {
        let (jar, done) = come_back(&masked.login, &masked.site, person, "/").await;
        assert_eq!(done.status, 422, "{person}: {}", done.text);
        assert!(done.text.contains(why), "{person}: {}", done.text);
        let me = masked.site.with(&jar.header()).get("/api/me").await;
        Caller::is_problem(&me, 401);
        let list = masked.site.with(&jar.header()).get("/api/kuadrant/apiproducts").await;
        assert_eq!(list.status, 401, "{person}: {}", list.text);
    }
    // The prefix lets this group through, and RBAC of the API server does not.
    let (jar, _) = sign_in(&masked.login, &masked.site, "admin9", "/").await;
    let me = masked.site.with(&jar.header()).get("/api/me").await;
    Caller::is_problem(&me, 403);
    assert!(me.text.contains("impersonate"), "{}", me.text);
}

#[tokio::test]
async fn a_session_whose_name_cannot_be_used_any_more_leads_to_a_login() {
    let masked = masked().await;
    let (jar, _) = sign_in(&masked.login, &masked.site, "alice", "/").await;
    let flags = ["--identity=impersonate", "--username-claim=nickname"];
    let changed = Site::start(&masked.kubeconfig, Some(&masked.login), &flags).await;
    let by = changed.with(&jar.header());
    for answer in [by.get("/api/me").await, by.post("/logout", &json!({})).await] {
        Caller::is_problem(&answer, 401);
        assert_eq!(answer.json()["login"], "/login", "{}", answer.text);
    }
    let (_, done) = come_back(&masked.login, &changed, "alice", "/").await;
    assert!(done.status == 422 && done.text.contains("the claim nickname"), "{} {}", done.status, done.text);
}

#[tokio::test]
async fn names_reach_the_api_server_as_they_are() {
    let masked = masked().await;
    let me = masked.site.with(&signed_in(masked, "müller").await).get("/api/me").await.json();
    assert_eq!(me["user"], "oidc:müller", "{me}");
    let groups: Vec<_> = me["groups"].as_array().unwrap().iter().filter_map(|group| group.as_str()).collect();
    assert!(groups.contains(&"api-Ä, Berlin") && groups.contains(&"api-consumers"), "{me}");
    // What the API server would trim is not the group that it looks like.
    assert!(!groups.contains(&"api-owners") && me["can"]["createProducts"] == false, "{me}");
}

#[tokio::test]
async fn a_bearer_token_is_passed_on_as_it_is() {
    let (stage, masked) = (Stage::shared().await, masked().await);
    let me = masked.site.by(&stage.login, "alice").get("/api/me").await;
    assert_eq!((me.status, &me.json()["user"]), (200, &json!("alice")), "{}", me.text);
    // A token of its own issuer is nobody's at the API server.
    assert_eq!(masked.site.by(&masked.login, "alice").get("/api/me").await.status, 401);
}

#[tokio::test]
async fn requests_at_the_same_time_renew_a_token_once() {
    let masked = masked().await;
    let login = LoginProvider::start(&[Person::new("alice", &["api-consumers"])]).unwrap();
    // So short that each request finds it about to end.
    login.tokens_live(20);
    let flags = ["--identity=impersonate", "--groups-prefix=api-"];
    let site = Site::start(&masked.kubeconfig, Some(&login), &flags).await;
    let (jar, _) = sign_in(&login, &site, "alice", "/").await;
    let asked = (0..10).map(async |_| site.with(&jar.header()).get("/api/me").await);
    for answer in futures::future::join_all(asked).await {
        assert_eq!((answer.status, &answer.json()["user"]), (200, &json!("oidc:alice")), "{}", answer.text);
        let set = answer.values("set-cookie");
        assert!(set.iter().all(|cookie| !cookie.starts_with("__Host-portal=;")), "the session has ended");
    }
    // The provider takes a refresh token once: had two requests used it, one of them would have failed.
    assert_eq!(login.live_refresh_tokens(), 1);
}

#[tokio::test]
async fn a_token_that_has_grown_does_not_break_its_session() {
    let masked = masked().await;
    let login = LoginProvider::start(&[Person::new("alice", &["api-consumers"])]).unwrap();
    login.tokens_live(20);
    let flags = ["--identity=impersonate", "--groups-prefix=api-"];
    let site = Site::start(&masked.kubeconfig, Some(&login), &flags).await;
    let (jar, _) = sign_in(&login, &site, "alice", "/").await;
    login.pads_tokens(9_000);
    for _ in 0..2 {
        let me = site.with(&jar.header()).get("/api/me").await;
        assert_eq!((me.status, &me.json()["user"]), (200, &json!("oidc:alice")), "{}", me.text);
        assert_eq!(me.values("set-cookie").len(), 0, "the former cookie stays");
    }
    // The next login says what is wrong.
    assert_eq!(come_back(&login, &site, "alice", "/").await.1.status, 431);
}

#[tokio::test]
async fn a_renewal_without_an_id_token_proves_the_login_again() {
    let masked = masked().await;
    let login = LoginProvider::start(&[Person::new("alice", &["api-consumers"])]).unwrap();
    login.tokens_live(4);
    login.is_sparing(true);
    let flags = ["--identity=impersonate", "--groups-prefix=api-"];
    let site = Site::start(&masked.kubeconfig, Some(&login), &flags).await;
    let (jar, _) = sign_in(&login, &site, "alice", "/").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    // The ID token has ended, and the issuer has said that the login holds.
    let me = site.with(&jar.header()).get("/api/me").await;
    assert_eq!((me.status, &me.json()["user"]), (200, &json!("oidc:alice")), "{}", me.text);
    assert_eq!(login.live_refresh_tokens(), 1, "the former refresh token was kept");
    // Once it has been revoked there, nothing proves it any more.
    let (jar, _) = sign_in(&login, &site, "alice", "/").await;
    login.revoke_all();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    Caller::is_problem(&site.with(&jar.header()).get("/api/me").await, 401);
}
