//! The konnector and the provider as their users run them: real API servers, real processes, real rights.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod chaos;
mod chart;
mod claims;
mod ends;
mod evolution;
mod fidelity;
mod flow;
mod forgotten;
mod gitops;
mod mistakes;
mod operation;
mod other_backend;
mod ownership;
mod placement;
mod promises;
mod reasons;
mod restart;
mod rotation;
mod schema;
mod support;
mod unbind;
mod wire;
mod withdraw;
