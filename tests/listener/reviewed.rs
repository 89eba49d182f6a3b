//! Tokens of gateways that token-service reviews, at `TOKENREVIEW_ENDPOINT`.

use k8s_openapi::api::{core::v1::ServiceAccount, rbac::v1::ClusterRoleBinding};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use portolan_testkit::{
    Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually, ports::free_port, raw,
    workdir::Workdir,
};
use serde_json::json;

use crate::scene::{RELEASE, SOON, Stage, options};

const AUDIENCE: &str = "portolan-listener";

/// Starts a token-service that reviews tokens of the management cluster by asking it. Gives its URL.
async fn token_service(stage: &Stage, home: &Workdir) -> (ServiceProcess, String) {
    let plane = &stage.management;
    let setup = ServiceAccountSetup::new("reviewer", "fed");
    setup.create_with(plane, &Rbac::parse("clusterRules: []").unwrap()).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(plane.client());
    for role in ["system:auth-delegator", "system:service-account-issuer-discovery"] {
        let binding = json!({
            "metadata": {"name": format!("reviewer-{}", &role[7..])},
            "subjects": [{"kind": "ServiceAccount", "namespace": "fed", "name": "reviewer"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        });
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    }
    let token = plane.token_for("fed", "reviewer", &[], 3600).await.unwrap();
    let token = home.write_private("reviewer.token", &token).unwrap();
    let ca = home.write_private("management.crt", &plane.ca_pem()).unwrap();
    let config = format!(
        "clusters:\n  management: {{issuer: '{}', api_server: '{}', ca_cert: '{}', token_path: '{}', \
         allow_addresses: [127.0.0.1]}}\n",
        plane.server_url(),
        plane.server_url(),
        ca.display(),
        token.display(),
    );
    let config = home.write_private("clusters.yaml", &config).unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap();
    let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
    let port = free_port().unwrap();
    let file = |path: std::path::PathBuf| path.display().to_string();
    let options = ServiceOptions::new("token-service", "").args([
        "--config".to_owned(),
        file(config),
        format!("--address=127.0.0.1:{port}"),
        format!("--tls-cert-file={}", file(certificate)),
        format!("--tls-key-file={}", file(key)),
    ]);
    let service = ServiceProcess::start(options).await.unwrap();
    (service, format!("https://127.0.0.1:{port}/clusters/management"))
}

#[tokio::test]
async fn gateways_are_known_by_the_endpoint_that_is_named_and_by_no_other() {
    let stage = Stage::start("reviewed").await;
    let home = Workdir::new("reviewed").unwrap();
    let (service, url) = token_service(&stage, &home).await;
    for account in ["gateway", "stranger"] {
        let metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let api: Api<ServiceAccount> = Api::namespaced(stage.client(), RELEASE);
        api.create(&PostParams::default(), &account).await.unwrap();
    }
    let (directory, port) = (Workdir::new("reviewed-documents").unwrap(), free_port().unwrap());
    let flags = [
        format!("--stream-address=127.0.0.1:{port}"),
        "--plain-http".to_owned(),
        format!("--gateway-accounts={RELEASE}/gateway"),
        format!("--tokenreview-ca-file={}", home.path().join("tls.crt").display()),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let mut asking = options(&stage.kubeconfig, &directory, &flags);
    "listener-asking".clone_into(&mut asking.pod_name);
    asking.env.push(("TOKENREVIEW_ENDPOINT".to_owned(), url));
    let listener = ServiceProcess::start(asking).await.unwrap();
    let ask = async |account: &str, audience: &str| {
        let token = stage.management.token_for(RELEASE, account, &[audience], 3600).await.unwrap();
        let head = format!("host: listener\r\nauthorization: Bearer {token}\r\n");
        raw::http(port, "GET /v1/documents", &head, b"").await.unwrap().status
    };
    let serves = async || raw::http(port, "GET /v1/documents", "", b"").await.ok().map(|_| ());
    eventually("the stream is served", SOON, serves).await.unwrap();
    assert_eq!(ask("gateway", AUDIENCE).await, 200, "{}", listener.log_tail(20));
    assert_eq!(ask("stranger", AUDIENCE).await, 403);
    assert_eq!(ask("gateway", "another").await, 401);
    // Nobody else is asked when the endpoint does not answer.
    service.terminate(SOON).await.unwrap();
    assert_eq!(ask("gateway", AUDIENCE).await, 503);
}
