//! Clients that know nothing of the service: one that only changes its endpoint, and what Go programs do.

use std::path::{Path, PathBuf};

use portolan_testkit::{
    clients::{self, Toolchain},
    command::Line,
    eventually::eventually,
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

use crate::support::{SOON, clusters};

const HOST: &str = "api.a.kube-fed.svc.cluster.local";

/// The request of the quick start, by a client whose only setting is the endpoint.
const CLIENT: &str = r#"curl --silent --show-error -K client.conf \
  -H "Content-Type: application/json" -H "Authorization: Bearer $CREDENTIAL" \
  "$TOKENREVIEW_ENDPOINT/apis/authentication.k8s.io/v1/tokenreviews" \
  -d '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
       "spec": {"token": "'"$TOKEN"'", "audiences": ["mariadb"]}}'"#;

fn certificate(home: &Workdir) -> Vec<String> {
    let made = rcgen::generate_simple_self_signed([HOST.into(), "127.0.0.1".into()]).unwrap();
    let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
    let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap();
    let text = |path: PathBuf| path.display().to_string();
    vec!["--tls-cert-file".into(), text(certificate), "--tls-key-file".into(), text(key)]
}

/// `kubectl proxy` of a cluster, and where it listens. It ends with the value.
async fn proxy(kubectl: &Path, kubeconfig: &Path) -> (Child, String) {
    let mut command = tokio::process::Command::new(kubectl);
    command.args(["proxy", "--port=0"]).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    (child, format!("http://{}", line.rsplit(' ').next().unwrap()))
}

#[tokio::test]
async fn a_client_changes_its_endpoint_and_nothing_else() {
    let (clusters, home) = (clusters().await, Workdir::new("endpoints").unwrap());
    let config = format!("clusters:\n{}", clusters.entry("a", "a", ", mode: review"));
    let service = clusters.secure_service("endpoints", &config, &certificate(&home)).await;
    let Some(kubectl) = clusters.a.kubectl() else {
        return println!("skipped: {}: there is no kubectl: unset KUBEBUILDER_ASSETS", module_path!());
    };
    let kubeconfig = home.path().join("proxy.kubeconfig");
    clusters.a.write_kubeconfig(&kubeconfig).unwrap();
    let (_proxy, proxied) = proxy(kubectl, &kubeconfig).await;
    let both = clusters.a.ca_pem() + &std::fs::read_to_string(home.path().join("tls.crt")).unwrap();
    let authorities = home.write_private("ca.crt", &both).unwrap();
    let settings =
        format!("cacert = {}\nresolve = {HOST}:{}:127.0.0.1\n", authorities.display(), service.port);
    home.write_private("client.conf", &settings).unwrap();
    let token = clusters.a.token_for("default", "app", &["mariadb"], 600).await.unwrap();
    let credential = std::fs::read_to_string(clusters.home.path().join("a.token")).unwrap();
    let ask = async |endpoint: &str, token: &str| -> Value {
        let script = format!("cd {}; {CLIENT}", home.path().display());
        let line = Line::script(home.path(), &clusters.a, &script).unwrap();
        let line = line.env("TOKENREVIEW_ENDPOINT", endpoint).env("TOKEN", token);
        let ran = line.env("CREDENTIAL", credential.trim()).run().await.unwrap();
        let mut answer: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{endpoint}: {ran:?}"));
        let status = &mut answer["status"];
        if let Some(extra) = status["user"]["extra"].as_object_mut() {
            extra.remove("authentication.kubernetes.io/cluster-name");
        }
        json!([status["authenticated"] == true, status["user"], status["audiences"]])
    };
    let (by_host, by_path) = (
        format!("https://{HOST}:{}", service.port),
        format!("https://127.0.0.1:{}/clusters/a", service.port),
    );
    let own = ask(&clusters.a.server_url(), &token).await;
    assert_eq!(own[0], true, "{own}");
    assert_eq!(own[1]["username"], "system:serviceaccount:default:app");
    for endpoint in [&proxied, &by_host, &by_path] {
        assert_eq!(ask(endpoint, &token).await, own, "{endpoint}");
    }
    let vault = clusters.a.token_for("default", "app", &["vault"], 600).await.unwrap();
    for endpoint in [&clusters.a.server_url(), &proxied, &by_host, &by_path] {
        let refused = ask(endpoint, &vault).await;
        assert_eq!((&refused[0], &refused[1]["username"]), (&json!(false), &Value::Null), "{endpoint}");
    }
}

#[tokio::test]
async fn go_programs_ask_with_the_typed_client_and_the_delegating_authenticator() {
    let (clusters, home) = (clusters().await, Workdir::new("go").unwrap());
    let Some(folder) = clients::build("go-client", Toolchain::Go).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
    };
    let program = folder.join("goclient");
    let config = format!("clusters:\n{}{}", clusters.entry("a", "a", ""), clusters.entry("b", "b", ""));
    let service = clusters.secure_service("go", &config, &certificate(&home)).await;
    let ask = async |cluster: &str, token: &str| -> Value {
        let script = format!(
            "{} -host https://127.0.0.1:{}/clusters/{cluster} -ca {} -audience mariadb",
            program.display(),
            service.port,
            home.path().join("tls.crt").display()
        );
        let line = Line::script(home.path(), &clusters.a, &script).unwrap().env("TOKEN", token);
        let ran = line.run().await.unwrap();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
    };
    let user = "system:serviceaccount:default:app";
    for (cluster, plane) in [("a", &clusters.a), ("b", &clusters.b)] {
        let token = plane.token_for("default", "app", &["mariadb"], 600).await.unwrap();
        let loaded =
            async || Some(ask(cluster, &token).await).filter(|said| said["typed"]["authenticated"] == true);
        let said = eventually("an answer", SOON, loaded).await.unwrap();
        assert_eq!(
            (&said["typed"]["user"]["username"], &said["typed"]["audiences"]),
            (&json!(user), &json!(["mariadb"]))
        );
        let delegated = &said["delegated"];
        assert_eq!((&delegated["accepted"], &delegated["username"]), (&json!(true), &json!(user)), "{said}");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
        assert_eq!(delegated["groups"], json!(groups));
        assert_eq!(delegated["extra"]["authentication.kubernetes.io/cluster-name"], json!([cluster]));
    }
    let vault = clusters.a.token_for("default", "app", &["vault"], 600).await.unwrap();
    for token in [vault.as_str(), "sha256~opaque"] {
        let said = ask("a", token).await;
        assert_ne!(said["typed"]["authenticated"], true);
        assert_eq!(said["delegated"]["accepted"], false, "{said}");
        assert_eq!(said["delegated"]["error"], said["typed"]["error"], "{said}");
    }
}
