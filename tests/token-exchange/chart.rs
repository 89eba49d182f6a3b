//! The chart as Helm installs it: its account and its configuration are enough for an exchange.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use portolan_testkit::{command::install_chart, eventually::eventually, workdir::Workdir};

use crate::support::{SOON, TARGET, account, world};

const NAMESPACE: &str = "charted";

#[tokio::test]
async fn a_token_is_exchanged_with_nothing_but_the_chart() {
    let (world, home) = (world().await, Workdir::new("exchange-chart").unwrap());
    account(&world.b.client(), TARGET, "charted", &[("kfca_1", &world.binding("charted"))]).await;
    let config = world.config("").replace('\n', "\n  ");
    let values = format!("plainHttp: true\ntargetNamespaces: [{TARGET}]\nconfig:\n  {config}");
    let values = home.write_private("values.yaml", &values).unwrap();
    let names = ("exchange", "token-exchange", NAMESPACE);
    let install = async |more: &str| install_chart(home.path(), &world.b, names, more).await.unwrap();
    let Some(refused) = install("").await else {
        return println!("skipped: {}: there is no Go: https://go.dev/dl", module_path!());
    };
    assert!(refused.code != 0 && refused.stderr.contains("nobody may exchange anything"), "{refused:?}");
    let installed = install(&format!("--values {}", values.display())).await.unwrap();
    assert_eq!(installed.code, 0, "{installed:?}");

    let maps: Api<ConfigMap> = Api::namespaced(world.b.client(), NAMESPACE);
    let config = maps.get("exchange").await.unwrap().data.unwrap().remove("exchange.yaml").unwrap();
    let token = world.b.token_for(NAMESPACE, "exchange", &[], 3600).await.unwrap();
    let kubeconfig = world.b.kubeconfig_for_token(&token, NAMESPACE);
    let exchange = world.exchange_with("charted", &config, &kubeconfig).await;
    let source = world.source("charted").await;
    let works = async || (exchange.ask(&source, "charted").await.status == 200).then_some(());
    eventually("a token", SOON, works).await.unwrap();
}
