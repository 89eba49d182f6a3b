//! The client of the token exchange: shows a token of one cluster, prints one of another.
//!
//! It asks `POST /exchangeToken` once. As a credential plugin of kubectl it writes one file in the user's
//! cache, and asks again only shortly before what is in there ends.

mod args;
mod ask;
mod cache;
mod failure;
mod output;

use std::process::ExitCode;

use portolan_runtime::{
    args::{LogArgs, LogFormat},
    clock, process,
};

pub use crate::args::CliArgs;
use crate::{
    args::Output,
    ask::{Answer, Question},
    cache::Cache,
    failure::Failure,
};

/// Runs the command. The exit code is 0; 1 when the service refuses; 64 for a mistake on the command line; 75
/// when another try may help.
pub fn run(args: &CliArgs) -> ExitCode {
    if let Some(shell) = args.completions {
        output::completions(shell);
        return ExitCode::SUCCESS;
    }
    let log = LogArgs { log_level: "error".to_owned(), log_format: LogFormat::Text };
    process::run_for_code(&log, || async {
        match print(args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    })
}

async fn print(args: &CliArgs) -> Result<(), Failure> {
    let question = args.question().await?;
    match args.output {
        Output::Json => output::json(&ask::ask(&question).await?),
        Output::Token => output::token(&ask::ask(&question).await?),
        Output::ExecCredential => {
            let answer = credential(args, &question).await?;
            output::exec_credential(&answer, args.exec_info.as_deref());
        }
    }
    Ok(())
}

/// Returns the kept credential, as long as it lasts; otherwise asks the service.
async fn credential(args: &CliArgs, question: &Question) -> Result<Answer, Failure> {
    let Some(cache) = args.cache_dir().map(|directory| Cache::new(&directory, question)) else {
        return ask::ask(question).await;
    };
    let kept = cache.read(clock::now());
    if let Some(kept) = kept.as_ref().filter(|kept| kept.lasts) {
        return Ok(kept.answer.clone());
    }
    match (ask::ask(question).await, kept) {
        (Ok(answer), _) => {
            if let Err(error) = cache.write(&answer, clock::now()) {
                output::warn(&format!("the credential is not kept: {error}"));
            }
            Ok(answer)
        }
        // It has a minute left, and the service will be back.
        (Err(Failure::Temporary(_)), Some(kept)) => Ok(kept.answer),
        (Err(failure), _) => {
            if matches!(failure, Failure::Refused { .. }) {
                cache.remove();
            }
            Err(failure)
        }
    }
}
