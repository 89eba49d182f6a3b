//! TLS as clients see it, with curl: certificates that are renewed, certificates of clients, HTTP/2.

use portolan_testkit::{
    command::{Line, Ran},
    control_plane::ControlPlane,
    eventually::eventually,
    forge::SigningKey,
    issuer::Issuer,
    workdir::Workdir,
};

use crate::support::{SOON, Service, clusters, path, review_body};

/// A self-signed certificate for this machine, as files with these names.
fn certificate(home: &Workdir, name: &str) {
    let names = ["localhost".into(), "127.0.0.1".into()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    home.write_private(&format!("{name}.key"), &made.signing_key.serialize_pem()).unwrap();
    home.write_private(&format!("{name}.crt"), &made.cert.pem()).unwrap();
}

fn flags(home: &Workdir, name: &str) -> Vec<String> {
    let file = |end: &str| home.path().join(format!("{name}.{end}")).display().to_string();
    vec!["--tls-cert-file".to_owned(), file("crt"), "--tls-key-file".to_owned(), file("key")]
}

/// Asks about a token. The first line of what is printed is status and version of HTTP.
async fn curl(home: &Workdir, service: &Service, cluster: &str, token: &str, more: &str) -> Ran {
    let body = home.write_private("body.json", &review_body(token, &["x"]).to_string()).unwrap();
    let (port, path) = (service.port, path(cluster));
    let script = format!(
        "cd {}; curl --silent --show-error --noproxy '*' -w '\\n%{{http_code}} %{{http_version}}' -H 'content-type: \
         application/json' --data @{} {more} https://127.0.0.1:{port}{path}",
        home.path().display(),
        body.display()
    );
    Line::script(home.path(), &clusters().await.a, &script).unwrap().run().await.unwrap()
}

fn last(ran: &Ran) -> &str {
    ran.stdout.lines().last().unwrap_or_default()
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let (home, key) = (Workdir::new("tls").unwrap(), SigningKey::new("k", "P-256"));
    let issuer = Issuer::start(&[&key]).await;
    certificate(&home, "tls");
    std::fs::copy(home.path().join("tls.crt"), home.path().join("old.crt")).unwrap();
    let config = format!("clusters:\n{}", issuer.entry("i", ""));
    let service = clusters().await.secure_service("renewed-tls", &config, &flags(&home, "tls")).await;
    let token = issuer.token(&key, "ES256");
    let trusts = async |authority: &str, version: &str| {
        let more = format!("--cacert {authority} {version}");
        curl(&home, &service, "i", &token, &more).await
    };
    let first = trusts("old.crt", "--http1.1").await;
    assert_eq!(last(&first), "200 1.1", "{first:?}");
    let second = trusts("old.crt", "--http2").await;
    assert_eq!(last(&second), "200 2", "{second:?}");
    assert!(second.stdout.contains("\"authenticated\":true"));
    certificate(&home, "tls");
    let renewed = async || (trusts("tls.crt", "").await.code == 0).then_some(());
    eventually("the renewed certificate", SOON, renewed).await.unwrap();
    assert_ne!(trusts("old.crt", "").await.code, 0, "the old one is no longer presented");
    std::fs::copy(home.path().join("tls.crt"), home.path().join("good.crt")).unwrap();
    home.write_private("tls.crt", "no certificate").unwrap();
    let complained = async || service.log().contains("the server keeps its certificate").then_some(());
    eventually("the complaint", SOON, complained).await.unwrap();
    assert_eq!(last(&trusts("good.crt", "").await), "200 2");
}

/// A client certificate of a cluster's authority, as files of this name.
fn client_certificate(home: &Workdir, plane: &ControlPlane, user: &str, name: &str) {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    let kubeconfig = plane.kubeconfig_for_certificate(user, None).unwrap();
    for (member, end) in [("client-certificate-data: ", "crt"), ("client-key-data: ", "key")] {
        let data = kubeconfig.split(member).nth(1).unwrap().lines().next().unwrap();
        let pem = String::from_utf8(BASE64_STANDARD.decode(data.trim()).unwrap()).unwrap();
        home.write_private(&format!("{name}.{end}"), &pem).unwrap();
    }
}

#[tokio::test]
async fn a_client_certificate_names_the_caller() {
    let (clusters, home) = (clusters().await, Workdir::new("tls").unwrap());
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    certificate(&home, "tls");
    home.write_private("ca.crt", &clusters.a.ca_pem()).unwrap();
    client_certificate(&home, &clusters.a, "vault", "vault");
    client_certificate(&home, &clusters.a, "nobody", "nobody");
    client_certificate(&home, &clusters.b, "vault", "foreign");
    let config = format!(
        "clusters:\n{}{}callers:\n- {{name: vault, certificate: {{commonName: vault}}, clusters: [one]}}\n",
        issuer.entry("one", ""),
        issuer.entry("two", ""),
    );
    let mut args = flags(&home, "tls");
    args.extend(["--client-ca-file".to_owned(), home.path().join("ca.crt").display().to_string()]);
    let service = clusters.secure_service("client-tls", &config, &args).await;
    let token = issuer.token(&key, "ES256");
    let ask = async |cluster: &str, who: &str| {
        let shown = if who.is_empty() { String::new() } else { format!("--cert {who}.crt --key {who}.key") };
        curl(&home, &service, cluster, &token, &format!("--cacert tls.crt {shown}")).await
    };
    assert_eq!(last(&ask("one", "vault").await), "200 2");
    assert_eq!(last(&ask("two", "vault").await), "403 2");
    assert_eq!(last(&ask("one", "nobody").await), "401 2");
    assert_eq!(last(&ask("one", "").await), "401 2");
    let foreign = ask("one", "foreign").await;
    assert!(foreign.code != 0 && !foreign.stdout.contains("authenticated\":true"), "{foreign:?}");
    assert!(service.log().contains("\"caller\":\"vault\""));
}
