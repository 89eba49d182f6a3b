//! One token has one verdict, whichever door it comes through: reviews in every mode, the automatic choice, the old
//! API, callers, and explain.

use portolan_testkit::{
    command::Line,
    control_plane::{ControlPlane, ControlPlaneOptions},
    eventually::eventually,
    forge::{SigningKey, claims},
    issuer::{Issuer, now},
    workdir::Workdir,
};
use serde_json::json;

use crate::support::{ISSUER, SOON, Service, clusters, path, prepare, review_body};

/// Issuer of a cloud, at an address that is not that of its API server.
const CLOUD: &str = "https://oidc.cloud.test/id/A1B2";
/// Audience of its API server.
const API: &str = "https://kubernetes.default.svc";

/// A cluster as clouds have them, and the services that know it.
struct Doors {
    plane: ControlPlane,
    home: Workdir,
    /// Under one name per mode.
    modes: Service,
    /// Alone, for the automatic choice.
    alone: Service,
    /// As the one whose tokens callers show.
    callers: Service,
    config: String,
    issuer: Issuer,
    key: SigningKey,
}

impl Doors {
    async fn open() -> Self {
        let (clusters, home) = (clusters().await, Workdir::new("doors").unwrap());
        let options = ControlPlaneOptions {
            issuer: Some(CLOUD.to_owned()),
            apiserver_args: vec![format!("--api-audiences={API}")],
            ..ControlPlaneOptions::named("cloud")
        };
        let plane = ControlPlane::start(options).await.unwrap();
        prepare(&plane).await;
        let ca = home.write_private("cloud.crt", &plane.ca_pem()).unwrap().display().to_string();
        let reader = plane.token_for("fed", "reader", &[], 3600).await.unwrap();
        // As an editor leaves it.
        let token = home.write_private("cloud.token", &format!("\n  {reader}\r\n\n")).unwrap();
        let entry = |name: &str, mode: &str| {
            format!(
                "  {name}: {{issuer: '{CLOUD}', api_server: '{}', ca_cert: '{ca}', token_path: '{}', \
                 allow_addresses: [127.0.0.1], cache: 0s, mode: {mode}}}\n",
                plane.server_url(),
                token.display()
            )
        };
        let key = SigningKey::new("k", "P-256");
        let issuer = Issuer::start(&[&key]).await;
        let modes = ["jwks", "review", "hybrid"].map(|mode| entry(mode, mode)).concat();
        let alone = format!("clusters:\n{}auto: {{}}\n", entry("alone", "hybrid"));
        let callers = format!(
            "clusters:\n{}{}callers:\n- {{name: app, serviceAccount: {{cluster: cloud, namespace: default, name: app, \
             audience: '{API}'}}, clusters: [i]}}\n",
            entry("cloud", "hybrid"),
            issuer.entry("i", ""),
        );
        let config = home.write_private("alone.yaml", &alone).unwrap().display().to_string();
        Self {
            modes: clusters.service("doors-modes", &format!("clusters:\n{modes}")).await,
            alone: clusters.service("doors-alone", &alone).await,
            callers: clusters.service("doors-callers", &callers).await,
            plane,
            home,
            config,
            issuer,
            key,
        }
    }

    /// Asks each door about a token, without naming an audience.
    async fn verdicts(&self, token: &str) -> Vec<(&'static str, bool)> {
        let mut verdicts = Vec::new();
        for mode in ["jwks", "review", "hybrid"] {
            verdicts.push((mode, self.modes.answered(mode, token, &[]).await.authenticated()));
        }
        let auto = "/auto/apis/authentication.k8s.io/v1/tokenreviews";
        verdicts.push(("auto", self.alone.review_at(auto, "x", token, &[]).await.authenticated()));
        let old = json!({"cluster": "review", "token": token}).to_string();
        let old = self.modes.send("POST", "/validate", "x", "", old.as_bytes()).await;
        verdicts.push(("validate", old.status == 200));
        let arguments = ["explain", "--config", &self.config, "--cluster", "alone"];
        let line = Line::binary("token-service", self.home.path(), &arguments).unwrap();
        let said = line.stdin(token).run().await.unwrap();
        verdicts.push(("explain", said.stdout.contains("verdict    authenticated")));
        verdicts
    }

