//! The life of a process: globals, signals, the admin port, the work, and an orderly end.

use std::{
    future::Future,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tracing::{error, info, warn};

use crate::{
    admin,
    args::{AdminArgs, DrainArgs, EXIT_USAGE, LogArgs},
    client::{self, ClientError},
    metrics::Metrics,
    readiness::Readiness,
    server::ListenError,
    tasks::Tasks,
    telemetry::{self, ErrorChain},
    tls::TlsError,
};

/// Exit code of a process that panicked (`EX_SOFTWARE`).
const EXIT_SOFTWARE: i32 = 70;
const TERMINATE: &str = "SIGTERM";
/// Limit for tasks to finish after a signal.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// The parts of a process that a service uses.
#[derive(Clone, Debug)]
pub struct Process {
    /// The tasks of the process.
    pub tasks: Tasks,
    /// Parts that `/readyz` waits for.
    pub readiness: Readiness,
    /// Metrics that `/metrics` shows.
    pub metrics: Metrics,
}

/// The error that kept a service from starting or made it stop.
pub type ProcessFailure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a service until a signal, a lost lease or a failure ends it.
///
/// `start` sets the service up and returns; its tasks go on. SIGTERM and SIGINT cancel them, and the process
/// exits with 0 once they have ended. A second signal ends it at once.
///
/// # Examples
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use clap::Parser;
/// use portolan_runtime::{
///     args::{self, AdminArgs, LogArgs},
///     process,
/// };
///
/// /// Greets.
/// #[derive(Parser)]
/// struct HelloArgs {
///     #[command(flatten)]
///     log: LogArgs,
///     #[command(flatten)]
///     admin: AdminArgs,
/// }
///
/// fn main() -> ExitCode {
///     let args: HelloArgs = match args::parse("hello") {
///         Ok(args) => args,
///         Err(code) => return code,
///     };
///     process::run("hello", &args.log, &args.admin, |process| async move {
///         let greetings = process.metrics.counters("greetings_total", "Greetings by language.", &["language"]);
///         process.tasks.spawn("greeter", async move { greetings.with_label_values(&["en"]).inc() });
///         Ok(())
///     })
/// }
/// ```
pub fn run<F>(
    service: &'static str,
    log: &LogArgs,
    admin: &AdminArgs,
    start: impl FnOnce(Process) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), ProcessFailure>>,
{
    run_asked(service, log, admin, DrainArgs { drain_delay: Duration::ZERO }, start)
}

/// Runs a service that clients call. After SIGTERM it is not ready and continues to serve for a while, because Services
/// and Ingresses send requests until they learn of its end. Then it ends as in [`run`].
pub fn run_asked<F>(
    service: &'static str,
    log: &LogArgs,
    admin: &AdminArgs,
    drain: DrainArgs,
    start: impl FnOnce(Process) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), ProcessFailure>>,
{
    if let Err(error) = telemetry::init(log) {
        return usage(&error);
    }
    install_globals();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("an operating system that can run threads");
    let process =
        Process { tasks: Tasks::default(), readiness: Readiness::default(), metrics: Metrics::new(service) };
    let code = runtime.block_on(live(service, admin, drain, process, start));
    telemetry::flush();
    code
}

/// Runs a command that ends by itself, such as `provider kubeconfig`.
pub fn run_command<F>(log: &LogArgs, command: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<(), ProcessFailure>>,
{
    run_for_code(log, || async {
        match command().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                say(&ErrorChain(&*failure).to_string());
                code(&*failure)
            }
        }
    })
}

