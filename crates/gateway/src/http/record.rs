//! Access log, metrics and spans of requests.

use std::{net::IpAddr, sync::Arc};

use axum::response::Response;
use http::StatusCode;
use portolan_runtime::traces::{Parent, Span};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::parts::{AnswerEnd, RemainingWork};
use crate::state::GatewayState;

/// The name of a request to a cluster in spans.
pub const ROUTE: &str = "/{cluster}/graphql";

/// The span of a request, which is called like its route.
pub fn span(state: &GatewayState, (route, cluster): (&'static str, &str), parent: &Parent) -> Span {
    let span = state.traces.request(route, parent);
    span.note("http.route", || route.into());
    span.note("portolan.cluster", || cluster.to_owned().into());
    span
}

/// The name of an answer in metrics.
pub fn result(status: StatusCode) -> &'static str {
    if status.is_server_error() {
        "failed"
    } else if status.is_client_error() {
        "refused"
    } else {
        "ok"
    }
}

/// A request of a known caller.
pub struct RequestRecord {
    /// The state of the gateway.
    pub state: Arc<GatewayState>,
    /// The cluster.
    pub cluster: String,
    /// The name of the caller.
    pub caller: Option<Arc<str>>,
    /// Its address.
    pub address: IpAddr,
    /// When the request came.
    pub begin: Instant,
    /// Its span.
    pub span: Span,
}

impl RequestRecord {
    /// Says that a request is answered.
    pub fn of(&self, response: Response, message: &str) -> Response {
        let status = response.status();
        self.say(status, result(status), message);
        response
    }

    /// Makes the rest of an answer that has begun, and says how it ended.
    pub async fn until_whole(self, rest: RemainingWork) {
        let end = self.begin + self.state.limits.request_timeout;
        let (result, message) = match timeout_at(end, self.span.cover(rest.run())).await {
            Ok(AnswerEnd::Whole) => ("ok", "answered"),
            Ok(AnswerEnd::Left) => ("ok", "the client left before the end of the answer"),
            Ok(AnswerEnd::Broken(reason)) => {
                warn!(cluster = self.cluster, ?reason, "an answer broke off");
                ("failed", "the answer broke off")
            }
            Err(_) => ("failed", "the answer broke off: request timeout"),
        };
        self.say(StatusCode::OK, result, message);
    }

    fn say(&self, status: StatusCode, result: &str, message: &str) {
        self.span.answered(status, result == "failed");
        self.span.end();
        let took = self.begin.elapsed();
        self.state.metrics.answered(&self.cluster, result, took);
        let (cluster, who, milliseconds) =
            (&self.cluster, self.caller.as_deref().unwrap_or("-"), took.as_millis());
        info!(target: "access", cluster, caller = who, address = %self.address, status = status.as_u16(), milliseconds, "{message}");
    }
}
