//! Commands that end by themselves: `check`, `drain`, `release` and `plan`.

mod check;
mod drain;
mod inventory;
mod preview;
mod release;

use std::process::ExitCode;

use portolan_runtime::process;

use crate::args::{Args, Command, PlanCommand};

/// Runs a command.
pub(crate) fn run(args: &Args, command: &Command) -> ExitCode {
    match command {
        Command::Check(how) => portolan_runtime::check::run(&args.log, how, || check::checks(args)),
        Command::Drain(what) => process::run_command(&args.log, || drain::drain(args, what)),
        Command::Release(what) => process::run_command(&args.log, || release::release(args, &what.bundle)),
        Command::Plan(PlanCommand::Delete { bundle }) => {
            process::run_command(&args.log, || preview::delete(args, bundle))
        }
        Command::Plan(PlanCommand::Withdraw { bundle }) => {
            process::run_command(&args.log, || preview::withdraw(args, bundle))
        }
    }
}

/// One line of a command's result.
#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}
