//! The audit: one line per decision with caller, subject and answer, none of which holds a token.

use std::time::Duration;

use tracing::info;

use crate::review::ReviewDecision;

/// A decision that was made.
pub fn decided(decision: &ReviewDecision, caller: &str, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (cluster, mode) = (decision.cluster(), decision.mode());
    match &decision.outcome {
        Ok(accepted) => {
            info!(
                target: "audit", decision = "authenticated", caller, cluster, mode,
                username = accepted.identity.username, uid = accepted.identity.uid,
                audiences = accepted.audiences.join(","), token_id = accepted.token_id.as_deref(), micros,
                "token reviewed"
            );
        }
        Err(refusal) => info!(
            target: "audit", decision = "refused", caller, cluster, mode,
            reason = refusal.label(), micros, "token reviewed"
        ),
    }
}

/// A verdict that was given again from the cache, so many times until it left it.
pub fn repeated(caller: &str, cluster: &str, username: Option<&str>, reason: &str, count: u32) {
    let decision = if username.is_some() { "authenticated" } else { "refused" };
    info!(target: "audit", decision, caller, cluster, username, reason, count, "token reviewed again");
}
