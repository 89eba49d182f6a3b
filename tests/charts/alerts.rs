//! The alerts of the charts, as Prometheus judges them: each fires on bad series and is silent on good ones.

use std::process::{Command, Output};

use super::{SERVICES, chart};

/// Compiling it takes more than four minutes of processor time, so it is not built for one test.
const CURE: &str = "go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@v0.315.0";

fn promtool(service: &str, arguments: &[&str]) -> Option<Output> {
    Command::new("promtool").args(arguments).current_dir(chart(service).join("files")).output().ok()
}

#[test]
fn alerts_fire_and_are_silent() {
    for service in SERVICES {
        for (verb, file) in [("check", "alerts.yaml"), ("test", "alerts-test.yaml")] {
            let Some(output) = promtool(service, &[verb, "rules", file]) else {
                return println!("skipped: {}: there is no promtool on the PATH: {CURE}", module_path!());
            };
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{service}, {file}: {}", String::from_utf8_lossy(&said));
        }
    }
}
