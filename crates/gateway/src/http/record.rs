//! What the access log and the metrics say of requests.

use std::{net::IpAddr, sync::Arc};

use axum::response::Response;
use http::StatusCode;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::parts::{Ended, Rest};
use crate::state::State;

/// A request of a known caller.
pub(crate) struct Record {
    /// The state of the gateway.
    pub(crate) state: Arc<State>,
    /// The cluster.
    pub(crate) cluster: String,
    /// The name of the caller.
    pub(crate) caller: Option<Arc<str>>,
    /// Its address.
    pub(crate) address: IpAddr,
    /// When the request came.
    pub(crate) begin: Instant,
}

impl Record {
    /// Says that a request is answered.
    pub(crate) fn of(&self, response: Response) -> Response {
        let status = response.status();
        let result = if status.is_success() {
            "ok"
        } else if status.is_server_error() {
            "failed"
        } else {
            "refused"
        };
        self.say(status, result, "answered");
        response
    }

    /// Makes the rest of an answer that has begun, and says how it ended.
    pub(crate) async fn until_whole(self, rest: Rest) {
        let end = self.begin + self.state.limits.request_timeout;
        let (result, message) = match timeout_at(end, rest.run()).await {
            Ok(Ended::Whole) => ("ok", "answered"),
            Ok(Ended::Left) => ("ok", "the client left before the end of the answer"),
            Ok(Ended::Broken(reason)) => {
                warn!(cluster = self.cluster, ?reason, "an answer broke off");
                ("failed", "the answer broke off")
            }
            Err(_) => ("failed", "the answer broke off: request timeout"),
        };
        self.say(StatusCode::OK, result, message);
    }

    fn say(&self, status: StatusCode, result: &str, message: &str) {
        let took = self.begin.elapsed();
        self.state.metrics.answered(&self.cluster, result, took);
        let (cluster, who, milliseconds) =
            (&self.cluster, self.caller.as_deref().unwrap_or("-"), took.as_millis());
        info!(target: "access", cluster, caller = who, address = %self.address, status = status.as_u16(), milliseconds, "{message}");
    }
}
