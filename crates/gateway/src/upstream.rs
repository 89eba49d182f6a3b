//! Calls of API servers, each with the token of its caller and no other credential.

mod feed;
mod live;
mod path;
mod question;
mod refused;
mod status;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use portolan_runtime::{
    capped,
    client::{
        ClientError,
        carrier::{Answer, Carrier, Destination, NoAnswer},
    },
    telemetry::ErrorChain,
    traces::{self, Span},
};
use tokio::time::Instant;

use self::feed::{BEGINNING, FailedRequest};
pub use self::{
    feed::AnswerFeed,
    path::{ApiPath, checked_name, checked_namespace},
    question::{ApiRequest, JSON, METADATA, METADATA_LIST},
    refused::RefusedAnswer,
    status::of_answer,
};
use crate::{
    error::{ErrorCode, GraphError},
    metrics::UpstreamCalls,
};

/// Limit for an API server to begin its answer, below the default of `--request-timeout`.
const PATIENCE: Duration = Duration::from_secs(55);
/// Maximum size of a refusal, where there is no limit for the answer.
const MAX_REFUSAL: usize = 1024 * 1024;

/// Connections to one API server, and the count of what is asked over them.
#[derive(Debug)]
pub struct Upstream {
    carrier: Carrier,
    calls: UpstreamCalls,
}

impl Upstream {
    /// Configures connections, which are made when they are needed.
    pub async fn new(to: &Destination, calls: UpstreamCalls) -> Result<Self, ClientError> {
        Ok(Self { carrier: Carrier::new(to).await?, calls })
    }

    /// Sends a request and reads the whole answer, up to a limit.
    pub async fn ask(
        &self,
        authorization: &HeaderValue,
        question: ApiRequest,
        limit: usize,
    ) -> Result<Result<Bytes, RefusedAnswer>, GraphError> {
        match self.open(authorization, question, limit).await? {
            Ok(feed) => feed.whole().await.map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Sends a request and reads the beginning of the answer. A read whose connection is lost until then is sent once
    /// more: servers close idle connections at the moment in which a request takes one, too.
    pub async fn open(
        &self,
        authorization: &HeaderValue,
        question: ApiRequest,
        limit: usize,
    ) -> Result<Result<AnswerFeed, RefusedAnswer>, GraphError> {
        let again = question.changes_nothing().then(|| question.clone());
        let opened = match (self.opened(authorization, question, limit).await, again) {
            (Err(FailedRequest { is_lost: true, .. }), Some(question)) => {
                self.opened(authorization, question, limit).await
            }
            (result, _) => result,
        };
        let (status, feed) = opened.map_err(|failed| failed.error)?;
        Ok(if status.is_success() {
            Ok(feed)
        } else {
            Err(RefusedAnswer { status, body: feed.whole().await? })
        })
    }

    /// Sends a request and returns an answer that is yet to be read.
    pub async fn begin(
        &self,
        authorization: &HeaderValue,
        question: ApiRequest,
    ) -> Result<Result<Answer, RefusedAnswer>, GraphError> {
        let again = question.changes_nothing().then(|| question.clone());
        let head = match (self.head(authorization, question).await, again) {
            (Err(FailedRequest { is_lost: true, .. }), Some(question)) => {
                self.head(authorization, question).await
            }
            (result, _) => result,
        };
        let (status, (body, _)) = head.map_err(|failed| failed.error)?;
        if status.is_success() {
            return Ok(Ok(body));
        }
        // The status says enough where the rest does not come.
        let body = capped::read(body, MAX_REFUSAL).await.unwrap_or_default();
        Ok(Err(RefusedAnswer { status, body }))
    }

    /// Returns `Ok` if an API server answers anything, even to an unknown caller.
    pub async fn is_there(&self) -> Result<(), String> {
        let request = Request::get("/version").body(Bytes::new()).map_err(|error| error.to_string())?;
        let nobody = HeaderValue::from_static("Bearer none");
        match self.carrier.send(request, &nobody).await {
            Ok(_) => Ok(()),
            Err(error) => Err(ErrorChain(&error).to_string()),
        }
    }

    async fn opened(
        &self,
        authorization: &HeaderValue,
        question: ApiRequest,
        limit: usize,
    ) -> Result<(StatusCode, AnswerFeed), FailedRequest> {
        let (status, body) = self.head(authorization, question).await?;
        let mut feed = AnswerFeed::new(body, limit)?;
        feed.read_to(BEGINNING).await?;
        Ok((status, feed))
    }

    async fn head(
        &self,
        authorization: &HeaderValue,
        question: ApiRequest,
    ) -> Result<(StatusCode, (Answer, Span)), FailedRequest> {
        let verb = question.verb;
        let span = self.span(&question);
        let mut request = question.request().map_err(|_| no_url())?;
        span.tell(request.headers_mut());
        let begin = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.carrier.send(request, authorization)).await;
        let Ok(answer) = answer else {
            self.calls.asked(verb, "timeout", begin.elapsed());
            span.failed("timeout");
            return Err(GraphError::new(ErrorCode::Timeout, "the API server did not answer in time").into());
        };
        match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                self.calls.asked(verb, class(parts.status), begin.elapsed());
                span.answered(parts.status, parts.status.as_u16() >= 400);
                Ok((parts.status, (body, span)))
            }
            Err(NoAnswer::Path(_)) => Err(no_url().into()),
            Err(NoAnswer::Unreachable(error)) => {
                self.calls.asked(verb, "unreachable", begin.elapsed());
                span.failed("unreachable");
                tracing::warn!(error = %ErrorChain(&error), "an API server cannot be reached");
                let is_lost = !error.is_connect();
                let error = GraphError::new(ErrorCode::Unavailable, "the API server cannot be reached");
                Err(FailedRequest { error, is_lost })
            }
        }
    }
}

impl Upstream {
    /// The span of a call. What is selected by labels and fields is not in it.
    fn span(&self, question: &ApiRequest) -> Span {
        let span = traces::call(question.verb);
        span.note("http.request.method", || question.method.to_string().into());
        let path = question.path.split('?').next().unwrap_or_default();
        span.note("url.path", || path.to_owned().into());
        span.note("portolan.cluster", || self.calls.cluster().to_owned().into());
        span
    }
}

/// The class of a status, as metrics name it.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..400 => "ok",
        400..500 => "refused",
        _ => "failed",
    }
}

fn no_url() -> GraphError {
    GraphError::new(ErrorCode::Invalid, "the request makes no valid URL")
}
