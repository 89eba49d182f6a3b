//! Real API servers that ask the service: `--authentication-token-webhook-config-file`, with the version flag
//! on one of them and without it on the other.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, api::PostParams};
use portolan_testkit::{control_plane::ControlPlane, eventually::eventually};
use serde_json::json;

use crate::support::{SOON, clusters};

/// Asks the API server for the user behind a token.
async fn whoami(plane: &ControlPlane, token: &str) -> Option<serde_json::Value> {
    let client =
        portolan_testkit::kubeconfig::client(&plane.kubeconfig_for_token(token, "default")).await.unwrap();
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    serde_json::to_value(review.status.unwrap().user_info.unwrap()).ok()
}

#[tokio::test]
async fn a_foreign_account_logs_in_to_a_real_api_server() {
    let clusters = clusters().await;
    let config = format!("clusters:\n{}{}", clusters.entry("a", "a", ""), clusters.entry("b", "b", ""));
    let _service = Box::pin(clusters.tls_service(&config)).await;
    // `b` asks with v1beta1, its default, although its URL says v1; `a` asks with v1.
    for (home, abroad, cluster) in [(&clusters.a, &clusters.b, "a"), (&clusters.b, &clusters.a, "b")] {
        crate::support::account(&home.client(), "fed", "traveller").await;
        let token = home.token_for("fed", "traveller", &[], 600).await.unwrap();
        let user = eventually("a login", SOON, async || whoami(abroad, &token).await).await.unwrap();
        assert_eq!(user["username"], "system:serviceaccount:fed:traveller");
        let groups = json!(["system:serviceaccounts", "system:serviceaccounts:fed", "system:authenticated"]);
        assert_eq!(user["groups"], groups);
        assert_eq!(user["extra"]["authentication.kubernetes.io/cluster-name"], json!([cluster]));
        let vault = home.token_for("fed", "traveller", &["vault"], 600).await.unwrap();
        assert_eq!(whoami(abroad, &vault).await, None, "a token for somebody else is no login");
        assert_eq!(whoami(abroad, "sha256~opaque").await, None);
    }
}
