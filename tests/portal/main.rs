//! The portal's real binary beside the real controller, on a control plane that trusts a login provider: its REST API,
//! logins, and what must never get through.

#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy takes the helpers of a test for other code")]

mod browser;
mod documents;
mod events;
mod impersonation;
mod keys;
mod list;
mod login;
mod outside;
mod people;
mod products;
mod promises;
mod renewal;
mod replicas;
mod scene;
mod security;
mod site;
mod try_it;
mod usage;
