//! Maps a host name to a cluster: `api.kube-fed...` is the local one, `api.<cluster>.kube-fed...` that one.

use portolan_core::names::is_dns_label;

/// The name under which the local cluster is configured.
pub const LOCAL: &str = "local";

/// The part of names that stands for the service; as a namespace, it makes the names resolve.
pub const NAMESPACE: &str = "kube-fed";

/// Whether a cluster is asked under a host name of its own.
pub fn is_named(cluster: &str) -> bool {
    cluster != LOCAL
}

/// A host name as it counts: in lower case, without port and final dot.
pub fn normalized(host: &str) -> Option<String> {
    if host.is_empty() || host.contains(['@', '/', '[', ' ']) {
        return None;
    }
    let name = match host.rsplit_once(':') {
        // No port after the colon is the usual one.
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => host,
    };
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The cluster that a normalized host name means. None for every other host: it is never guessed.
pub fn cluster_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    if labels.next() != Some("api") {
        return None;
    }
    let (first, second) = (labels.next()?, labels.next());
    if first == NAMESPACE {
        return Some(LOCAL);
    }
    (second == Some(NAMESPACE) && is_dns_label(first) && first != "api").then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_mean_what_the_document_says() {
        let table = [
            ("api.kube-fed.svc.cluster.local", Some("local")),
            ("api.kube-fed.svc.cluster.local:8080", Some("local")),
            ("api.kube-fed", Some("local")),
            ("api.kube-fed:8080", Some("local")),
            ("api.app1.kube-fed.svc.cluster.local", Some("app1")),
            ("api.app1.kube-fed.svc.cluster.local:443", Some("app1")),
            ("api.app1.kube-fed", Some("app1")),
            ("api.app1.kube-fed.svc", Some("app1")),
            ("api.app1.kube-fed.", Some("app1")),
            ("api.app1.kube-fed:", Some("app1")),
            ("api.app1.kube-fed.:", Some("app1")),
            ("api.app1.kube-fed::", None),
            ("api.app1.kube-fed:+80", None),
            (":80", None),
            (":", None),
            ("API.App1.KUBE-FED.svc", Some("app1")),
            ("api.kube-fed.kube-fed", Some("local")),
            ("api.example.com", None),
            ("evil.host", None),
            ("localhost:8080", None),
            ("10.0.0.7", None),
            ("[::1]:8080", None),
            ("api..kube-fed", None),
            ("api.api.kube-fed", None),
            ("api.a_b.kube-fed", None),
            ("user@api.kube-fed", None),
            ("api.kube-fed:x", None),
            ("", None),
        ];
        for (host, expected) in table {
            let normalized = normalized(host);
            assert_eq!(normalized.as_deref().and_then(cluster_of), expected, "{host:?}");
        }
    }
}
