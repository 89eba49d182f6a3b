//! The host names of clusters: a Service and a slice for each that is configured, as the configuration changes, and
//! nothing that is somebody else's.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use portolan_testkit::{
    Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually, ports::free_port, workdir::Workdir,
};
use serde_json::json;

use crate::support::{SOON, clusters};

const NAMESPACE: &str = "kube-fed";

fn service(name: &str) -> Service {
    let spec =
        json!({"selector": {"app": name}, "ports": [{"name": "https", "port": 443, "targetPort": 8443}]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn config(names: &[&str]) -> String {
    let entry = |name: &&str| format!("  {name}: {{issuer: 'https://127.0.0.1:9/{name}'}}\n");
    format!("clusters:\n{}", names.iter().map(entry).collect::<String>())
}

#[tokio::test]
async fn each_configured_cluster_has_its_name_and_one_that_goes_has_none() {
    let (plane, home) = (&clusters().await.a, Workdir::new("names").unwrap());
    // With the rights that the chart adds for it.
    let mut rules = Rbac::load("token-service").unwrap();
    let more = rules.name_rules.clone();
    rules.namespace_rules.release.extend(more);
    let setup = ServiceAccountSetup::new("token-service", NAMESPACE);
    let kubeconfig = setup.create_with(plane, &rules).await.unwrap();
    let services: Api<Service> = Api::namespaced(plane.client(), NAMESPACE);
    let slices: Api<EndpointSlice> = Api::namespaced(plane.client(), NAMESPACE);
    let front = services.create(&PostParams::default(), &service("api")).await.unwrap();
    services.create(&PostParams::default(), &service("theirs")).await.unwrap();

    let file = home.write_private("clusters.yaml", &config(&["local", "app1", "theirs"])).unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let config_flag = file.display().to_string();
    let flags = ["--plain-http", "--address", &address, "--config", &config_flag, "--cluster-names", "api"];
    let mut options = ServiceOptions::new("token-service", kubeconfig).args(flags);
    NAMESPACE.clone_into(&mut options.pod_namespace);
    let process = ServiceProcess::start(options).await.unwrap();

    let slice =
        eventually("the name of app1", SOON, async || slices.get_opt("app1-ipv4").await).await.unwrap();
    assert_eq!(slice.endpoints[0].hostname.as_deref(), Some("api"));
    assert_eq!(slice.endpoints[0].addresses, front.spec.unwrap().cluster_ips.unwrap());
    assert_eq!(slice.labels()["kubernetes.io/service-name"], "app1");
    let headless = services.get("app1").await.unwrap().spec.unwrap();
    assert_eq!(headless.cluster_ip.as_deref(), Some("None"));
    let warned =
        async || process.log_tail(50).contains("there is a Service theirs that is not ours").then_some(());
    eventually("somebody else's Service is told of", SOON, warned).await.unwrap();

    home.write_private("clusters.yaml", &config(&["local", "app2"])).unwrap();
    eventually("the name of app2", SOON, async || slices.get_opt("app2-ipv4").await).await.unwrap();
    let names = async || {
        let all = services.list(&ListParams::default()).await?;
        anyhow::Ok((all.iter().all(|one| one.name_any() != "app1")).then(|| {
            let mut names: Vec<_> = all.iter().map(ResourceExt::name_any).collect();
            names.sort();
            names
        }))
    };
    let left = eventually("the name of app1 goes", SOON, names).await.unwrap();
    assert_eq!(left, ["api", "app2", "theirs"]);
    assert!(slices.get_opt("theirs-ipv4").await.unwrap().is_none());
}
