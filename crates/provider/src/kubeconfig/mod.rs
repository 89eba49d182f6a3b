//! `provider kubeconfig`: a consumer's way in, with only the rights that a konnector needs.
//!
//! It works with the rights of whoever runs it, not with those of the provider's own account. The same kubeconfig
//! is kept in Secret `kubeconfig` of the contract namespace, where the provider renews it.

pub mod account;
mod options;
mod render;
pub mod secret;

use std::{io::Write as _, process::ExitCode};

use kube::Config;
use portolan_runtime::{
    args::{ClientArgs, LogArgs},
    client,
    process::{self, ProcessFailure},
};

use self::{
    options::KubeconfigOptions,
    render::{Access, pem},
};
use crate::args::KubeconfigArgs;

/// Reasons why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
enum KubeconfigFailure {
    #[error(
        "a konnector could not use this kubeconfig: give --server with a URL that the consumer can reach"
    )]
    Unusable(#[source] portolan_core::kubeconfig::KubeconfigError),
    #[error("failed to write the kubeconfig to standard output")]
    Output(#[source] std::io::Error),
}

/// Runs the command.
pub fn run(args: &KubeconfigArgs, cluster: &ClientArgs, log: &LogArgs) -> ExitCode {
    let options = match KubeconfigOptions::read(args) {
        Ok(options) => options,
        Err(error) => return process::usage(&error),
    };
    process::run_command(log, || issue(options, cluster.clone()))
}

async fn issue(options: KubeconfigOptions, cluster: ClientArgs) -> Result<(), ProcessFailure> {
    let config = client::configuration(&cluster).await?;
    let client = client::of(config.clone())?;
    account::ensure(&client, &options).await?;
    let token = account::token(&client, &options).await?;
    if let Some(shortened) = &token.shortened {
        note(shortened);
    }
    let access = access(&options, &config, token.text);
    let kubeconfig = render::render(&access);
    let kept = account::keep(&client, &options.namespace, &secret::secret(&access, token.life)).await?;
    if !kept {
        note("Secret kubeconfig of the contract namespace belongs to somebody else and is not renewed");
    }
    // What a konnector would refuse is not handed out.
    portolan_core::kubeconfig::parse(kubeconfig.as_bytes()).map_err(KubeconfigFailure::Unusable)?;
    std::io::stdout().write_all(kubeconfig.as_bytes()).map_err(KubeconfigFailure::Output)?;
    Ok(())
}

fn access(options: &KubeconfigOptions, config: &Config, token: String) -> Access {
    let own_server = || config.cluster_url.to_string().trim_end_matches('/').to_owned();
    if options.server.is_none() && render::is_local(&own_server()) {
        note(&format!(
            "{} is reachable from this machine only: if the konnector runs elsewhere, give --server",
            own_server()
        ));
    }
    if options.certificate_authority.is_none() && config.accept_invalid_certs {
        note(
            "your kubeconfig does not verify the server, a konnector does: give --ca-file if its CA is private",
        );
    }
    let own_authority = || config.root_cert.as_ref().map(|certificates| pem(certificates));
    Access {
        server: options.server.clone().unwrap_or_else(own_server),
        // A name to verify belongs to our own way to the server.
        tls_server_name: config.tls_server_name.clone().filter(|_| options.server.is_none()),
        certificate_authority: options.certificate_authority.clone().or_else(own_authority),
        token,
        namespace: options.namespace.clone(),
    }
}

#[expect(clippy::print_stderr, reason = "standard output holds nothing but the kubeconfig")]
fn note(line: &str) {
    eprintln!("note: {line}");
}