/// Runs a command that ends by itself and whose exit code says more than whether it worked.
pub fn run_for_code<F>(log: &LogArgs, command: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = ExitCode>,
{
    if let Err(error) = telemetry::init(log) {
        return usage(&error);
    }
    install_globals();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("an operating system that can run threads");
    let code = runtime.block_on(command());
    telemetry::flush();
    code
}

/// A failure that nothing but another configuration helps against: files that cannot be read, and what is in them.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Misconfigured(ProcessFailure);

/// Marks a failure as one of the configuration.
#[must_use]
pub fn misconfigured(failure: impl Into<ProcessFailure>) -> Misconfigured {
    Misconfigured(failure.into())
}

/// The exit code for a failure: whether trying again makes sense.
fn code(failure: &(dyn std::error::Error + 'static)) -> ExitCode {
    let configuration = failure.is::<Misconfigured>()
        || failure.is::<ClientError>()
        || failure.is::<TlsError>()
        || failure.is::<ListenError>()
        || failure.is::<admin::ListenError>();
    if configuration { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// Says what is wrong with the configuration, and gives the exit code for it.
pub fn usage(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    say(&ErrorChain(error).to_string());
    ExitCode::from(EXIT_USAGE)
}

#[expect(
    clippy::print_stderr,
    reason = "a command line's error goes to standard error, whatever the log filter"
)]
fn say(line: &str) {
    telemetry::flush();
    eprintln!("error: {line}");
}

/// Prints the result of a command.
#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
pub fn print(text: &str) {
    print!("{text}");
}

async fn live<F>(
    service: &'static str,
    admin_args: &AdminArgs,
    drain: DrainArgs,
    process: Process,
    start: impl FnOnce(Process) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), ProcessFailure>>,
{
    let tasks = process.tasks.clone();
    client::register(&process.metrics);
    info!(service, version = env!("CARGO_PKG_VERSION"), "starting");
    listen_for_signals(&tasks, process.readiness.clone(), drain.drain_delay);
    let starting = process.readiness.expect("start", "starting");
    let router = admin::router(process.metrics.clone(), process.readiness.clone());
    if let Err(error) = admin::serve(&tasks, admin_args.admin_address, router).await {
        return usage(&error);
    }
    let begun = async || {
        starting.forget();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // With its first step, a service has named what it waits for: nobody must see it ready before.
        biased;
        started = start(process) => if let Err(failure) = started {
            error!("{}", ErrorChain(&*failure));
            return code(&*failure);
        },
        () = begun() => {}
        () = tasks.cancelled() => {}
    }
    starting.forget();
    tasks.cancelled().await;
    finish(&tasks).await
}

async fn finish(tasks: &Tasks) -> ExitCode {
    if !tasks.drained(DRAIN_LIMIT).await {
        warn!(seconds = DRAIN_LIMIT.as_secs(), "some tasks did not finish in time");
    }
    let asked_to_stop = STOP_REQUESTED.load(Ordering::SeqCst);
    info!(asked_to_stop, "stopped");
    if asked_to_stop { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Set once a signal has asked for the end, which makes the end a success.
static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

fn listen_for_signals(tasks: &Tasks, readiness: Readiness, delay: Duration) {
    let mut terminate = signal(SignalKind::terminate()).expect("signal handlers can be installed");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signal handlers can be installed");
    let stop = tasks.clone();
    let listener = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => TERMINATE,
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let first = next().await;
        STOP_REQUESTED.store(true, Ordering::SeqCst);
        // Ctrl-C comes from a person, without a Service in front of the process.
        if first == TERMINATE && !delay.is_zero() {
            readiness.expect("end", "shutting down");
            info!(
                seconds = delay.as_secs_f64(),
                "not ready any more; serving until clients have learned of it"
            );
            tokio::select! {
                () = sleep(delay) => {}
                // Something else ends it.
                () = stop.cancelled() => {}
                _ = next() => exit(1),
            }
        }
        info!(
            signal = first,
            "shutting down: finishing work in progress; send the signal again to exit at once"
        );
        stop.cancel();
        next().await;
        exit(1);
    };
    // Not tracked: it must outlive the tasks that it ends, and must not be waited for.
    #[expect(clippy::disallowed_methods, reason = "see above")]
    tokio::spawn(listener);
}

/// Installs what exists once per process. Only this crate does.
fn install_globals() {
    // A second installation (tests) keeps the first provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default_hook(panic);
        error!(%panic, "a task panicked: exiting, so that a restart rebuilds the state from the cluster");
        exit(EXIT_SOFTWARE);
    }));
}

#[expect(clippy::exit, reason = "the two ends that cannot unwind: a second signal and a panic in a task")]
fn exit(code: i32) -> ! {
    telemetry::flush();
    std::process::exit(code)
}
