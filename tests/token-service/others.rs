//! Programs of other people in other languages, built from their registries: nothing is changed for them but the
//! address of the API server.

use std::path::Path;

use portolan_testkit::{
    clients::{self, Toolchain},
    command::Line,
    eventually::eventually,
    workdir::Workdir,
};
use serde_json::{Value, json};

use crate::support::{SOON, Service, clusters};

/// A machine for Java takes a while to begin.
const SLOW: std::time::Duration = SOON.saturating_mul(4);

/// A service with TLS for cluster `a`, and the file with its authority.
async fn service(name: &str, home: &Workdir) -> Service {
    let clusters = clusters().await;
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
    let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
    let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap();
    let text = |path: &Path| path.display().to_string();
    let tls = ["--tls-cert-file".into(), text(&certificate), "--tls-key-file".into(), text(&key)];
    let config = format!("clusters:\n{}", clusters.entry("a", "a", ""));
    clusters.secure_service(name, &config, &tls).await
}

/// Runs a program that is given the host, the authority and an audience, and a token in its environment; returns its
/// output.
async fn said(home: &Workdir, program: &str, service: &Service, token: &str) -> Value {
    let host = format!("https://127.0.0.1:{}/clusters/a", service.port);
    let authority = home.path().join("tls.crt");
    let script = format!("{program} {host} {} mariadb", authority.display());
    let clusters = clusters().await;
    let credential = std::fs::read_to_string(clusters.home.path().join("a.token")).unwrap();
    let line = Line::script(home.path(), &clusters.a, &script).unwrap();
    let ran = line.env("TOKEN", token).env("CREDENTIAL", credential.trim()).run().await.unwrap();
    serde_json::from_str(&ran.stdout).map_err(|_| format!("{ran:?}")).unwrap()
}

/// A program that prints the status of a review gets the user of a good token, and the reason for a bad one.
async fn reviews(home: &Workdir, program: &str, service: &Service) {
    let plane = &clusters().await.a;
    let good = plane.token_for("default", "app", &["mariadb"], 600).await.unwrap();
    let accepted = async || {
        let status = said(home, program, service, &good).await;
        if status["authenticated"] == true { Ok(Some(status)) } else { Err(anyhow::anyhow!("{status}")) }
    };
    let status = eventually("an answer", SLOW, accepted).await.unwrap();
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:app");
    assert_eq!(status["audiences"], json!(["mariadb"]));
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/cluster-name"], json!(["a"]));
    let foreign = plane.token_for("default", "app", &["vault"], 600).await.unwrap();
    for token in [foreign.as_str(), "sha256~opaque"] {
        let refused = said(home, program, service, token).await;
        assert_ne!(refused["authenticated"], true, "{refused}");
        assert!(refused["error"].as_str().is_some_and(|error| !error.is_empty()), "{refused}");
    }
}

#[tokio::test]
async fn python_asks_with_its_kubernetes_client() {
    let home = Workdir::new("python").unwrap();
    let Some(client) = clients::build("python", Toolchain::Python).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Python.absence());
    };
    let service = service("python", &home).await;
    let client = client.display();
    reviews(&home, &format!("PYTHONPATH={client} python3 {client}/client.py"), &service).await;
}

#[tokio::test]
async fn java_asks_with_fabric8_over_the_client_of_the_jdk() {
    let home = Workdir::new("fabric8").unwrap();
    let Some(client) = clients::build("fabric8", Toolchain::Java).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Java.absence());
    };
    let service = service("fabric8", &home).await;
    let client = client.display();
    reviews(&home, &format!("java -cp '{client}/libraries/*' {client}/Client.java"), &service).await;
}

#[tokio::test]
async fn vault_logs_people_in_with_its_kubernetes_method() {
    let home = Workdir::new("vault").unwrap();
    let Some(client) = clients::build("vault", Toolchain::Go).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
    };
    let service = service("vault", &home).await;
    let plane = &clusters().await.a;
    let program = client.join("vault").display().to_string();
    let good = plane.token_for("default", "app", &["mariadb"], 600).await.unwrap();
    let accepted = async || {
        let said = said(&home, &program, &service, &good).await;
        if said["error"].is_null() { Ok(Some(said)) } else { Err(anyhow::anyhow!("{said}")) }
    };
    let login = eventually("a login", SLOW, accepted).await.unwrap();
    assert!(login["policies"].as_array().unwrap().contains(&json!("readers")), "{login}");
    assert_eq!(login["metadata"]["service_account_name"], "app");
    let foreign = plane.token_for("default", "app", &["vault"], 600).await.unwrap();
    let other = plane.token_for("fed", "reader", &["mariadb"], 600).await.unwrap();
    for token in [foreign, other] {
        let refused = said(&home, &program, &service, &token).await;
        assert!(refused["error"].is_string() && refused["policies"].is_null(), "{refused}");
    }
}
