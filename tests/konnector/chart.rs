//! The chart as Helm installs it: its account is enough for the konnector, and `boundGroups` for what it binds.

use portolan_testkit::{
    command::{Ran, install_chart},
    control_plane::ControlPlane,
    workdir::Workdir,
    workload,
};
use serde_json::json;

use crate::support::{
    Clusters, RELEASE, Service, binding_condition, create_bundle, create_namespace, kind_of, konnector,
    kubeconfig_for, plane, provider_service, write_secret,
};

/// Installs the chart, or upgrades it, as the administrator of a cluster does.
async fn install(home: &Workdir, consumer: &ControlPlane, groups: &str) -> Option<Ran> {
    let more = format!("--set 'boundGroups={{{groups}}}'");
    install_chart(home.path(), consumer, ("konnector", "konnector", RELEASE), &more).await.unwrap()
}

#[tokio::test]
async fn a_kind_of_a_bound_group_works_with_nothing_but_the_chart() {
    let home = Workdir::new("chart").unwrap();
    let (consumer, provider) = tokio::join!(plane("chart-consumer"), plane("chart-provider"));
    for groups in ["'*'", "wildwest.dev,''"] {
        let Some(refused) = install(&home, &consumer, groups).await else {
            return println!("skipped: {}: there is no Go: https://go.dev/dl", module_path!());
        };
        assert!(
            refused.code != 0 && refused.stderr.contains("rights on everything"),
            "{groups}: {refused:?}"
        );
    }
    let installed = install(&home, &consumer, "other.dev").await.unwrap();
    assert_eq!(installed.code, 0, "{installed:?}");
    let token = consumer.token_for(RELEASE, "konnector", &[], 3600).await.unwrap();
    let konnector_kubeconfig = consumer.kubeconfig_for_token(&token, RELEASE);
    let (konnector, healthz) = konnector(&konnector_kubeconfig).await;
    let provider_service = provider_service(&provider).await;
    let clusters =
        Clusters { consumer, provider, konnector, provider_service, healthz, konnector_kubeconfig };

    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let (crd, resource) = kind_of("chart");
    workload::install(&provider, &crd).await.unwrap();
    create_namespace(&consumer, "chart").await;
    let kubeconfig = kubeconfig_for(&clusters, "chart", "test=chart").await;
    write_secret(&consumer, "chart", "kubeconfig", &kubeconfig).await;
    create_bundle(&consumer, "chart", "chart").await;
    let service = Service { name: "chart".to_owned(), resource, kubeconfig, consumer, provider };
    let denied = ("False", "PermissionDenied");
    binding_condition(&service.consumer, &service.export(), "InformersSynced", denied).await;
    let upgraded = install(&home, &clusters.consumer, "other.dev,chart.dev").await.unwrap();
    assert_eq!(upgraded.code, 0, "{upgraded:?}");
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
}
