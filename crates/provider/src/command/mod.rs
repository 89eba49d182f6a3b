//! Commands that end by themselves: `consumers`, `revoke` and `check`. They work with the rights of whoever runs them.

mod check;
mod consumers;
mod revoke;

use std::process::ExitCode;

use portolan_core::names;
use portolan_runtime::process;

use crate::{
    args::{Command, ControllerArgs},
    kubeconfig,
};

/// A mistake on the command line.
#[derive(Debug, thiserror::Error)]
#[error("--consumer")]
struct BadConsumer(#[source] names::InvalidName);

/// Runs a command.
pub fn run(args: &ControllerArgs, command: &Command) -> ExitCode {
    match command {
        Command::Kubeconfig(order) => kubeconfig::run(order, &args.client, &args.log),
        Command::Check(how) => portolan_runtime::check::run(&args.log, how, || check::checks(args)),
        Command::Consumers(how) => {
            process::run_command(&args.log, || consumers::list(args.client.clone(), how.output))
        }
        Command::Revoke(whom) => match names::contract_namespace(&whom.consumer) {
            Ok(namespace) => process::run_command(&args.log, || {
                revoke::revoke(args.client.clone(), whom.consumer.clone(), namespace)
            }),
            Err(error) => process::usage(&BadConsumer(error)),
        },
    }
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "what is beside the result goes to standard error")]
fn note(line: &str) {
    eprintln!("note: {line}");
}
