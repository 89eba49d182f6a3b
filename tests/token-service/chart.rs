//! The chart as Helm installs it: its account and its configuration are enough for reviews.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use portolan_testkit::{command::install_chart, forge::SigningKey, issuer::Issuer, workdir::Workdir};

use crate::support::clusters;

const NAMESPACE: &str = "charted";

#[tokio::test]
async fn tokens_are_reviewed_with_nothing_but_the_chart() {
    let (clusters, home) = (clusters().await, Workdir::new("service-chart").unwrap());
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let values = format!("plainHttp: true\nconfig:\n  clusters:\n  {}", issuer.entry("far", ""));
    let values = home.write_private("values.yaml", &values).unwrap();
    let names = ("reviews", "token-service", NAMESPACE);
    let install = async |more: &str| install_chart(home.path(), &clusters.a, names, more).await.unwrap();
    let Some(refused) = install("--set-json 'config={\"clusters\":{}}'").await else {
        return println!("skipped: {}: there is no Go: https://go.dev/dl", module_path!());
    };
    assert!(refused.code != 0 && refused.stderr.contains("set tls.secretName"), "{refused:?}");
    let installed = install(&format!("--values {}", values.display())).await.unwrap();
    assert_eq!(installed.code, 0, "{installed:?}");

    let maps: Api<ConfigMap> = Api::namespaced(clusters.a.client(), NAMESPACE);
    let config = maps.get("reviews").await.unwrap().data.unwrap().remove("clusters.yaml").unwrap();
    let token = clusters.a.token_for(NAMESPACE, "reviews", &[], 3600).await.unwrap();
    let kubeconfig = clusters.a.kubeconfig_for_token(&token, NAMESPACE);
    let service = clusters.service_as("charted", &config, &kubeconfig, NAMESPACE).await;
    let answer = service.review("far", &issuer.token(&key, "ES256"), &["x"]).await;
    assert!(answer.authenticated(), "{}", answer.error());
}
