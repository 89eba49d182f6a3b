//! A client of the listener's stream. Token and CAs are files that change: the token is read for each request, the CAs
//! for each stream.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use portolan_core::{
    digest::sha256_hex,
    schema_document::{ClusterMetadata, NamedPart, PartReference, write},
};
use portolan_runtime::{
    capped::{self, CappedError},
    client::{
        ClientError,
        carrier::{Answer, Carrier, Destination, NoAnswer},
    },
    telemetry::ErrorChain,
};
use tokio::time::timeout;

use super::{load::MAX_DOCUMENT, position::StreamPosition};
use crate::args::SourceArgs;

/// Limit for the listener to begin its answer, or to send a part.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum size of a refusal that is repeated.
const MAX_REFUSAL: usize = 64 * 1024;

/// A request that the listener did not fulfil.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenerFailure {
    /// A file of ours cannot be read.
    #[error("{path:?} cannot be read")]
    File {
        /// Its path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The token is not one line of text.
    #[error("{0:?} holds no token")]
    Token(PathBuf),
    /// The URL or the CAs cannot be used.
    #[error("the listener cannot be connected to")]
    Client(#[from] ClientError),
    /// It cannot be reached.
    #[error("the listener cannot be reached")]
    NoAnswer(#[from] NoAnswer),
    /// It is silent.
    #[error("the listener was silent for {} seconds", .0.as_secs())]
    Silence(Duration),
    /// It refuses.
    #[error("the listener answered {}: {text}", .status.as_u16())]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words.
        text: String,
    },
    /// It broke off.
    #[error("the stream of the listener broke off")]
    Broken(#[source] hyper::Error),
    /// It sends something else.
    #[error("the listener sent something that is no event: is --listener-url right?")]
    NoEvent(#[source] serde_json::Error),
    /// A part is too large, or not the one that was asked for.
    #[error("the part of {0} is not what the listener has announced")]
    Part(String),
    /// A document, or an event, has more bytes than any.
    #[error("it has more than {} bytes", MAX_DOCUMENT)]
    TooLarge,
    /// A document is asked for again.
    #[error("a document could not be read, and is asked for again")]
    Missed,
    /// A part is no JSON.
    #[error("the parts make no document")]
    Parts(#[source] std::io::Error),
}

/// A client of the listener.
#[derive(Debug)]
pub(super) struct ListenerClient {
    url: String,
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
    connected: Option<(Destination, Carrier)>,
}

impl ListenerClient {
    /// None if the gateway is to read a directory.
    pub(super) fn new(args: &SourceArgs) -> Option<Self> {
        Some(Self {
            url: args.listener_url.clone()?,
            token_file: args.listener_token_file.clone()?,
            ca_file: args.listener_ca_file.clone(),
            connected: None,
        })
    }

    /// The address of the listener.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Begins a stream.
    pub(super) async fn stream(&mut self, position: &mut StreamPosition) -> Result<Answer, ListenerFailure> {
        self.documents(position.begin(), true).await
    }

    /// Asks for the documents that there are, and for changes if `watches` is set.
    pub(super) async fn documents(
        &mut self,
        since: Option<&str>,
        watches: bool,
    ) -> Result<Answer, ListenerFailure> {
        self.connect().await?;
        self.get(&path_of_documents(since, watches)).await
    }

    /// A part, if it is what its hash says.
    pub(super) async fn part(&self, part: &PartReference, room: usize) -> Result<Bytes, ListenerFailure> {
        let wrong = || ListenerFailure::Part(part.group_version.clone());
        let reading = async {
            let body = self.get(&format!("/v1/parts/{}", part.sha256)).await?;
            capped::read(body, room).await.map_err(|error| match error {
                CappedError::TooLarge => wrong(),
                CappedError::Broken(error) => ListenerFailure::Broken(error),
            })
        };
        let bytes = timeout(PATIENCE, reading).await.map_err(|_| ListenerFailure::Silence(PATIENCE))??;
        if sha256_hex(&bytes) == part.sha256 { Ok(bytes) } else { Err(wrong()) }
    }

    async fn get(&self, path: &str) -> Result<Answer, ListenerFailure> {
        let token = self.token().await?;
        let Some((_, carrier)) = &self.connected else {
            return Err(ListenerFailure::Silence(Duration::ZERO));
        };
        let request = Request::get(path).body(Bytes::new()).map_err(NoAnswer::Path)?;
        let answer = timeout(PATIENCE, carrier.send(request, &token)).await;
        let (parts, body) = answer.map_err(|_| ListenerFailure::Silence(PATIENCE))??.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let text = capped::read(body, MAX_REFUSAL).await.unwrap_or_default();
        Err(ListenerFailure::Refused { status: parts.status, text: refusal(&text) })
    }

    async fn token(&self) -> Result<HeaderValue, ListenerFailure> {
        let path = || self.token_file.clone();
        let read = tokio::fs::read_to_string(&self.token_file).await;
        let text = read.map_err(|source| ListenerFailure::File { path: path(), source })?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .ok()
            .filter(|_| !text.trim().is_empty())
            .ok_or_else(|| ListenerFailure::Token(path()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Makes connections. Made again if the CAs have changed.
    async fn connect(&mut self) -> Result<(), ListenerFailure> {
        let authorities = match &self.ca_file {
            None => None,
            Some(path) => {
                let read = tokio::fs::read(path).await;
                Some(read.map_err(|source| ListenerFailure::File { path: path.clone(), source })?)
            }
        };
        let destination = Destination { server: self.url.clone(), authorities, server_name: None };
        if self.connected.as_ref().is_none_or(|(known, _)| *known != destination) {
            let carrier = Carrier::new(&destination).await?;
            self.connected = Some((destination, carrier));
        }
        Ok(())
    }
}

fn path_of_documents(since: Option<&str>, watches: bool) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if watches {
        query.append_pair("watch", "1");
    }
    if let Some(since) = since {
        query.append_pair("since", since);
    }
    format!("/v1/documents?{}", query.finish())
}

/// The message of a refusal in the words of Kubernetes, or what there is of another one.
fn refusal(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Status {
        message: String,
    }
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(body).chars().take(200).collect::<String>().trim().to_owned(),
    }
}

/// Makes one document of its parts.
pub(super) fn whole(
    metadata: &ClusterMetadata,
    parts: &[(PartReference, Bytes)],
) -> Result<Vec<u8>, ListenerFailure> {
    let named: Vec<_> = parts
        .iter()
        .map(|(reference, bytes)| NamedPart { group_version: &reference.group_version, bytes })
        .collect();
    let mut document = Vec::with_capacity(parts.iter().map(|(_, bytes)| bytes.len()).sum());
    write(&metadata.without_credentials(), &named, &mut document).map_err(ListenerFailure::Parts)?;
    Ok(document)
}

/// The bytes that are left for the rest of a document.
pub(super) const fn room(taken: usize) -> usize {
    MAX_DOCUMENT.saturating_sub(taken)
}

impl ListenerFailure {
    /// The message with its causes.
    pub(super) fn told(&self) -> String {
        ErrorChain(self).to_string()
    }
}
