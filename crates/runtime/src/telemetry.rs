//! Logs: one subscriber for the process, and the one way to write an error with its causes.

use std::{error::Error, fmt};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, util::SubscriberInitExt as _};

use crate::args::{LogArgs, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(args: &LogArgs) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|_| InvalidFilter(args.log_level.clone()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match args.log_format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    Ok(())
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {0:?} is not a level (error, warn, info, debug, trace) or a list of target=level")]
pub struct InvalidFilter(String);

/// Displays an error and its causes in one line, without repeating what a cause already says.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        write!(f, "{said}")?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        #[source]
        source: Option<Box<Self>>,
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        let root = Link { text: "connection refused", source: None };
        let middle = Link { text: "client error: connection refused", source: Some(Box::new(root)) };
        let top = Link { text: "failed to list exports", source: Some(Box::new(middle)) };
        assert_eq!(Chain(&top).to_string(), "failed to list exports: client error: connection refused");
    }
}
