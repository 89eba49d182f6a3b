//! The exchange of tokens, which is a program of its own: its former names report that and start it.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    process::ExitCode,
};

use clap::{Arg, Command};
use portolan_runtime::{process, program::become_program};

/// The program.
const PROGRAM: &str = "token-exchange";
/// The subcommand that the exchange once was.
const SUBCOMMAND: &str = "exchange";
/// A name under which this program was the exchange, and which the other one knows too.
const ORIGINAL_NAME: &str = "kfca";

/// The program is neither beside ours nor on the `PATH`.
#[derive(Debug, thiserror::Error)]
#[error("failed to start {PROGRAM}: install it beside token-service, or on the PATH")]
struct NotStarted(#[source] io::Error);

/// The command line of the program, where ours asks for the exchange. `command` is what we understand ourselves.
pub fn command_line(command: &Command, line: &[OsString]) -> Option<Vec<OsString>> {
    let (called, arguments) = line.split_first()?;
    if Path::new(called).file_name() == Some(OsStr::new(ORIGINAL_NAME)) {
        return Some(line.to_vec());
    }
    let (shared, rest) = around_subcommand(command, arguments)?;
    Some([vec![PROGRAM.into()], shared, rest.to_vec()].concat())
}

/// The flags before the subcommand that are for every command, and all that follows it.
fn around_subcommand<'a>(
    command: &Command,
    arguments: &'a [OsString],
) -> Option<(Vec<OsString>, &'a [OsString])> {
    let (mut shared, mut rest) = (Vec::new(), arguments);
    loop {
        let word = rest.first()?.to_str()?;
        if word == SUBCOMMAND {
            return Some((shared, &rest[1..]));
        }
        let flag = word.strip_prefix("--")?;
        let name = flag.split_once('=').map_or(flag, |(name, _)| name);
        let known = command.get_arguments().find(|arg| is_called(arg, name))?;
        let value_follows = known.get_action().takes_values() && !flag.contains('=');
        let (words, later) = rest.split_at_checked(1 + usize::from(value_follows))?;
        if known.is_global_set() {
            shared.extend_from_slice(words);
        }
        rest = later;
    }
}

fn is_called(arg: &Arg, name: &str) -> bool {
    arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

/// Becomes the program. Comes back only when that fails.
#[expect(clippy::print_stderr, reason = "said before there is a log, and whatever its filter")]
pub fn start(line: &[OsString]) -> ExitCode {
    eprintln!("the exchange is a program of its own now, {PROGRAM}: starting it instead");
    process::usage(&NotStarted(become_program(PROGRAM, line)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::TokenServiceArgs;

    /// Ours, and that of the exchange, if it is asked for.
    type Row<'a> = (&'a [&'a str], Option<&'a [&'a str]>);

    #[test]
    fn who_asks_for_the_exchange_gets_its_command_line() {
        let table: [Row<'_>; 13] = [
            (&["token-service", "exchange"], Some(&["token-exchange"])),
            (
                &["/bin/token-service", "exchange", "--config", "c", "check", "-o", "json"],
                Some(&["token-exchange", "--config", "c", "check", "-o", "json"]),
            ),
            (
                &["token-service", "--log-level", "debug", "--config=c", "exchange", "--http-port", "1"],
                Some(&["token-exchange", "--log-level", "debug", "--config=c", "--http-port", "1"]),
            ),
            // An alias, and flags that the reviews alone have.
            (
                &["token-service", "--logging-format", "json", "--port", "1", "--plain-http", "exchange"],
                Some(&["token-exchange", "--logging-format", "json"]),
            ),
            (&["/tmp/kfca", "-http-port", "1"], Some(&["/tmp/kfca", "-http-port", "1"])),
            (&["kfca"], Some(&["kfca"])),
            (&["token-service"], None),
            (&["token-service", "--config", "exchange"], None),
            (&["token-service", "check", "exchange"], None),
            (&["token-service", "--unknown", "exchange"], None),
            (&["token-service", "--", "exchange"], None),
            (&["token-service", "--help"], None),
            (&[], None),
        ];
        let owned = |line: &[&str]| line.iter().map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in table {
            assert_eq!(
                command_line(&TokenServiceArgs::command(), &owned(line)),
                expected.map(owned),
                "{line:?}"
            );
        }
    }
}
