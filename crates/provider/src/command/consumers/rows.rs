//! From what is in the cluster to a row per consumer. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use portolan_core::{
    api::kubebind::{APIServiceExport, CONDITION_CONNECTED, ClusterBinding, LABEL_CONSUMER},
    condition::{self, ConditionStatus},
};
use serde::Serialize;

use crate::{CLUSTER_BINDING, is_ours, kubeconfig::secret::TokenLife};

/// Limit on the names in a cell of the table.
const LISTED: usize = 3;

/// Objects of the cluster that tell about consumers.
#[derive(Debug, Default)]
pub struct Seen {
    pub contracts: Vec<Namespace>,
    pub bindings: Vec<ClusterBinding>,
    pub exports: Vec<APIServiceExport>,
    /// Secrets with kubeconfigs.
    pub kubeconfigs: Vec<Secret>,
}

/// One consumer.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub name: String,
    pub namespace: String,
    /// When its konnector last sent a heartbeat; absent where it never has.
    pub last_contact: Option<String>,
    pub konnector_version: Option<String>,
    /// Verdict of its ClusterBinding; absent where no provider has judged it yet.
    pub healthy: Option<bool>,
    /// The reason why it is not healthy.
    pub reason: Option<String>,
    /// Number of exports that it is offered.
    pub exports: usize,
    /// Those that it has bound.
    pub bound: Vec<String>,
    /// When the token ends that the provider keeps for it; absent where it keeps none.
    pub kubeconfig_expires: Option<String>,
    /// For how long that token is valid in all, in seconds.
    #[serde(skip)]
    pub kubeconfig_life: Option<i64>,
}

/// A row per consumer, by name.
pub fn rows(seen: &Seen) -> Vec<Row> {
    let mut rows: Vec<_> = seen.contracts.iter().map(|contract| row(seen, contract)).collect();
    rows.sort_by(|a, b| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)));
    rows
}

fn row(seen: &Seen, contract: &Namespace) -> Row {
    let namespace = contract.name_any();
    let here = |other: Option<String>| other.as_deref() == Some(namespace.as_str());
    let binding = seen.bindings.iter().find(|b| here(b.namespace()) && b.name_any() == CLUSTER_BINDING);
    let status = binding.and_then(|binding| binding.status.clone()).unwrap_or_default();
    let healthy = condition::find(&status.conditions, "Healthy");
    let exports: Vec<_> = seen.exports.iter().filter(|export| here(export.namespace())).collect();
    let kept = seen.kubeconfigs.iter().find(|secret| here(secret.namespace()) && is_ours(*secret));
    let life = kept.and_then(TokenLife::of);
    let mut bound: Vec<_> =
        exports.iter().filter(|export| is_bound(export)).map(|export| export.name_any()).collect();
    bound.sort();
    Row {
        name: contract.labels().get(LABEL_CONSUMER).cloned().unwrap_or_default(),
        last_contact: status.last_heartbeat_time.as_ref().map(|time| time.0.to_string()),
        konnector_version: status.konnector_version,
        healthy: healthy.map(|healthy| healthy.status == ConditionStatus::True),
        reason: healthy.filter(|h| h.status != ConditionStatus::True).map(|h| h.reason.clone()),
        exports: exports.len(),
        bound,
        kubeconfig_expires: life.map(|life| life.expires.to_string()),
        kubeconfig_life: life.map(TokenLife::seconds),
        namespace,
    }
}

fn is_bound(export: &APIServiceExport) -> bool {
    let conditions = export.status.as_ref().map(|status| status.conditions.as_slice());
    condition::is_true(conditions.unwrap_or_default(), CONDITION_CONNECTED)
}

