//! The konnector and the provider as their users run them: real API servers, real processes, real rights.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod chaos;
mod chart;
mod claims;
mod ends;
mod evolution;
mod exact;
mod failing;
mod fidelity;
mod flow;
mod forgotten;
mod gitops;
mod groups;
mod identity;
mod leftover;
mod mistakes;
mod operation;
mod other_backend;
mod ownership;
mod placement;
mod promises;
mod reasons;
mod restart;
mod restored;
mod rotation;
mod schema;
mod seeded;
mod spoilt;
mod support;
mod telling;
mod unbind;
mod usable;
mod whose;
mod wire;
mod withdraw;
