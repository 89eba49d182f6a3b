//! Who asks, and what each of the four kinds of people may do.

use portolan_testkit::{ServiceOptions, service};
use serde_json::{Value, json};

use crate::{
    scene::{SOON, Stage},
    site::Caller,
};

#[tokio::test]
async fn everybody_is_who_the_api_server_says() {
    let stage = Stage::shared().await;
    let rights = [
        ("eng", "createProducts", false),
        ("eng", "listRoutes", true),
        ("eng", "requestKeys", false),
        ("owner1", "requestKeys", true),
        ("alice", "requestKeys", true),
        ("admin1", "createProducts", true),
        ("admin1", "updateAnyProduct", true),
        ("admin1", "deleteAnyProduct", true),
        ("admin1", "approveAnyKey", true),
        ("admin1", "decideKeys", true),
        ("owner1", "createProducts", true),
        ("owner1", "updateAnyProduct", false),
        ("owner1", "deleteAnyProduct", false),
        ("owner1", "approveAnyKey", false),
        ("owner1", "decideKeys", true),
        ("owner1", "listRoutes", true),
        ("owner1", "listPlanPolicies", true),
        ("owner1", "listAuthPolicies", true),
        ("alice", "createProducts", false),
        ("alice", "updateAnyProduct", false),
        ("alice", "approveAnyKey", false),
        ("alice", "decideKeys", false),
        ("eng", "decideKeys", false),
        ("alice", "listRoutes", false),
    ];
    for (who, right, expected) in rights {
        let me = stage.portal.by(&stage.login, who).get("/api/me").await;
        assert_eq!(me.status, 200, "{} {}", me.text, stage.portal.service.log_tail(20));
        let me = me.json();
        assert_eq!(
            (&me["user"], &me["via"], &me["demo"]),
            (&json!(who), &json!("bearer"), &json!(false)),
            "{me}"
        );
        assert_eq!(me["can"][right], expected, "{who} {right}: {me}");
        assert!(me.get("csrf").is_none(), "a script needs none: {me}");
    }
    // A ServiceAccount is as good as anybody.
    let token = stage.plane.token_for("default", "default", &[], 3600).await.unwrap();
    let me = stage.portal.bearer(&token).get("/api/me").await.json();
    assert_eq!(me["user"], "system:serviceaccount:default:default", "{me}");
}

#[tokio::test]
async fn nobody_is_let_in() {
    let stage = Stage::shared().await;
    let now = portolan_testkit::issuer::now();
    let claims = |change: Value| {
        let mut claims = json!({"iss": stage.login.url, "aud": "portal", "sub": "alice", "preferred_username": "alice",
                                "iat": now, "exp": now + 600, "groups": ["api-admins"]});
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        stage.login.forged(&claims)
    };
    let other = portolan_testkit::forge::SigningKey::new("login-1", "RSA");
    let tokens = [
        "nonsense".to_owned(),
        String::new(),
        claims(json!({"exp": now - 60})),
        claims(json!({"aud": "somebody-else"})),
        claims(json!({"iss": "https://evil.example"})),
        other.token("RS256", &json!({"iss": stage.login.url, "aud": "portal", "preferred_username": "admin1", "sub": "admin1", "exp": now + 600})),
    ];
    let paths = [
        "/api/me",
        "/api/kuadrant/apiproducts",
        "/api/kuadrant/requests/my",
        "/api/catalog/entities",
        "/api/events",
    ];
    for path in paths {
        let answer = stage.portal.with("").get(path).await;
        Caller::is_problem(&answer, 401);
        assert_eq!(answer.json()["login"], "/login", "{path}: {}", answer.text);
        for token in &tokens {
            assert_eq!(stage.portal.bearer(token).get(path).await.status, 401, "{path} {token}");
        }
    }
    let valid = claims(json!({}));
    assert_eq!(
        stage.portal.bearer(&valid).get("/api/me").await.status,
        200,
        "the claims are right otherwise"
    );
}

#[tokio::test]
async fn the_portal_and_kubectl_never_disagree() {
    let stage = Stage::shared().await;
    let place = stage.toystore("agree").await;
    place.publish("owner1", "toys", &json!({})).await;
    let path = "/api/kuadrant/apiproducts/agree/toys";
    let change = json!({"spec": {"description": "changed"}});
    for (who, may) in [
        ("owner1", true),
        ("owner2", false),
        ("admin1", true),
        ("alice", false),
        ("bob", false),
        ("eng", false),
    ] {
        let by_portal = stage.portal.by(&stage.login, who).patch(path, &change).await;
        let api: kube::Api<portolan_core::api::devportal::APIProduct> =
            kube::Api::namespaced(stage.kubectl(who).await, "agree");
        let by_kubectl =
            api.patch("toys", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&change)).await;
        assert_eq!(
            (by_portal.status == 200, by_kubectl.is_ok()),
            (may, may),
            "{who}: {} {by_kubectl:?}",
            by_portal.text
        );
    }
    // An admin acts on what is not his; the value of a key is still none of his business.
    let key = place.ask("alice", "toys").await;
    place.decide("admin1", &key, "approve", &json!({})).await;
    assert_eq!(place.revealed("alice", &key).await, place.value(&key).await);
    let admin = stage.portal.by(&stage.login, "admin1");
    Caller::is_problem(&admin.get(&place.path(&key, "secret")).await, 403);
    let engineer = stage.portal.by(&stage.login, "eng");
    assert_eq!(engineer.delete(path).await.status, 403);
    assert_eq!(admin.delete(path).await.status, 204);
}

#[tokio::test]
async fn who_may_list_no_products_is_told_so() {
    let stage = Stage::shared().await;
    stage.toystore("unlisted").await.publish("owner1", "toys", &json!({})).await;
    let token = stage.plane.token_for("default", "default", &[], 600).await.unwrap();
    let nobody = stage.portal.bearer(&token);
    for path in
        ["/api/kuadrant/apiproducts", "/api/kuadrant/apiproducts?catalog=true", "/api/catalog/entities"]
    {
        let refused = nobody.get(path).await;
        Caller::is_problem(&refused, 403);
        assert!(
            refused.text.contains("list apiproducts") && !refused.text.contains("toys"),
            "{}",
            refused.text
        );
        let where_it_counts = "list apiproducts, in a namespace that has products or routes";
        assert!(refused.text.contains(where_it_counts), "{}", refused.text);
    }
    Caller::is_problem(&nobody.get("/api/kuadrant/apiproducts/unlisted/toys").await, 404);
}

#[tokio::test]
async fn the_account_that_helm_makes_passes_every_check() {
    let stage = Stage::shared().await;
    let check = async |kubeconfig: &str| {
        let options = ServiceOptions::new("portal", kubeconfig).args(["--plain-http", "check"]);
        service::run(&options, SOON).await.unwrap()
    };
    let passed = check(&stage.kubeconfig).await;
    assert!(passed.status.success() && !passed.stdout.contains("[-]"), "{}", passed.stdout);
    assert!(passed.stdout.contains("kind APIProduct") && passed.stdout.contains("kind APIKey"), "{passed:?}");
    let stranger = stage.plane.token_for("default", "default", &[], 600).await.unwrap();
    let failed = check(&stage.plane.kubeconfig_for_token(&stranger, "default")).await;
    assert!(!failed.status.success(), "{}", failed.stdout);
    assert!(failed.stdout.contains("charts/portal/files/rbac.yaml"), "the cure is named: {}", failed.stdout);
}
