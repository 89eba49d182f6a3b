//! Running a program as a service: its environment, and the error when it fails. A shell plays it.

use std::time::Duration;

use portolan_testkit::service::run;
use portolan_testkit::{ServiceOptions, ServiceProcess, eventually};

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> ServiceOptions {
    let options =
        ServiceOptions { program: Some("/bin/sh".into()), ..ServiceOptions::new("probe", "a kubeconfig") };
    options.args(["-c", script])
}

#[tokio::test]
async fn a_command_sees_its_environment_and_nothing_of_ours() {
    let script = r#"cat "$KUBECONFIG"; echo; stat -c %a "$KUBECONFIG"; echo "$POD_NAMESPACE ${CARGO_MANIFEST_DIR-unset}"
        echo trouble >&2; exit 3"#;
    let output = run(&shell(script), SOON).await.unwrap();
    assert_eq!(output.stdout, "a kubeconfig\n600\nportolan unset\n");
    assert_eq!((output.stderr.as_str(), output.status.code()), ("trouble", Some(3)));
}

#[tokio::test]
async fn a_service_that_ends_at_its_start_is_an_error_with_its_log() {
    let failure = ServiceProcess::start(shell("echo bad flag; exit 64")).await.unwrap_err().to_string();
    assert!(failure.contains("probe ended before it was ready (exit status: 64)"), "{failure}");
    assert!(failure.ends_with("bad flag"), "{failure}");
}

#[tokio::test]
async fn a_service_that_is_never_ready_is_an_error_that_says_what_readyz_said() {
    let hanging = ServiceOptions { ready_within: None, ..shell("echo waiting; exec sleep 60") };
    let service = ServiceProcess::start(hanging).await.unwrap();
    let speaks = async || (service.log_tail(1) == "waiting").then_some(());
    eventually("it speaks", SOON, speaks).await.unwrap();
    let failure = service.wait_ready(Duration::from_millis(300)).await.unwrap_err().to_string();
    assert!(failure.contains("/readyz said: http://127.0.0.1:"), "{failure}");
    assert!(failure.ends_with("waiting"), "{failure}");
    assert!(service.rss_mb().unwrap() > 0.0);
    assert!(service.exited().is_none());
    let status = service.terminate(SOON).await.unwrap();
    assert!(!status.success() && service.exited().is_some());
}
