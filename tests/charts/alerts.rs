//! The alerts of the charts, as Prometheus judges them: each fires on bad series and is silent on good ones.

use std::process::Command;

use portolan_testkit::clients::{self, Toolchain};

use super::{SERVICES, chart};

#[test]
fn alerts_fire_and_are_silent() {
    let Some(promtool) = clients::promtool().unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::GoTool("").absence());
    };
    for service in SERVICES {
        for (verb, file) in [("check", "alerts.yaml"), ("test", "alerts-test.yaml")] {
            let mut command = Command::new(&promtool);
            let output =
                command.args([verb, "rules", file]).current_dir(chart(service).join("files")).output();
            let output = output.unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{service}, {file}: {}", String::from_utf8_lossy(&said));
        }
    }
}
