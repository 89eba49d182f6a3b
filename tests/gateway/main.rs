//! The gateway against real control planes: queries and mutations as its clients send them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod browser;
mod doors;
mod fake;
mod fleet;
mod large;
mod listener;
mod logs;
mod mcp;
mod memory;
mod mutations;
mod others;
mod pages;
mod persisted;
mod promises;
mod queries;
mod relations;
mod replay;
mod safety;
mod shared;
mod sockets;
mod source;
mod streams;
mod subscriptions;
mod support;
mod traces;
