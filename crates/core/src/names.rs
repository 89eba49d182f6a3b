//! Names of Kubernetes objects that both sides of a contract derive in the same way.

use crate::digest::sha256_hex;

/// The longest name that a namespace or a label value may have.
pub const MAX_LABEL_LENGTH: usize = 63;
const MAX_SUBDOMAIN_LENGTH: usize = 253;

/// Prefix of the contract namespaces that `provider kubeconfig` makes.
pub const CONTRACT_NAMESPACE_PREFIX: &str = "kube-bind-";

/// The name of a BoundSchema: `<resource>.<group>`, with `core` for the empty group.
pub fn bound_schema(resource: &str, group: &str) -> String {
    format!("{resource}.{}", if group.is_empty() { "core" } else { group })
}

/// The name of the CRD of a resource.
pub fn crd(resource: &str, group: &str) -> String {
    format!("{resource}.{group}")
}

/// The contract namespace of a consumer.
///
/// # Examples
///
/// ```
/// use portolan_core::names;
///
/// assert_eq!(names::contract_namespace("acme").as_deref(), Ok("kube-bind-acme"));
/// assert!(names::contract_namespace("Acme").is_err());
/// ```
///
/// # Errors
/// When the consumer's name is not a DNS label, or too long for the namespace's name.
pub fn contract_namespace(consumer: &str) -> Result<String, InvalidName> {
    let name = format!("{CONTRACT_NAMESPACE_PREFIX}{consumer}");
    if is_dns_label(consumer) && name.len() <= MAX_LABEL_LENGTH {
        return Ok(name);
    }
    Err(InvalidName { name: consumer.to_owned(), max: MAX_LABEL_LENGTH - CONTRACT_NAMESPACE_PREFIX.len() })
}

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a DNS label of at most {max} characters: use lower-case letters, digits and dashes")]
pub struct InvalidName {
    name: String,
    max: usize,
}

/// The provider namespace that stands for a consumer namespace: `<contract>-<namespace>`, as people expect.
/// Where that is too long, or `taken` by somebody else (`a` + `b-c` and `a-b` + `c` spell the same), a hash
/// of both names makes it unique.
///
/// # Examples
///
/// ```
/// use portolan_core::names;
///
/// assert_eq!(names::mapped_namespace("kube-bind-acme", "prod", false), "kube-bind-acme-prod");
/// ```
pub fn mapped_namespace(contract: &str, namespace: &str, taken: bool) -> String {
    let plain = format!("{contract}-{namespace}");
    if plain.len() <= MAX_LABEL_LENGTH && !taken {
        return plain;
    }
    let hash = &sha256_hex(format!("{contract}/{namespace}").as_bytes())[..10];
    let keep = plain.len().min(MAX_LABEL_LENGTH - hash.len() - 1);
    format!("{}-{hash}", plain[..keep].trim_end_matches('-'))
}

/// Returns `true` if a text is a DNS label (RFC 1123), the form of a namespace's name.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL_LENGTH && is_label_of_any_length(text)
}

/// Returns `true` if `text` is a DNS subdomain as Kubernetes names objects (`NameIsDNSSubdomain`): labels with dots
/// between them, together at most 253 characters, each of any length.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN_LENGTH && text.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_group_is_spelled_out_in_schema_names() {
        assert_eq!(bound_schema("configmaps", ""), "configmaps.core");
        assert_eq!(bound_schema("cowboys", "wildwest.dev"), "cowboys.wildwest.dev");
    }

    #[test]
    fn consumers_are_named_by_dns_labels() {
        assert_eq!(contract_namespace("team-a").unwrap(), "kube-bind-team-a");
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(54)] {
            assert!(contract_namespace(bad).is_err(), "{bad:?}");
        }
        assert!(contract_namespace(&"a".repeat(53)).is_ok());
    }

    #[test]
    fn mapped_namespaces_are_plain_where_they_can_be() {
        assert_eq!(mapped_namespace("kube-bind-a", "prod", false), "kube-bind-a-prod");
    }

    #[test]
    fn namespaces_that_spell_the_same_are_kept_apart() {
        let first = mapped_namespace("kube-bind-a", "b-c", false);
        let second = mapped_namespace("kube-bind-a-b", "c", true);
        assert_eq!(first, "kube-bind-a-b-c");
        assert_ne!(first, second);
        assert_ne!(second, mapped_namespace("kube-bind-a", "b-c", true));
    }

    #[test]
    fn long_names_stay_valid_and_different() {
        let long = "n".repeat(63);
        let name = mapped_namespace("kube-bind-team", &long, false);
        assert!(is_dns_label(&name), "{name}");
        assert_ne!(name, mapped_namespace("kube-bind-team", &long[..62], false));
    }
}
