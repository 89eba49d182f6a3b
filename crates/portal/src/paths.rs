//! Paths of objects at the API server. A name is one segment, or there is no path.

use portolan_core::names::{is_dns_label, is_dns_subdomain};

use crate::problem::Problem;

const GROUP_PATH: &str = "/apis/devportal.kuadrant.io/v1alpha1";

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    /// A namespace and a name that Kubernetes could have.
    pub fn new(namespace: &str, name: &str) -> Result<Self, Problem> {
        if is_dns_label(namespace) && is_dns_subdomain(name) {
            Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
        } else {
            Err(Problem::bad_request("namespace and name are lower-case letters, digits, dashes and dots"))
        }
    }

    /// The name as callers give it in lists.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub fn product(&self) -> String {
        format!("{}/{}", products(&self.namespace), self.name)
    }

    pub fn api_key(&self) -> String {
        format!("{}/{}", keys(&self.namespace), self.name)
    }

    pub fn status(&self) -> String {
        format!("{}/status", self.api_key())
    }

    /// A Secret of the same namespace.
    pub fn secret(&self, name: &str) -> Result<String, Problem> {
        let place = Self::new(&self.namespace, name)?;
        Ok(format!("/api/v1/namespaces/{}/secrets/{}", place.namespace, place.name))
    }
}

/// The products of a namespace.
pub fn products(namespace: &str) -> String {
    format!("{GROUP_PATH}/namespaces/{namespace}/apiproducts")
}

/// The keys of a namespace.
pub fn keys(namespace: &str) -> String {
    format!("{GROUP_PATH}/namespaces/{namespace}/apikeys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_segment() {
        let place = ObjectName::new("a", "k.b").unwrap();
        assert_eq!(place.status(), "/apis/devportal.kuadrant.io/v1alpha1/namespaces/a/apikeys/k.b/status");
        assert_eq!(place.secret("s").unwrap(), "/api/v1/namespaces/a/secrets/s");
        for (namespace, name) in [
            ("a", ".."),
            ("a", "b/c"),
            ("a", "b?x"),
            ("..", "b"),
            ("a", ""),
            ("", "b"),
            ("a", "b%2f"),
            ("A", "b"),
            ("a", "b#"),
        ] {
            assert!(ObjectName::new(namespace, name).is_err(), "{namespace} {name}");
        }
        assert!(place.secret("../configmaps/x").is_err());
    }
}
