//! Metrics that alerts and dashboards of charts ask for: each is registered by the code of that service.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Project, charts};
use crate::workspace;

/// Beginnings of the paths at which the metrics of a service are registered.
const SOURCES: [(&str, &[&str]); 8] = [
    ("konnector", &["crates/konnector/src/", "crates/runtime/src/controller", "crates/runtime/src/client"]),
    ("provider", &["crates/provider/src/", "crates/runtime/src/controller", "crates/runtime/src/client"]),
    ("token-service", &["crates/token-service/src/metrics", "crates/runtime/src/client"]),
    (
        "listener",
        &["crates/listener/src/metrics", "crates/runtime/src/controller", "crates/runtime/src/client"],
    ),
    ("token-exchange", &["crates/token-exchange/src/", "crates/runtime/src/client"]),
    ("gateway", &["crates/gateway/src/metrics", "crates/runtime/src/client", "crates/runtime/src/traces"]),
    (
        "devportal",
        &["crates/devportal/src/metrics", "crates/runtime/src/controller", "crates/runtime/src/client"],
    ),
    ("portal", &["crates/portal/src/metrics", "crates/runtime/src/client"]),
];
/// Functions of `portolan_runtime::metrics::Metrics` that register, and whether what they register is a histogram.
const REGISTERS: [(&str, bool); 4] =
    [("counters", false), ("gauges", false), ("latencies", true), ("short_latencies", true)];
/// Metrics of kubelets and kube-state-metrics about any pod.
const FOREIGN: [&str; 4] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kube_pod_container_resource_limits",
    "kube_pod_container_status_restarts_total",
];
/// Suffixes of a histogram's series.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];
/// Words of `PromQL` that stand where a metric could.
const WORDS: [&str; 8] = ["and", "bool", "inf", "nan", "offset", "or", "unless", "atan2"];
/// Words that a list of labels follows.
const BEFORE_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// Names metrics that nothing registers, with the place.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let root = &project.root;
    let code = workspace::rust_files(root)?;
    let mut found = Vec::new();
    for chart in charts::with(root, "files/alerts.yaml")? {
        let (_, sources) = SOURCES.iter().find(|(service, _)| *service == chart).with_context(|| {
            format!("say in xtask/src/tidy/chart_metrics.rs where the metrics of {chart} are")
        })?;
        let mut known = BTreeMap::new();
        for file in &code {
            if sources.iter().any(|source| file.to_string_lossy().starts_with(source)) {
                registered(&fs::read_to_string(root.join(file))?, &mut known);
            }
        }
        let alerts = charts::alerts(root, &chart)?.into_iter().map(|alert| (alert.name, alert.expr));
        let mut asked = vec![("alerts.yaml", alerts.collect())];
        let mut queries = Vec::new();
        in_dashboard("", &charts::read(root, &format!("charts/{chart}/files/dashboard.json"))?, &mut queries);
        asked.push(("dashboard.json", queries));
        for (file, queries) in asked {
            let faults = faults(&chart, &known, &queries);
            found.extend(faults.into_iter().map(|fault| format!("charts/{chart}/files/{file}: {fault}")));
        }
    }
    Ok(found)
}

fn faults(chart: &str, known: &BTreeMap<String, bool>, queries: &[(String, String)]) -> Vec<String> {
    let prefix = format!("portolan_{}_", chart.replace('-', "_"));
    let exists = |metric: &str| {
        FOREIGN.contains(&metric)
            || metric.strip_prefix(&prefix).is_some_and(|name| {
                let part = PARTS.iter().find_map(|part| name.strip_suffix(part));
                known.get(name) == Some(&false) || part.is_some_and(|whole| known.get(whole) == Some(&true))
            })
    };
    let mut found = Vec::new();
    for (place, query) in queries {
        let metrics = metrics(query);
        if metrics.is_empty() {
            found.push(format!("{place} asks for nothing: {query}"));
        }
        let unknown = metrics.into_iter().filter(|metric| !exists(metric));
        found.extend(unknown.map(|metric| format!("{place}: nothing registers {metric}")));
    }
    found
}

/// Names that a file registers, without the prefix of the service, and which of them are histograms.
fn registered(text: &str, found: &mut BTreeMap<String, bool>) {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (function, is_histogram) in REGISTERS {
        let helpers = code.lines().filter(|line| line.contains(&format!(".{function}(name,")));
        let helpers = helpers.filter_map(|line| line.trim().strip_prefix("let ")?.split_once(" = |name,"));
        let mut calls = vec![format!(".{function}(")];
        calls.extend(helpers.map(|(helper, _)| format!(" {helper}(")));
        for rest in calls.iter().flat_map(|call| code.split(call.as_str()).skip(1)) {
            if let Some((name, _)) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'))
            {
                found.insert(name.to_owned(), is_histogram);
            }
        }
    }
}

