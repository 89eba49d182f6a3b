//! Cost of an exchange besides the TokenRequest that it makes: both on one API server, in turns.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use http::{Request, StatusCode};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, Percentiles, ServiceAccountSetup, ServiceOptions, ServiceProcess,
    forge::SigningKey,
    issuer::{Issuer, now},
    load,
    ports::free_port,
    workdir::Workdir,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{figure::Value, services::Binaries};

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 400;
const ROUNDS: usize = 5;
const NAMESPACE: &str = "smoke-tests";
const ACCOUNT: &str = "app";
const SUBJECT: &str = "104100000000000000001";

/// An API server with one bound account, an exchange, and an issuer with a token.
struct Lab {
    url: String,
    token: String,
    client: Client,
    _service: ServiceProcess,
    // After the service, which talks to them.
    _issuer: Issuer,
    _plane: ControlPlane,
    _home: Workdir,
}

/// The median of exchanges over that of bare requests for tokens, and the slowest of 100 exchanges in milliseconds,
/// beside that of the bare requests.
pub(super) async fn exchanges(binaries: &Binaries) -> Result<Vec<Value>> {
    let lab = Box::pin(Lab::start(binaries)).await?;
    // Connections, caches of the API server, and keys.
    lab.exchanges(REQUESTS).await?;
    lab.token_requests(REQUESTS).await?;
    let (mut exchanged, mut requested) = (Percentiles::new(), Percentiles::new());
    for _ in 0..ROUNDS {
        requested.merge(&lab.token_requests(REQUESTS).await?);
        exchanged.merge(&lab.exchanges(REQUESTS).await?);
    }
    let ratio = exchanged.p50() / requested.p50();
    Ok(vec![ratio.into(), Value::beside(exchanged.p99(), requested.p99())])
}

impl Lab {
    async fn start(binaries: &Binaries) -> Result<Self> {
        let plane = ControlPlane::start(ControlPlaneOptions {
            controllers: false,
            ..ControlPlaneOptions::named("bench")
        })
        .await?;
        let (client, home) = (plane.client(), Workdir::new("token-exchange-bench")?);
        let key = SigningKey::new("k", "RSA");
        let issuer = Issuer::start(&[&key]).await;
        account(&client, &issuer.url).await?;
        let mut setup = ServiceAccountSetup::new("token-exchange", "token-exchange");
        setup.target_namespaces = vec![NAMESPACE.to_owned()];
        let kubeconfig = setup.create(&plane).await?;
        let (port, config) =
            (free_port()?.to_string(), home.write_private("exchange.yaml", &config(&issuer))?);
        let mut options = ServiceOptions::new("token-exchange", kubeconfig)
            .args(["--plain-http", "--http-addr", "127.0.0.1", "--http-port", &port])
            .args(["--config".to_owned(), config.display().to_string()]);
        options.program = Some(binaries.path("token-exchange"));
        let service = ServiceProcess::start(options).await?;
        let claims = json!({"aud": "portolan-token-exchange", "iss": issuer.url, "sub": SUBJECT,
            "iat": now(), "exp": now() + 3599});
        let (url, token) = (format!("http://127.0.0.1:{port}/exchangeToken"), key.token("RS256", &claims));
        Ok(Self { url, token, client, _service: service, _issuer: issuer, _plane: plane, _home: home })
    }

    async fn exchanges(&self, total: usize) -> Result<Percentiles> {
        let (url, authorization) = (self.url.clone(), format!("Bearer {}", self.token));
        let make = move |_| {
            let body = json!({"namespace": NAMESPACE, "serviceAccountName": ACCOUNT}).to_string();
            let request = Request::post(&url).header("content-type", "application/json");
            let request = request.header("authorization", &authorization).body(body.into_bytes());
            request.expect("a URL and headers of our own")
        };
        let report = load::http(make, CONNECTIONS, total).await?;
        ensure!(report.all(StatusCode::OK), "not every exchange worked: {:?}", report.statuses);
        Ok(report.latencies)
    }

    async fn token_requests(&self, total: usize) -> Result<Percentiles> {
        let accounts = Arc::new(Api::<ServiceAccount>::namespaced(self.client.clone(), NAMESPACE));
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let accounts = Arc::clone(&accounts);
            workers.spawn(async move {
                let mut latencies = Percentiles::new();
                for _ in 0..total / CONNECTIONS {
                    let start = Instant::now();
                    token_request(&accounts).await?;
                    latencies.record(start.elapsed());
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latencies = Percentiles::new();
        while let Some(part) = workers.join_next().await {
            latencies.merge(&part.context("a worker panicked")??);
        }
        Ok(latencies)
    }
}

async fn token_request(accounts: &Api<ServiceAccount>) -> Result<()> {
    let spec = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await?;
    Ok(())
}

async fn account(client: &Client, issuer: &str) -> Result<()> {
    let namespace = json!({"metadata": {"name": NAMESPACE}});
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    let binding = json!({"issuer": issuer, "subject": SUBJECT}).to_string();
    let account = json!({"metadata": {"name": ACCOUNT, "annotations": {"kfca_1": binding}}});
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), NAMESPACE);
    accounts.create(&PostParams::default(), &serde_json::from_value(account)?).await?;
    Ok(())
}

fn config(issuer: &Issuer) -> String {
    format!(
        "issuers:\n- {{issuer: '{}', plain_http: true, allow_addresses: ['127.0.0.1:{}']}}\n\
         namespaces: [{NAMESPACE}]\nrateLimits: {{perCaller: 0, perIssuer: 0}}\n",
        issuer.url, issuer.port
    )
}
