//! Watches over a connection that proves its life.

use std::sync::Arc;

use http::HeaderValue;
use portolan_runtime::{
    capped,
    client::pulse::{NoPulse, Pulse, Streamed},
    tasks::Tasks,
};
use tokio::time::{Instant, timeout};

use super::{ApiRequest, MAX_REFUSAL, PATIENCE, RefusedAnswer, Upstream, class};

impl Upstream {
    /// Opens a connection that is pinged.
    pub async fn pulse(&self, tasks: &Tasks) -> Result<Pulse, NoPulse> {
        self.carrier.pulse(tasks).await
    }

    /// Sends a request over such a connection, and returns an answer that is yet to be read.
    pub async fn begin_on(
        &self,
        pulse: &Arc<Pulse>,
        authorization: &HeaderValue,
        question: ApiRequest,
    ) -> Result<Result<Streamed, RefusedAnswer>, NoPulse> {
        let (verb, begin) = (question.verb, Instant::now());
        let request = question.request()?.map(|_| ());
        let Ok(answer) = timeout(PATIENCE, pulse.send(request, authorization)).await else {
            self.calls.asked(verb, "timeout", begin.elapsed());
            return Err(NoPulse::Silent);
        };
        let (parts, body) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => {
                self.calls.asked(verb, "unreachable", begin.elapsed());
                return Err(error);
            }
        };
        self.calls.asked(verb, class(parts.status), begin.elapsed());
        if parts.status.is_success() {
            return Ok(Ok(body));
        }
        let body = capped::read(body, MAX_REFUSAL).await.unwrap_or_default();
        Ok(Err(RefusedAnswer { status: parts.status, body }))
    }
}
