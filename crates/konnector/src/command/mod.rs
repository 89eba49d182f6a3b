//! Commands that end by themselves: `check`, `drain`, `release`, `plan`, `delete-former` and `orphans`.

mod check;
mod drain;
mod former;
mod holder;
mod inventory;
mod orphans;
mod preview;
mod release;

use std::process::ExitCode;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use portolan_core::api::kubebind::ClusterSecretKeyRef;
use portolan_runtime::{process, telemetry::ErrorChain};

use crate::{
    args::{Command, KonnectorArgs, PlanCommand},
    secrets::{self, SecretState},
};

/// Runs a command.
pub fn run(args: &KonnectorArgs, command: &Command) -> ExitCode {
    match command {
        Command::Check(how) => portolan_runtime::check::run(&args.log, how, || check::checks(args)),
        Command::Drain(what) => process::run_command(&args.log, || drain::drain(args, what)),
        Command::Release(what) => process::run_command(&args.log, || release::release(args, &what.bundle)),
        Command::Plan(PlanCommand::Delete { bundle }) => {
            process::run_command(&args.log, || preview::delete(args, bundle))
        }
        Command::Plan(PlanCommand::Former { bundle, provider_kubeconfig }) => {
            process::run_command(&args.log, || former::plan(args, bundle, provider_kubeconfig))
        }
        Command::DeleteFormer(what) => process::run_command(&args.log, || former::delete(args, what)),
        Command::Plan(PlanCommand::Withdraw { bundle }) => {
            process::run_command(&args.log, || preview::withdraw(args, bundle))
        }
        Command::Orphans(what) => process::run_command(&args.log, || orphans::run(args, what)),
    }
}

/// One line of a command's result.
#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

/// Reads a Secret with a kubeconfig again.
async fn secret_state(args: &KonnectorArgs, client: &Client, reference: &ClusterSecretKeyRef) -> SecretState {
    if !args.allowed_secret_namespaces().contains(&reference.namespace) {
        let allowed = args.allowed_secret_namespaces().into_iter().collect::<Vec<_>>().join(", ");
        return SecretState::NamespaceNotAllowed { allowed };
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), &reference.namespace);
    match api.get_opt(&reference.name).await {
        Ok(secret) => secrets::state_of(secret.as_ref(), &reference.key),
        Err(error) => SecretState::Unreadable(ErrorChain(&error).to_string()),
    }
}
