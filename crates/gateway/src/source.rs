//! The source of schema documents: a directory, or the stream of a listener. Each document becomes an endpoint, which
//! is built aside and swapped in. A bad document leaves the last good endpoint in place.

mod client;
mod directory;
mod follow;
mod listed;
mod load;
mod position;

use std::sync::Arc;

use self::client::ListenerClient;
pub use self::listed::SourceListing;
use crate::{args::SourceArgs, state::GatewayState};

/// Follows the source forever.
pub async fn follow(args: SourceArgs, state: Arc<GatewayState>) {
    match ListenerClient::new(&args) {
        Some(client) => follow::run(&state, client).await,
        None => directory::run(&state, args.directory()).await,
    }
}
