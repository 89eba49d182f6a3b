//! Alerts of charts: each leads to its own section of the service's page, is shown to fire and to stay silent, and no
//! section is about an alert that is gone. Dashboards have a uid each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Project,
    charts::{self, Alert},
};

/// The input of `promtool test rules`, as far as it is checked.
#[derive(Deserialize)]
struct Tests {
    tests: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    alert_rule_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<Value>,
}

/// Names alerts without a section or a test, sections and tests without an alert, and uids that two dashboards have.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let root = &project.root;
    let mut found = Vec::new();
    let mut uids = BTreeMap::<String, Vec<String>>::new();
    for chart in charts::with(root, "files/alerts.yaml")? {
        let alerts = charts::alerts(root, &chart)?;
        let page = format!("docs/{chart}.md");
        let text = fs::read_to_string(root.join(&page)).with_context(|| page.clone())?;
        found.extend(runbook_faults(&alerts, &page, &text));
        let file = format!("charts/{chart}/files/alerts-test.yaml");
        found.extend(test_faults(&alerts, &file, &charts::read(root, &file)?));
    }
    for chart in charts::with(root, "files/dashboard.json")? {
        let dashboard: Value = charts::read(root, &format!("charts/{chart}/files/dashboard.json"))?;
        uids.entry(dashboard["uid"].as_str().unwrap_or_default().to_owned()).or_default().push(chart);
    }
    found.extend(uid_faults(&uids));
    Ok(found)
}

fn runbook_faults(alerts: &[Alert], page: &str, text: &str) -> Vec<String> {
    let sections = headings(text);
    let anchors: BTreeSet<_> = sections.iter().map(|(_, heading)| anchor(heading)).collect();
    let mut found = Vec::new();
    for alert in alerts {
        let (name, runbook) = (&alert.name, &alert.annotations.runbook_url);
        let expected = format!("{page}#{}", anchor(name));
        if *runbook != expected {
            found.push(format!("{name}: its runbook_url is {runbook:?}: say {expected}"));
        }
        if !anchors.contains(&anchor(name)) {
            found.push(format!("{page}: write a section ### {name}"));
        }
    }
    let told = sections.iter().skip_while(|section| **section != (2, "Alerts")).skip(1);
    let told = told.take_while(|(level, _)| *level > 2);
    let surplus = told.filter(|(_, heading)| !alerts.iter().any(|alert| alert.name == *heading));
    found.extend(surplus.map(|(_, heading)| format!("{page}: {heading} is no alert: remove the section")));
    found
}

fn test_faults(alerts: &[Alert], file: &str, tests: &Tests) -> Vec<String> {
    let cases: Vec<_> = tests.tests.iter().flat_map(|series| &series.alert_rule_test).collect();
    let has = |name: &str, fires: bool| {
        cases.iter().any(|case| case.alertname == name && case.exp_alerts.is_empty() != fires)
    };
    let mut found = Vec::new();
    for alert in alerts {
        for (fires, what) in [(true, "fires"), (false, "stays silent")] {
            if !has(&alert.name, fires) {
                found.push(format!("{file}: nothing shows when {} {what}", alert.name));
            }
        }
    }
    let known: BTreeSet<_> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    let surplus: BTreeSet<_> = cases.iter().map(|case| case.alertname.as_str()).collect();
    let surplus = surplus.difference(&known);
    // promtool takes an alert that does not exist for one that is silent.
    found.extend(surplus.map(|name| format!("{file}: {name} is no alert")));
    found
}

fn uid_faults(uids: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let bad = uids.iter().filter(|(uid, charts)| uid.is_empty() || charts.len() > 1);
    bad.map(|(uid, charts)| {
        format!("dashboards of {} have the uid {uid:?}: give each its own", charts.join(", "))
    })
    .collect()
}

/// Level and text of each heading, without what only looks like one in a block of code.
fn headings(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        let rest = line.trim_start_matches('#');
        let level = line.len() - rest.len();
        if let (false, 1.., Some(heading)) = (in_code, level, rest.strip_prefix(' ')) {
            found.push((level, heading.trim()));
        }
    }
    found
}

/// The anchor of a heading in links.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# The x\n\n```\n### Code\n```\n\n## Alerts\n\n### XGone\n\n### XSlow\n\n## More\n\n### Other\n";

    fn alerts(runbooks: &[(&str, &str)]) -> Vec<Alert> {
        let alert = |(name, url): &(&str, &str)| {
            charts::parse(&format!("{{alert: {name}, expr: x, annotations: {{runbook_url: '{url}'}}}}"))
                .unwrap()
        };
        runbooks.iter().map(alert).collect()
    }

    #[test]
    fn alerts_and_sections_belong_together() {
        let gone = ("XGone", "docs/x.md#xgone");
        let cases = [
            (vec![gone, ("XSlow", "docs/x.md#xslow")], ""),
            (vec![gone], "XSlow is no alert"),
            (vec![gone, ("XSlow", "docs/y.md#xslow")], "say docs/x.md#xslow"),
            (vec![gone, ("XSlow", "docs/x.md#xgone")], "say docs/x.md#xslow"),
            (vec![gone, ("XSlow", "")], "runbook_url is \"\""),
            (vec![gone, ("XSlow", "docs/x.md#xslow"), ("Code", "docs/x.md#code")], "section ### Code"),
        ];
        for (list, expected) in cases {
            let found = runbook_faults(&alerts(&list), "docs/x.md", PAGE);
            assert_eq!(found.is_empty(), expected.is_empty(), "{expected}: {found:?}");
            assert!(found.iter().all(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn each_alert_is_tested_both_ways() {
        let fires = "{alertname: XGone, exp_alerts: [{}]}";
        let silent = "{alertname: XGone}, {alertname: XGone, exp_alerts: []}";
        let cases = [
            (format!("{fires}, {silent}"), ""),
            (fires.to_owned(), "when XGone stays silent"),
            (silent.to_owned(), "when XGone fires"),
            (format!("{fires}, {silent}, {{alertname: XGoen}}"), "XGoen is no alert"),
        ];
        for (list, expected) in cases {
            let tests = charts::parse(&format!("tests: [{{alert_rule_test: [{list}]}}]")).unwrap();
            let found = test_faults(&alerts(&[("XGone", "")]), "f", &tests);
            assert_eq!(found.is_empty(), expected.is_empty(), "{expected}: {found:?}");
            assert!(found.iter().all(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn anchors_and_uids() {
        for (heading, expected) in
            [("XGone", "xgone"), ("What is bound?", "what-is-bound"), ("a_b `c`", "a_b-c")]
        {
            assert_eq!(anchor(heading), expected);
        }
        let uids = |list: &[(&str, &[&str])]| {
            let owned = |charts: &[&str]| charts.iter().map(|&chart| chart.to_owned()).collect();
            uid_faults(&list.iter().map(|(uid, charts)| ((*uid).to_owned(), owned(charts))).collect()).len()
        };
        assert_eq!(
            (uids(&[("a", &["x"]), ("b", &["y"])]), uids(&[("a", &["x", "y"])]), uids(&[("", &["x"])])),
            (0, 1, 1)
        );
    }
}