/// For people: columns, and times as how long ago or in how long.
pub fn table(rows: &[Row], now: Timestamp) -> String {
    let header =
        ["CONSUMER", "LAST CONTACT", "HEALTH", "BOUND", "WHAT", "KUBECONFIG ENDS"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(header).chain(rows.iter().map(|row| cells(row, now))).collect();
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, &width) in line.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(row, "{cell:width$}   ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row, now: Timestamp) -> [String; 6] {
    let told = |time: Option<&String>, without: &str| {
        let time = time.and_then(|time| time.parse::<Timestamp>().ok());
        time.map_or_else(|| without.to_owned(), |time| relative(time.as_second() - now.as_second()))
    };
    let contact = told(row.last_contact.as_ref(), "never");
    let ends = told(row.kubeconfig_expires.as_ref(), "not kept");
    let health = match (row.healthy, &row.reason) {
        (Some(true), _) => "ok",
        (_, Some(reason)) => reason,
        _ => "unknown",
    };
    let bound = format!("{} of {}", row.bound.len(), row.exports);
    [row.name.clone(), contact, health.to_owned(), bound, listed(&row.bound), ends]
}

fn relative(seconds: i64) -> String {
    let text = match seconds.abs() {
        size @ 0..120 => format!("{size} s"),
        size @ 120..7200 => format!("{} min", size / 60),
        size @ 7200..172_800 => format!("{} h", size / 3600),
        size => format!("{} days", size / 86400),
    };
    if seconds > 0 { format!("in {text}") } else { format!("{text} ago") }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen() -> Seen {
        let contract = |name: &str| json!({"metadata": {"name": format!("kube-bind-{name}"), "labels": {"kube-bind.io/consumer": name}}});
        let export = |namespace: &str, name: &str, connected: &str| {
            json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"resources": [{"resource": "as"}], "informerScope": "Namespaced", "isolation": "Prefixed"},
                "status": {"conditions": [
                    {"type": "Connected", "status": connected, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ]},
            })
        };
        let binding = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "ClusterBinding",
            "metadata": {"name": "cluster", "namespace": "kube-bind-acme"},
            "spec": {"kubeconfigSecretRef": {"name": "kubeconfig", "key": "kubeconfig"}, "providerPrettyName": "P"},
            "status": {
                "lastHeartbeatTime": "2026-01-01T00:00:00Z", "konnectorVersion": "v1.0.0",
                "conditions": [{
                    "type": "Healthy", "status": "False", "reason": "HeartbeatTimeout", "severity": "Error",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }],
            },
        });
        let secret = json!({"metadata": {
            "name": "kubeconfig", "namespace": "kube-bind-acme", "labels": {"kube-bind.io/managed-by": "provider"},
            "annotations": {
                "kube-bind.io/token-issued": "2026-01-01T00:00:00Z", "kube-bind.io/token-expires": "2026-01-31T00:00:00Z",
            },
        }});
        Seen {
            contracts: serde_json::from_value(json!([contract("zoo"), contract("acme")])).unwrap(),
            bindings: serde_json::from_value(json!([binding])).unwrap(),
            exports: serde_json::from_value(json!([
                export("kube-bind-acme", "d", "True"),
                export("kube-bind-acme", "a", "True"),
                export("kube-bind-acme", "b", "False"),
                export("kube-bind-acme", "c", "True"),
                export("kube-bind-acme", "e", "True"),
                export("kube-bind-other", "x", "True"),
            ]))
            .unwrap(),
            kubeconfigs: serde_json::from_value(json!([secret])).unwrap(),
        }
    }

    #[test]
    fn each_consumer_has_a_row_with_what_is_known_of_it() {
        let found = json!(rows(&seen()));
        assert_eq!(
            found,
            json!([
                {
                    "name": "acme", "namespace": "kube-bind-acme", "lastContact": "2026-01-01T00:00:00Z",
                    "konnectorVersion": "v1.0.0", "healthy": false, "reason": "HeartbeatTimeout", "exports": 5,
                    "bound": ["a", "c", "d", "e"], "kubeconfigExpires": "2026-01-31T00:00:00Z",
                },
                {
                    "name": "zoo", "namespace": "kube-bind-zoo", "lastContact": null, "konnectorVersion": null,
                    "healthy": null, "reason": null, "exports": 0, "bound": [], "kubeconfigExpires": null,
                },
            ])
        );
    }

    #[test]
    fn people_read_a_table() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let text = table(&rows(&seen()), now);
        let expected = "\
CONSUMER   LAST CONTACT   HEALTH             BOUND    WHAT                 KUBECONFIG ENDS
acme       24 h ago       HeartbeatTimeout   4 of 5   a, c, d and 1 more   in 29 days
zoo        never          unknown            0 of 0                        not kept
";
        assert_eq!(text, expected);
        assert_eq!(table(&[], now).lines().count(), 1);
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (seconds, expected) in [
            (0, "0 s ago"),
            (-119, "119 s ago"),
            (-120, "2 min ago"),
            (7199, "in 119 min"),
            (7200, "in 2 h"),
            (-172_800, "2 days ago"),
        ] {
            assert_eq!(relative(seconds), expected);
        }
    }
}
