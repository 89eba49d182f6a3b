//! Reasons why there is no token, as people and as scripts read them.

use std::process::ExitCode;

use http::StatusCode;
use portolan_runtime::args::EXIT_USAGE;

/// Exit code when the same command may work later (`EX_TEMPFAIL`).
const EXIT_TEMPORARY: u8 = 75;

/// Reasons why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A mistake on the command line.
    #[error("{0}")]
    Usage(String),
    /// The service answered, and not with a token.
    #[error("server returned {status}\n{body}")]
    Refused { status: StatusCode, body: String },
    /// Nobody answered, or only that it does not work now.
    #[error("{0}")]
    Temporary(String),
    /// An answer that cannot be understood, or a connection that must not be used.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// Says it on standard error.
    #[expect(clippy::print_stderr, reason = "a command line's error goes to standard error")]
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        match self {
            Self::Usage(_) => {
                eprintln!(
                    "usage: kfca-cli -url URL -token TOKEN -namespace NAMESPACE -service-account NAME (--help says more)"
                );
                ExitCode::from(EXIT_USAGE)
            }
            Self::Refused { .. } | Self::Broken(_) => ExitCode::FAILURE,
            Self::Temporary(_) => ExitCode::from(EXIT_TEMPORARY),
        }
    }
}
