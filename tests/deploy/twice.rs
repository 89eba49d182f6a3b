//! A chart that is installed twice in one cluster: refused where two releases would work against each other, and else
//! two releases that have nothing to do with one another.

use portolan_testkit::{clients::Toolchain, command::chart, workdir::Workdir};

use crate::{cluster, helm, kubectl};

/// What is left of a konnector that was installed without Helm.
const PLAIN: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: plain\n  \
                     labels: {app.kubernetes.io/part-of: portolan, app.kubernetes.io/component: konnector}\nrules: []\n";

fn install(service: &str, namespace: &str, more: &str) -> String {
    let chart = chart(service);
    format!("upgrade --install {service} {chart} --namespace {namespace} --create-namespace {more}")
}

#[tokio::test]
async fn a_second_release_is_refused_where_two_would_work_against_each_other() {
    let (plane, home) = (cluster("twice").await, Workdir::new("twice").unwrap());
    assert_eq!(kubectl(&plane, &home, "apply --filename -", PLAIN).await.code, 0);
    let Some(refused) = helm(4, &plane, &home, &install("konnector", "one", "")).await else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
    };
    let plain = "this cluster has a konnector already, with the ClusterRole plain, which is no release's";
    assert!(refused.code != 0 && refused.stderr.contains(plain), "{refused:?}");
    assert_eq!(kubectl(&plane, &home, "delete clusterrole plain", "").await.code, 0);
    for (service, more) in
        [("konnector", ""), ("provider", ""), ("devportal", ""), ("listener", "--set plainHttp=true")]
    {
        let first = helm(4, &plane, &home, &install(service, "one", more)).await.unwrap();
        assert_eq!(first.code, 0, "{service}: {first:?}");
        let expected = format!(
            "this cluster has a {service} already, release {service} in namespace one, and two would work against \
             each other: upgrade that one, or uninstall it first"
        );
        for version in [3, 4] {
            let second = helm(version, &plane, &home, &install(service, "two", more)).await.unwrap();
            assert!(second.code != 0 && second.stderr.contains(&expected), "{service}: {second:?}");
        }
        let again = helm(4, &plane, &home, &install(service, "one", more)).await.unwrap();
        assert_eq!(again.code, 0, "{service} is upgraded: {again:?}");
    }
}

#[tokio::test]
async fn other_services_have_as_many_releases_as_one_likes() {
    let (plane, home) = (cluster("several").await, Workdir::new("several").unwrap());
    for (service, more) in [
        ("token-service", "--set plainHttp=true,existingSecret=a"),
        ("token-exchange", "--set plainHttp=true,existingSecret=a --set 'targetNamespaces={default}'"),
        ("gateway", "--set plainHttp=true"),
        ("portal", "--set plainHttp=true"),
    ] {
        for namespace in ["one", "two"] {
            let Some(ran) = helm(4, &plane, &home, &install(service, namespace, more)).await else {
                return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
            };
            assert_eq!(ran.code, 0, "{service} in {namespace}: {ran:?}");
        }
    }
}
