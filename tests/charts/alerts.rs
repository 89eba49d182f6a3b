//! The alerts of the charts, as Prometheus judges them: each fires on bad series and is silent on good ones.

use std::process::Command;

use portolan_testkit::clients;

use super::{SERVICES, chart, folder};

/// The package that the Go module names as its tool.
const PROMTOOL: &str = "github.com/prometheus/prometheus/cmd/promtool";
/// Without what finds targets in clouds, which takes longer to compile than all the rest.
const TAGS: &str = "remove_all_sd";

#[test]
fn alerts_fire_and_are_silent() {
    let Some(promtool) = clients::go_tool(&folder("tests/promtool"), PROMTOOL, TAGS).unwrap() else {
        return println!("skipped: {}: there is no Go: https://go.dev/dl", module_path!());
    };
    for service in SERVICES {
        for (verb, file) in [("check", "alerts.yaml"), ("test", "alerts-test.yaml")] {
            let mut command = Command::new(&promtool);
            command.args([verb, "rules", file]).current_dir(chart(service).join("files"));
            let output = command.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{service}, {file}: {}", String::from_utf8_lossy(&said));
        }
    }
}
