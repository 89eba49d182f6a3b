//! The real binary with the rules of its chart, between two real control planes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy takes the helpers of a test for other code")]

mod access;
mod bad_input;
mod fresh;
mod operation;
mod promises;
mod real;
mod reviewed;
mod scene;
mod stream;
