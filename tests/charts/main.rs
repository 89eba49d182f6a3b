//! Objects that the charts render, with Helm and without a cluster: values, a place in an object, and the expected
//! content.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy takes the helpers of a test for other code"
)]

mod alerts;
mod names;
mod pods;
mod refusals;
mod rights;
mod switches;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use portolan_testkit::clients::{self, Toolchain};
use serde_json::Value;

/// The charts of services.
const SERVICES: [&str; 8] = [
    "konnector",
    "provider",
    "token-service",
    "token-exchange",
    "listener",
    "gateway",
    "devportal",
    "portal",
];
/// Those that answer requests.
const ANSWERING: [&str; 2] = ["token-service", "token-exchange"];
/// Values that those charts cannot be without.
const CONFIGURED: &str = "existingConfigMap: config\ntls: {secretName: tls}\n";
/// Values for a portal that people log in to.
const LOGIN: &str = "externalUrl: https://p.example\noidc: {issuer: 'https://i.example', clientId: c}\n";
/// Of the release that is rendered.
const RELEASE: &str = "r";
const NAMESPACE: &str = "ns";

/// An object, a JSON pointer into it, and what stands there. The object is a kind, or a kind and a name; what is not
/// there is null.
type Row = (&'static str, &'static str, Value);

/// A folder of this repository.
fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn chart(name: &str) -> PathBuf {
    folder("charts").join(name)
}

/// `None`, and a line that says so, where there is no Go to build Helm with.
fn helm() -> Option<PathBuf> {
    let helm = clients::helm().unwrap();
    if helm.is_none() {
        println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
    }
    helm
}

/// `helm template` of a chart in some folder.
fn template(release: &str, chart: &Path, values: &str) -> Option<Output> {
    let helm = helm()?;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("values.yaml");
    fs::write(&file, values).unwrap();
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(chart).args(["--namespace", NAMESPACE, "--values"]).arg(file);
    Some(command.env_clear().env("HOME", home.path()).output().unwrap())
}

/// The values, on top of what the chart cannot be without.
fn sufficient(service: &str, values: &str) -> String {
    let has = |key: &str| values.lines().any(|line| line.starts_with(key));
    if ["listener", "gateway", "portal"].contains(&service) && !has("tls:") && !has("plainHttp:") {
        return format!("tls: {{secretName: tls}}\n{values}");
    }
    if ANSWERING.contains(&service) && !values.contains("existing") && !values.contains("config:") {
        format!("{CONFIGURED}{values}")
    } else {
        values.to_owned()
    }
}

/// The objects that a chart renders.
fn objects(release: &str, chart: &Path, values: &str) -> Option<Vec<Value>> {
    let output = template(release, chart, values)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} with {values:?}: {said}", chart.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document.trim_start_matches("---")));
    Some(objects.map(Result::unwrap).filter(Value::is_object).collect())
}

/// The objects of a service's chart.
fn rendered(service: &str, values: &str) -> Option<Vec<Value>> {
    objects(RELEASE, &chart(service), &sufficient(service, values))
}

fn find<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let (kind, name) = name.split_once(' ').map_or((name, None), |(kind, name)| (kind, Some(name)));
    let is_meant = |object: &&Value| {
        object["kind"] == kind && name.is_none_or(|name| object["metadata"]["name"] == name)
    };
    objects.iter().find(is_meant).unwrap_or(&Value::Null)
}

/// Holds what was rendered against rows.
fn compare(place: &str, objects: &[Value], rows: &[Row]) {
    for (name, pointer, expected) in rows {
        let object = find(objects, name);
        let found = object.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{place}: {pointer} of {name}: {object:#}");
    }
}

/// A service's chart with some values has these rows.
fn renders(service: &str, values: &str, rows: &[Row]) {
    if let Some(objects) = rendered(service, values) {
        compare(&format!("{service} with {values:?}"), &objects, rows);
    }
}

/// Renders NOTES.txt: a chart's extra object may hold it.
fn notes(service: &str, values: &str) -> Option<String> {
    let notes = "{{ include (print .Template.BasePath \"/NOTES.txt\") . | toJson }}";
    let extra = format!("extraObjects: ['{{kind: Notes, text: {notes}}}']\n{values}");
    let objects = rendered(service, &extra)?;
    Some(find(&objects, "Notes")["text"].as_str().unwrap().to_owned())
}
