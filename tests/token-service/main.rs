//! The token service as its users run it: two real clusters with one issuer and different keys, a real process
//! with the rights of its chart, and clients that know nothing of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chart;
mod clients;
mod doors;
mod hostile;
mod household;
mod listener;
mod names;
mod namespace;
mod operation;
mod others;
mod promises;
mod replicas;
mod reviews;
mod revocation;
mod support;
mod tls;
mod webhook;
