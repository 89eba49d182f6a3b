//! The exchange as its users run it: two real clusters, a real process with the rights of its chart, issuers
//! shaped like those of clouds, and clients that know nothing of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chart;
mod client;
mod commands;
mod document;
mod exchange;
mod issuer;
mod issuers;
mod kinds;
mod ladder;
mod namespace;
mod others;
mod promises;
mod rfc8693;
mod rights;
mod safety;
mod scripted;
mod support;
