//! Requests to the API server, each as its caller.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use kube::{Client, Config};
use portolan_runtime::{
    authorities::CaBundle,
    capped::{self, CappedError},
    client::{
        ClientError,
        carrier::{Carrier, Destination},
    },
    telemetry::ErrorChain,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::warn;

use crate::{
    credential::{Credential, UnusableName},
    problem::Problem,
};

/// Largest answer to one request.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Limit for one request.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a body changes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    Json,
    MergePatch,
}

impl MediaType {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
        }
    }
}

/// The API server.
pub struct ApiServer {
    carrier: Carrier,
    /// The portal's account, for impersonation.
    own: Client,
}

impl ApiServer {
    /// The API server of a configuration, over connections without a credential; `own` is used to impersonate.
    pub async fn new(config: &Config, own: Client) -> Result<Self, ClientError> {
        let authorities = config.root_cert.as_ref().map(|certificates| {
            let usable = certificates.iter().cloned().map(Into::into).collect();
            CaBundle { usable, skipped: Vec::new() }.to_pem().into_bytes()
        });
        let destination = Destination {
            server: config.cluster_url.to_string(),
            authorities,
            server_name: config.tls_server_name.clone(),
        };
        Ok(Self { carrier: Carrier::new(&destination).await?, own })
    }

    /// Reads an object.
    pub async fn get(&self, path: &str, caller: &Credential) -> Result<Value, Problem> {
        self.send(Method::GET, path, None, caller).await
    }

    /// Asks a question, which creates nothing. It is asked again if no answer comes.
    pub async fn ask(&self, path: &str, body: &Value, caller: &Credential) -> Result<Value, Problem> {
        let asked = Some((MediaType::Json, body));
        match self.send(Method::POST, path, asked, caller).await {
            Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {
                self.send(Method::POST, path, asked, caller).await
            }
            answered => answered,
        }
    }

    /// Creates an object.
    pub async fn post(&self, path: &str, body: &Value, caller: &Credential) -> Result<Value, Problem> {
        self.send(Method::POST, path, Some((MediaType::Json, body)), caller).await
    }

    /// Changes an object by a merge patch.
    pub async fn patch(&self, path: &str, body: &Value, caller: &Credential) -> Result<Value, Problem> {
        self.send(Method::PATCH, path, Some((MediaType::MergePatch, body)), caller).await
    }

    /// Deletes the object that was seen, and no other one of its name.
    pub async fn delete(&self, path: &str, uid: Option<&str>, caller: &Credential) -> Result<Value, Problem> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": uid},
        });
        self.send(Method::DELETE, path, Some((MediaType::Json, &options)), caller).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(MediaType, &Value)>,
        caller: &Credential,
    ) -> Result<Value, Problem> {
        let answer = timeout(PATIENCE, self.exchange(method, path, body, caller)).await;
        answer.unwrap_or_else(|error| Err(silent(&error)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(MediaType, &Value)>,
        caller: &Credential,
    ) -> Result<Value, Problem> {
        let bytes = body.map(|(_, body)| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).body(bytes).map_err(|_| no_path())?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((media, _)) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
        }
        let (status, answer) = match caller {
            Credential::Token(token) => {
                let authorization = Credential::authorization(token).ok_or_else(Problem::unauthenticated)?;
                let sent = self.carrier.send(request, &authorization).await;
                let (parts, body) = sent.map_err(|error| silent(&error))?.into_parts();
                (parts.status, capped::read(body, MAX_ANSWER).await.map_err(unread)?)
            }
            Credential::Impersonate { user, groups } => {
                let named = Credential::impersonation(user, groups).map_err(refused_user)?;
                request.headers_mut().extend(named);
                let request = request.map(|bytes| kube::client::Body::from(bytes.to_vec()));
                let sent = self.own.send(request).await;
                let (parts, body) = sent.map_err(|error| silent(&error))?.into_parts();
                (parts.status, capped::read(body, MAX_ANSWER).await.map_err(unread)?)
            }
        };
        understood(status, &answer)
    }
}

fn understood(status: StatusCode, answer: &[u8]) -> Result<Value, Problem> {
    if !status.is_success() {
        return Err(Problem::of_status(status, answer));
    }
    serde_json::from_slice(answer).map_err(|_| {
        Problem::new(StatusCode::BAD_GATEWAY, "the API server's answer is not JSON: see what is in between")
    })
}

fn silent(error: &(dyn std::error::Error + 'static)) -> Problem {
    warn!("a request got no answer from the API server: {}", ErrorChain(error));
    Problem::unavailable("the API server does not answer, try again")
}

fn unread<E: std::error::Error + 'static>(error: CappedError<E>) -> Problem {
    match error {
        CappedError::TooLarge => {
            Problem::new(StatusCode::BAD_GATEWAY, "the API server's answer is too large")
        }
        CappedError::Broken(error) => silent(&error),
    }
}

fn no_path() -> Problem {
    Problem::bad_request("the name does not make a path")
}

fn refused_user(why: UnusableName) -> Problem {
    Problem::unprocessable(format!("this user name cannot be impersonated: {why}"))
}
