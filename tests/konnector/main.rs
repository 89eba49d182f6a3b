//! The konnector and the provider as their users run them: real API servers, real processes, real rights.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod other_backend;
mod support;
