//! One question to several clusters, each asked with the caller's own token.
//!
//! The fields of a cluster are those of its own schema, so a query to the fleet becomes one query for each cluster, which
//! is planned and limited as if it had been sent there. What a cluster does not have is null, with an error beside it.

mod answer;
mod ask;
mod asker;
mod block;
mod cluster;
mod fixed;
mod mistakes;
mod planned;
mod plans;
mod rewrite;
mod schema;
#[cfg(test)]
mod tests;
mod unfit;
mod variables;
mod written;

pub use self::{
    ask::{SentQuery, answer, sdl},
    asker::FleetAsker,
};

/// The type of a cluster in the answer.
const CLUSTER: &str = "FleetCluster";
