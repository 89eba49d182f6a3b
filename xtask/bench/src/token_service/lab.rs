//! The lab of every figure: 100 issuers on loopback, the service, the yardstick, and files with questions.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::{
    ServiceOptions, ServiceProcess, eventually,
    forge::{SigningKey, claims, encode},
    issuer::{Issuer, now},
    ports::free_port,
    process::ManagedProcess,
    workdir::Workdir,
};
use serde::Deserialize;
use serde_json::json;

use crate::services::Binaries;

const CLUSTERS: usize = 100;
const CONNECTIONS: &str = "32";
/// Path of the questions of every load.
const PATH: &str = "/clusters/c0/apis/authentication.k8s.io/v1/tokenreviews";

pub(super) struct Lab {
    pub(super) service: ServiceProcess,
    pub(super) issuers: Vec<Issuer>,
    key: SigningKey,
    address: String,
    yardstick: String,
    load: PathBuf,
    _yardstick: ManagedProcess,
    home: Workdir,
}

/// The result of a load.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Report {
    answers: usize,
    pub(super) accepted: usize,
    pub(super) refused: usize,
    seconds: f64,
    pub(super) p99_ms: f64,
}

impl Report {
    pub(super) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no load has 2^52 requests")]
        let answers = self.answers as f64;
        answers / self.seconds
    }
}

impl Lab {
    pub(super) async fn start(binaries: &Binaries) -> Result<Self> {
        let (home, key) = (Workdir::new("token-service-bench")?, SigningKey::new("k", "RSA"));
        let mut issuers = Vec::new();
        for _ in 0..CLUSTERS {
            issuers.push(Issuer::start(&[&key]).await);
        }
        let entries: String = issuers
            .iter()
            .enumerate()
            .map(|(index, issuer)| issuer.entry(&format!("c{index}"), ""))
            .collect();
        let config = home.write_private("clusters.yaml", &format!("clusters:\n{entries}"))?;
        let (address, yardstick) =
            (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let mut options = ServiceOptions::new("token-service", "").args([
            "--plain-http",
            "--address",
            &address,
            "--config",
            &config.display().to_string(),
        ]);
        options.program = Some(binaries.path("token-service"));
        let service = ServiceProcess::start(options).await?;
        let mut command = Command::new(binaries.path("examples/yardstick"));
        command.arg(&yardstick);
        let process = ManagedProcess::start("yardstick", command, &home)?;
        let listening = async || tokio::net::TcpStream::connect(&yardstick).await.ok();
        eventually("the yardstick", Duration::from_secs(5), listening).await?;
        let load = binaries.path("examples/load");
        Ok(Self { service, issuers, key, address, yardstick, load, _yardstick: process, home })
    }

    /// Bodies of questions about different tokens of a cluster.
    pub(super) fn questions(&self, cluster: usize, tokens: std::ops::Range<usize>) -> Vec<String> {
        let issuer = &self.issuers[cluster].url;
        let question = |index: usize| {
            let mut claims = claims(issuer, &["x"], now());
            claims["jti"] = json!(format!("token-{index}"));
            question(&self.key.token("RS256", &claims))
        };
        tokens.map(question).collect()
    }

    /// Questions about bearer texts that no cluster has given out, of every kind in turns.
    pub(super) fn junk(&self, count: usize) -> Vec<String> {
        let claims = claims(&self.issuers[0].url, &["x"], now()).to_string();
        let with_algorithm = |algorithm: &str| {
            let header = json!({"alg": algorithm, "kid": self.key.id}).to_string();
            self.key.raw_token("RS256", &header, &claims)
        };
        let (right, padding) = (with_algorithm("RS256"), "-".repeat(800));
        let (none, symmetric, other) =
            (with_algorithm("none"), with_algorithm("HS256"), with_algorithm("ES256"));
        let text = |index: usize| match index % 6 {
            0 => format!("sha256~junk-{index}-{padding}"),
            1 => right.replace('.', &format!(".!{index}#")),
            2 => format!("{0}.{0}.{0}", encode(format!("{{junk {index} {padding}").as_bytes())),
            3 => format!("{none}{index}"),
            4 => format!("{symmetric}{index}"),
            _ => format!("{other}{index}"),
        };
        (0..count).map(|index| question(&text(index))).collect()
    }

    /// Asks the service.
    pub(super) async fn ask(&self, questions: &[String], total: usize) -> Result<Report> {
        self.put_load(&self.address, PATH, questions, total).await
    }

    /// Asks the service about another cluster than the first one.
    pub(super) async fn ask_about(&self, cluster: usize, questions: &[String]) -> Result<Report> {
        let path = PATH.replace("/c0/", &format!("/c{cluster}/"));
        self.put_load(&self.address, &path, questions, questions.len()).await
    }

    /// Asks the yardstick.
    pub(super) async fn ask_yardstick(&self, questions: &[String], total: usize) -> Result<Report> {
        self.put_load(&self.yardstick, PATH, questions, total).await
    }

    async fn put_load(
        &self,
        address: &str,
        path: &str,
        questions: &[String],
        total: usize,
    ) -> Result<Report> {
        let file = self.home.write_private("questions", &questions.join("\n"))?;
        let mut command = tokio::process::Command::new(&self.load);
        command.args([address, path, CONNECTIONS, &total.to_string()]).arg(file).kill_on_drop(true);
        let output = command.output().await.context("starting the load")?;
        let problem = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load on {address} failed: {}", problem.trim());
        serde_json::from_slice(&output.stdout).context("reading what the load says")
    }

    /// Requests that the issuers have got for their keys.
    pub(super) fn outbound(&self) -> usize {
        self.issuers.iter().map(Issuer::requests).sum()
    }
}

pub(super) fn question(token: &str) -> String {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["x"]},
    })
    .to_string()
}
