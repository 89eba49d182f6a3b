//! The process shell that every Portolan binary shares: flags, logs, the admin port, shutdown, leases,
//! clients, watches, queues and atomic ownership of objects.
//!
//! Nothing here knows a custom resource or a business rule. Only this crate installs globals.

pub mod admin;
pub mod apply;
pub mod args;
pub mod authorities;
pub mod backoff;
pub mod cache;
pub mod capped;
pub mod check;
pub mod client;
pub mod clock;
pub mod config;
pub mod controller;
pub mod events;
pub mod explain;
pub mod fetch;
pub mod files;
pub mod install;
pub mod junk;
pub mod jwks;
pub mod keyed_hash;
pub mod latest;
pub mod lease;
pub mod limits;
pub mod metrics;
pub mod objects;
pub mod process;
pub mod program;
pub mod queue;
pub mod readiness;
pub mod restored;
pub mod server;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod token_review;
pub mod traces;
pub mod watch;
