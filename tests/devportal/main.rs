//! The real binary with the rules and the policies of its chart, on a real control plane with minimal foreign CRDs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy takes the helpers of a test for other code")]

mod discovery;
mod ends;
mod fetches;
mod keys;
mod operation;
mod policies;
mod promises;
mod scene;
mod stub;
