//! The same names without objects: a rule for `CoreDNS`.

use crate::host;

/// The rule for the server block of the cluster's zone.
pub fn snippet(service: &str, namespace: &str, zone: &str) -> String {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    let (dots, names) = (zone.replace('.', r"\."), host::NAMESPACE);
    format!(
        "# Names of clusters lead to the token service. Put this before `kubernetes` in the block of {zone}.\n\
         rewrite stop {{\n    \
             name regex ^api\\.{label}\\.{names}\\.svc\\.{dots}\\.$ {service}.{namespace}.svc.{zone}.\n    \
             answer auto\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_serves_every_cluster() {
        let text = snippet("reviews", "portolan", "cluster.local");
        assert!(text.contains(
            r"name regex ^api\.[a-z0-9]([-a-z0-9]*[a-z0-9])?\.kube-fed\.svc\.cluster\.local\.$ reviews.portolan.svc.cluster.local."
        ), "{text}");
        assert!(
            text.contains("\nrewrite stop {\n    name ") && text.ends_with("    answer auto\n}\n"),
            "{text}"
        );
    }
}
