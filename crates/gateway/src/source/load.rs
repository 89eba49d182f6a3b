//! From a document to an endpoint that is served.

use portolan_runtime::telemetry::ErrorChain;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    endpoint::{ClusterEndpoint, InvalidEndpoint},
    state::GatewayState,
};

/// Maximum size of a document.
pub(super) const MAX_DOCUMENT: usize = 256 * 1024 * 1024;

/// Makes an endpoint of a document and swaps it in, or records why that is not possible.
pub(super) async fn load(state: &GatewayState, name: &str, bytes: Result<Vec<u8>, String>) {
    let begin = Instant::now();
    let result = match bytes {
        Ok(bytes) => {
            let endpoint = ClusterEndpoint::of(
                name,
                &bytes,
                (&state.apis, &state.allowed_hosts),
                state.metrics.calls(name),
            )
            .await;
            remembering(state, name, endpoint).await.map_err(|error| ErrorChain(&error).to_string())
        }
        Err(reason) => Err(reason),
    };
    state.metrics.built(result.is_ok(), begin.elapsed());
    match result {
        Ok(endpoint) => {
            let kinds = endpoint.api.kinds.len();
            state.put(endpoint);
            info!(cluster = name, kinds, milliseconds = begin.elapsed().as_millis(), "serving");
        }
        Err(reason) => {
            warn!(cluster = name, reason, "the document cannot be used; what was served before stays");
            state.failed(name, &reason);
        }
    }
}

/// An endpoint with memory, if the gateway has a credential of its own.
async fn remembering(
    state: &GatewayState,
    name: &str,
    endpoint: Result<ClusterEndpoint, InvalidEndpoint>,
) -> Result<ClusterEndpoint, InvalidEndpoint> {
    let mut endpoint = endpoint?;
    let metrics = (state.metrics.calls(name), state.metrics.memory_reads(name));
    endpoint.memory = state.memories.of(name, &endpoint.destination, metrics).await?;
    Ok(endpoint)
}

/// Removes an endpoint whose document is gone.
pub(super) fn unload(state: &GatewayState, name: &str) {
    state.remove(name);
    info!(cluster = name, "the document is gone, and the endpoint with it");
}
