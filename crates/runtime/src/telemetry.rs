//! Logs: one subscriber for the process, and the one way to write an error with its causes.

mod writer;

use std::{borrow::Cow, error::Error, fmt};

use kube::runtime::watcher;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, util::SubscriberInitExt as _};

use self::writer::ToLog;
pub(crate) use self::writer::flush;
use crate::args::{LogArgs, LogFormat};

/// Limit on the length of an error.
const MAX_TEXT: usize = 900;

/// Starts logging to standard error.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(args: &LogArgs) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::try_new(with_defaults(&args.log_level));
    let filter = filter.map_err(|_| InvalidFilter(args.log_level.clone()))?;
    let writer = ToLog::start().expect("an operating system that can run threads");
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE).with_writer(writer);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match args.log_format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    Ok(())
}

/// The client's own warnings repeat, at length, what the services say of a failed watch. Who asked for what is
/// written whatever the level, unless the filter speaks of it.
fn with_defaults(filter: &str) -> String {
    let defaults = [("kube_runtime", "error"), ("kube_client", "error"), ("audit", "info")];
    let missing = defaults.iter().filter(|(target, _)| !filter.contains(target));
    missing.fold(filter.to_owned(), |filter, (target, level)| format!("{filter},{target}={level}"))
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {0:?} is not a level (error, warn, info, debug, trace) or a list of target=level")]
pub struct InvalidFilter(String);

/// Displays an error and its causes in one line, without repeating what a cause already says.
#[derive(Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut said, mut cause) = words(self.0);
        let mut whole = said.clone();
        while let Some(error) = cause {
            let (text, next) = words(error);
            if !said.contains(&text) {
                whole.push_str(": ");
                whole.push_str(&text);
            }
            (said, cause) = (text, next);
        }
        f.write_str(&shortened(&whole))
    }
}

/// A text without its middle where it is long: API servers repeat whole objects, and what is wrong with them
/// stands at the ends.
pub fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let head = text.floor_char_boundary(MAX_TEXT * 2 / 3);
    let tail = text.ceil_char_boundary(text.len() - MAX_TEXT / 3);
    Cow::Owned(format!("{} [{} bytes] {}", &text[..head], tail - head, &text[tail..]))
}

/// An error and its causes on one short line.
pub fn brief(error: &(dyn Error + 'static)) -> String {
    let text = ErrorChain(error).to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    shortened(&text).into_owned()
}

/// Splits an error into its own message and its cause. The client's own errors repeat their causes, and append a
/// debug form of the API server's answer, of which only the message is for people.
fn words<'a>(error: &'a (dyn Error + 'static)) -> (String, Option<&'a (dyn Error + 'static)>) {
    if let Some(kube::Error::Api(status)) = error.downcast_ref() {
        return (status.message.clone(), None);
    }
    match error.downcast_ref() {
        Some(watcher::Error::InitialListFailed(cause)) => ("failed to list".to_owned(), Some(cause)),
        Some(watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause)) => {
            ("failed to watch".to_owned(), Some(cause))
        }
        Some(watcher::Error::WatchError(status)) => (format!("failed to watch: {}", status.message), None),
        _ => (error.to_string(), error.source()),
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
    fn the_audit_is_written_whatever_the_level() {
        assert_eq!(with_defaults("warn"), "warn,kube_runtime=error,kube_client=error,audit=info");
        assert_eq!(with_defaults("info,audit=off"), "info,audit=off,kube_runtime=error,kube_client=error");
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        let root = Link { text: "connection refused", source: None };
        let middle = Link { text: "client error: connection refused", source: Some(Box::new(root)) };
        let top = Link { text: "failed to list exports", source: Some(Box::new(middle)) };
        assert_eq!(ErrorChain(&top).to_string(), "failed to list exports: client error: connection refused");
    }

    #[test]
    fn a_long_text_keeps_its_ends() {
        let whole = "ä".repeat(MAX_TEXT / 2);
        assert_eq!(shortened(&whole), whole);
        let long = format!("the object is invalid: {}: must be short", "ä".repeat(5000));
        let short = shortened(&long);
        assert!(
            short.starts_with("the object is invalid: ä") && short.ends_with("ä: must be short"),
            "{short}"
        );
        assert!(short.len() < MAX_TEXT + 20 && short.contains(" bytes] "), "{short}");
    }

    #[test]
    fn a_brief_error_is_one_short_line() {
        assert_eq!(brief(&Link { text: "two\n  lines", source: None }), "two lines");
        let long: &'static str = Box::leak("é".repeat(MAX_TEXT).into_boxed_str());
        let said = brief(&Link { text: long, source: None });
        assert!(said.len() < MAX_TEXT + 20, "{}", said.len());
    }

    #[test]
    fn of_an_answer_of_the_api_server_only_the_message_is_said() {
        let status = kube::core::Status {
            message: "secrets is forbidden".to_owned(),
            code: 403,
            ..Default::default()
        };
        let error = watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)));
        assert_eq!(ErrorChain(&error).to_string(), "failed to list: secrets is forbidden");
    }
}
