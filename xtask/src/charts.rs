//! `cargo xtask charts --plain DIR`: the charts as manifests, for people without Helm.
//!
//! Helm renders them here; what only Helm understands is left out. Files are named in the order in which
//! `kubectl apply -f` takes them: the namespace first, and what runs after everything that it needs.

mod plain;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_testkit::clients;

use crate::{output, workspace};

/// The remedy where Helm is missing.
const NO_HELM: &str =
    "Helm is built with Go, and there is none: install Go (https://go.dev/dl), or put helm on the PATH";

/// A chart that can be rendered.
struct Chart {
    name: &'static str,
    namespace: &'static str,
    /// Values that it cannot be without, where the caller gives none: objects to be made by hand. And the objects
    /// that plain manifests of it have had before: an Ingress and an autoscaler.
    values: &'static [&'static str],
}

const CHARTS: [Chart; 8] = [
    Chart { name: "konnector", namespace: "kube-bind", values: &[] },
    Chart { name: "provider", namespace: "portolan", values: &[] },
    Chart {
        name: "token-service",
        namespace: "portolan",
        values: &["existingConfigMap=token-service-config", "tls.secretName=token-service-tls"],
    },
    Chart {
        name: "token-exchange",
        namespace: "portolan",
        values: &[
            "existingConfigMap=token-exchange-config",
            "tls.secretName=token-exchange-tls",
            "ingress.enabled=true",
            "ingress.hosts={token-exchange.example.com}",
            "autoscaling.enabled=true",
        ],
    },
    Chart { name: "listener", namespace: "portolan", values: &["tls.secretName=listener-tls"] },
    Chart {
        name: "gateway",
        namespace: "portolan",
        values: &["tls.secretName=gateway-tls", "listener.caSecretName=listener-tls"],
    },
    Chart { name: "devportal", namespace: "portolan", values: &[] },
    Chart { name: "portal", namespace: "portolan", values: &["tls.secretName=portal-tls"] },
];

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Directory to write to: one directory for each chart, or with --chart this one itself
    #[arg(long, value_name = "DIR")]
    plain: PathBuf,
    /// Only this chart
    #[arg(long, value_name = "NAME")]
    chart: Option<String>,
    /// Namespace that everything goes to; by default that of the chart's README
    #[arg(long)]
    namespace: Option<String>,
    /// Values of the chart, as `helm template --values` takes them
    #[arg(long, value_name = "FILE", requires = "chart")]
    values: Vec<PathBuf>,
    /// One value of the chart, as `helm template --set` takes it
    #[arg(long, value_name = "VALUE", requires = "chart")]
    set: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let chosen = chosen(args.chart.as_deref())?;
    let root = workspace::root()?;
    let helm = helm()?;
    for chart in chosen {
        let namespace = args.namespace.as_deref().unwrap_or(chart.namespace);
        let mut command = Command::new(&helm);
        command.args(["template", chart.name]).arg(root.join("charts").join(chart.name));
        command.args(["--namespace", namespace]).args(values(chart, args));
        let rendered = stdout(&mut command).with_context(|| format!("charts/{}", chart.name))?;
        let folder = if args.chart.is_some() { args.plain.clone() } else { args.plain.join(chart.name) };
        let files = plain::files(&rendered, namespace)?;
        write(&folder, &files)?;
        output::line(format_args!(
            "{}: {} files; kubectl apply -f {}",
            chart.name,
            files.len(),
            folder.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static Chart>> {
    let chosen: Vec<_> = CHARTS.iter().filter(|chart| name.is_none_or(|name| name == chart.name)).collect();
    if chosen.is_empty() {
        let known = CHARTS.map(|chart| chart.name).join(", ");
        bail!("no chart {}; there are: {known}", name.unwrap_or_default());
    }
    Ok(chosen)
}

/// Arguments for Helm. Who gives values, gives all of them.
fn values(chart: &Chart, args: &Args) -> Vec<String> {
    let files = args.values.iter().flat_map(|file| ["--values".to_owned(), file.display().to_string()]);
    let mut given: Vec<_> = files.collect();
    given.extend(args.set.iter().flat_map(|value| ["--set".to_owned(), value.clone()]));
    if given.is_empty() {
        given.extend(chart.values.iter().flat_map(|&value| ["--set".to_owned(), value.to_owned()]));
    }
    given
}

/// The Helm that tests use, or where that cannot be had, the machine's.
fn helm() -> Result<PathBuf> {
    let built = clients::helm();
    if let Ok(Some(helm)) = built {
        return Ok(helm);
    }
    let installed = Command::new("helm").arg("version").output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Ok("helm".into());
    }
    let Err(error) = built else { bail!(NO_HELM) };
    // Go says a lot, and at the end what it was.
    let said = format!("{error:#}");
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    bail!("Helm cannot be built from tests/clients/helm: fix that, or put helm on the PATH: {}", last.trim());
}

fn stdout(command: &mut Command) -> Result<String> {
    let output = command.output().context("starting Helm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", reason(&said));
    Ok(String::from_utf8(output.stdout)?)
}

/// The reason of Helm's failure, in one line, without its words on links and debugging.
fn reason(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let kept = lines.filter(|line| !line.starts_with("walk.go:") && !line.starts_with("Use --debug"));
    kept.map(|line| line.trim_start_matches("Error: ")).collect::<Vec<_>>().join(" ")
}

/// Replaces what an earlier run has written, and nothing else.
fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && fs::read_to_string(&path).is_ok_and(|text| text.starts_with(plain::HEADER)) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        ensure!(!path.exists(), "{} is not ours: move it away", path.display());
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_chosen_by_its_name() {
        assert_eq!(chosen(None).unwrap().len(), 8);
        assert_eq!(chosen(Some("provider")).unwrap()[0].namespace, "portolan");
        let error = chosen(Some("lib")).err().unwrap().to_string();
        assert_eq!(
            error,
            "no chart lib; there are: konnector, provider, token-service, token-exchange, listener, gateway, devportal, portal"
        );
    }

    #[test]
    fn values_of_ones_own_are_the_only_ones() {
        let args = |values: &[&str], set: &[&str]| Args {
            plain: PathBuf::new(),
            chart: None,
            namespace: None,
            values: values.iter().map(PathBuf::from).collect(),
            set: set.iter().map(|&value| value.to_owned()).collect(),
        };
        assert_eq!(values(&CHARTS[0], &args(&[], &[])), [""; 0]);
        assert_eq!(values(&CHARTS[2], &args(&[], &[]))[1], "existingConfigMap=token-service-config");
        assert_eq!(values(&CHARTS[2], &args(&["f"], &["a=b"])), ["--values", "f", "--set", "a=b"]);
    }

    #[test]
    fn reasons_are_one_line() {
        let said =
            "walk.go:75: found a link\nError: values are not right:\nx:\n- at '/a': no\n\nUse --debug flag\n";
        assert_eq!(reason(said), "values are not right: x: - at '/a': no");
    }

    #[test]
    fn only_files_of_an_earlier_run_are_replaced() {
        let folder = std::env::temp_dir().join(format!("portolan-plain-{}", std::process::id()));
        let file = |name: &str| vec![(name.to_owned(), format!("{}a: 1\n", plain::HEADER))];
        write(&folder, &file("old.yaml")).unwrap();
        fs::write(folder.join("own.yaml"), "b: 2\n").unwrap();
        write(&folder, &file("new.yaml")).unwrap();
        assert!(!folder.join("old.yaml").exists() && folder.join("own.yaml").exists());
        let refused = write(&folder, &file("own.yaml")).unwrap_err().to_string();
        assert!(refused.ends_with("own.yaml is not ours: move it away"), "{refused}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