    /// Returns `true` if somebody who shows a token in a header is known.
    async fn knows_caller(&self, header: &str) -> bool {
        let body = review_body(&self.issuer.token(&self.key, "ES256"), &["x"]).to_string();
        let header = format!("authorization: Bearer {header}\r\n");
        self.callers.send("POST", &path("i"), "x", &header, body.as_bytes()).await.status == 200
    }
}

#[tokio::test]
async fn one_token_has_one_verdict_at_every_door() {
    let doors = Box::pin(Doors::open()).await;
    // Without a word, a token of this cluster is for what the cluster calls its API server.
    let token = doors.plane.token_for("default", "app", &[], 600).await.unwrap();
    let ready = async || {
        let verdicts = doors.verdicts(&token).await;
        verdicts.iter().all(|(_, accepted)| *accepted).then_some(())
    };
    eventually("keys and rights", SOON, ready).await.unwrap();
    let spellings = ["{}", "{}\n", "{}\r\n", "\t{}\t", "  {}", "\r\n {} \r\n", "\u{a0}{}\u{2003}"];
    for spelling in spellings {
        let spelt = spelling.replace("{}", &token);
        for (door, accepted) in doors.verdicts(&spelt).await {
            assert!(accepted, "{door}: {spelling:?}");
        }
    }
    for spelling in ["{}", "   {}", "{}  ", "{}\t"] {
        assert!(doors.knows_caller(&spelling.replace("{}", &token)).await, "callers: {spelling:?}");
    }
    let named = doors.plane.token_for("default", "app", &["somebody-else"], 600).await.unwrap();
    let (head, rest) = token.split_at(30);
    for (token, why) in [
        (named.as_str(), "it is for somebody else"),
        (&format!("{head}\n{rest}"), "white space within"),
        (&format!("{head} {rest}"), "white space within"),
        ("\n", "nothing"),
    ] {
        for (door, accepted) in doors.verdicts(token).await {
            // The old API leaves audiences to its callers.
            let left_to_callers = door == "validate" && token == named;
            assert_eq!(accepted, left_to_callers, "{door}: {why}");
        }
    }
    assert!(!doors.knows_caller(&named).await);
}

#[tokio::test]
async fn tokens_of_both_issuers_work_while_a_cluster_changes_its_name() {
    let clusters = clusters().await;
    let both = |name: &str, more: &str| {
        let entry = clusters.entry(name, "a", more);
        entry.replace(&format!("issuer: {ISSUER}"), &format!("issuers: [https://new.test, '{ISSUER}']"))
    };
    let key = SigningKey::new("k", "P-256");
    let issuer = Issuer::start(&[&key]).await;
    let fake = issuer.entry("fake", "").replace(
        &format!("issuer: '{}'", issuer.url),
        &format!("issuers: ['{}', 'https://old.test']", issuer.url),
    );
    let config = format!(
        "clusters:\n{}{}{}{fake}",
        both("jwks", ""),
        both("review", ", mode: review"),
        both("hybrid", ", mode: hybrid")
    );
    let service = Box::pin(clusters.service("two-issuers", &config)).await;
    let token = clusters.a.token_for("default", "app", &[], 600).await.unwrap();
    for mode in ["jwks", "review", "hybrid"] {
        let accepted = async || service.review(mode, &token, &[]).await.authenticated().then_some(());
        eventually(mode, SOON, accepted).await.unwrap();
    }
    let of = |name: &str| key.token("ES256", &claims(name, &["x"], now()));
    let ask = async |name: &str| service.answered("fake", &of(name), &["x"]).await;
    assert!(ask(&issuer.url).await.authenticated() && ask("https://old.test").await.authenticated());
    for foreign in ["https://old.test/", "https://other.test", "kubernetes/serviceaccount"] {
        assert_eq!(ask(foreign).await.error(), "token issuer is not trusted", "{foreign}");
    }
    let by_default = key.token("ES256", &claims("https://old.test", &["https://old.test"], now()));
    assert!(service.review("fake", &by_default, &[]).await.authenticated(), "both names are audiences");
    let listed = service.send("GET", "/clusters", "x", "", b"").await;
    let fake = listed.body["clusters"].as_array().unwrap().iter().find(|c| c["name"] == "fake").unwrap();
    assert_eq!(fake["issuers"], json!([issuer.url, "https://old.test"]));
}