/// Every query of a dashboard, with the title of its panel.
fn in_dashboard(title: &str, part: &Value, found: &mut Vec<(String, String)>) {
    match part {
        Value::Object(fields) => {
            let title =
                fields.get("title").or_else(|| fields.get("name")).and_then(Value::as_str).unwrap_or(title);
            for (key, value) in fields {
                let is_query =
                    key == "expr" || key == "definition" || (key == "query" && fields.contains_key("refId"));
                match value {
                    Value::String(query) if is_query => found.push((title.to_owned(), query.clone())),
                    value => in_dashboard(title, value, found),
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| in_dashboard(title, part, found)),
        _ => {}
    }
}

/// The metrics that a query names: words that are neither labels, numbers, functions nor part of the language.
fn metrics(query: &str) -> Vec<String> {
    let mut words = Vec::<String>::new();
    let mut rest = without(&without(query, '[', ']'), '{', '}');
    // Grafana's own function, whose second argument is a label.
    if let Some(arguments) = rest.trim().strip_prefix("label_values(") {
        rest = arguments.split(',').next().unwrap_or_default().to_owned();
    }
    let mut rest = rest.as_str();
    while let Some(start) = rest.find(is_part) {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |length| start + length);
        let (word, after) = (&rest[start..end], rest[end..].trim_start());
        rest = after;
        // An aggregation may have its labels before what it aggregates.
        let is_function = ["(", "by", "without"].iter().any(|next| after.starts_with(next));
        if BEFORE_LABELS.contains(&word) {
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        } else if !is_function && !WORDS.contains(&word) && !word.starts_with(|c: char| c.is_ascii_digit()) {
            words.push(word.to_owned());
        }
    }
    words
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// A query without what stands in brackets. Label values may hold some, but only in pairs.
fn without(query: &str, open: char, close: char) -> String {
    let (mut kept, mut depth) = (String::new(), 0_usize);
    for c in query.chars() {
        depth += usize::from(c == open);
        if depth == 0 {
            kept.push(c);
        }
        depth -= usize::from(c == close && depth > 0);
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_found_in_queries() {
        let cases: [(&str, &[&str]); 9] = [
            ("absent(a) and absent(b)", &["a", "b"]),
            (
                "sum by (x, y) (rate(a_total{z=~\"c|d\"}[10m])) / on (x) group_left () b > 0.1",
                &["a_total", "b"],
            ),
            ("time() - max by (s) (a_seconds) > 300", &["a_seconds"]),
            ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[$__rate_interval])))", &["a_bucket"]),
            ("sum(a{n=\"$n\"}) or vector(0)", &["a"]),
            ("label_values(a, namespace)", &["a"]),
            ("a offset 5m unless bool 1e3 < b", &["a", "b"]),
            ("sum(a) without (pod)", &["a"]),
            ("vector(1)", &[]),
        ];
        for (query, expected) in cases {
            assert_eq!(metrics(query), expected, "{query}");
        }
    }

    #[test]
    fn registrations_are_found_in_code() {
        let code = r#"
            let by_reason = |name, help| Tally::new(metrics.gauges(name, help, &["reason"]));
            bundles: by_reason("bundles", "Bundles."),
            steps: metrics.counters("steps_total", "Steps.", &["step"]),
            late: metrics.latencies(
                "late_seconds", "Late.", &[]),
            #[cfg(test)]
            metrics.counters("tests_total", "", &[]);
        "#;
        let mut found = BTreeMap::new();
        registered(code, &mut found);
        let expected = [("bundles", false), ("late_seconds", true), ("steps_total", false)];
        assert_eq!(found, expected.map(|(name, histogram)| (name.to_owned(), histogram)).into());
    }

    #[test]
    fn queries_are_found_in_dashboards() {
        let dashboard = json!({
            "title": "D",
            "panels": [{"title": "P", "datasource": {"uid": "x"}, "targets": [{"expr": "a"}]}],
            "templating": {"list": [
                {"name": "ds", "type": "datasource", "query": "prometheus"},
                {"name": "v", "definition": "b", "query": {"query": "c", "refId": "v"}}]},
        });
        let mut found = Vec::new();
        in_dashboard("", &dashboard, &mut found);
        found.sort();
        let expected = [("P", "a"), ("v", "b"), ("v", "c")];
        assert_eq!(found, expected.map(|(title, query)| (title.to_owned(), query.to_owned())));
    }

    #[test]
    fn only_what_the_service_registers_exists() {
        let known = [("a_total".to_owned(), false), ("b_seconds".to_owned(), true)].into();
        let cases = [
            ("portolan_my_service_a_total", true),
            ("portolan_my_service_a_total_count", false),
            ("portolan_my_service_b_seconds_bucket", true),
            ("portolan_my_service_b_seconds", false),
            ("portolan_other_a_total", false),
            ("a_total", false),
            ("kube_pod_container_resource_limits", true),
            ("kube_pod_info", false),
            ("vector(1)", false),
        ];
        for (query, expected) in cases {
            let found = faults("my-service", &known, &[("P".to_owned(), query.to_owned())]);
            assert_eq!(found.is_empty(), expected, "{query}: {found:?}");
        }
    }
}
