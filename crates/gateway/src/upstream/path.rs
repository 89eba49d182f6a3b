//! Paths of API servers. A name that is not one segment of a path is refused.

use std::fmt::Write as _;

use crate::{
    document::ApiResource,
    error::{ErrorCode, GraphError},
};

/// A path with its query.
#[derive(Clone, Debug)]
pub struct ApiPath {
    text: String,
    has_query: bool,
}

impl ApiPath {
    /// The objects of a kind, in one namespace or in all.
    pub fn of(resource: &ApiResource, namespace: Option<&str>) -> Self {
        let name = &resource.name;
        let mut text = if name.group.is_empty() {
            "/api/".to_owned()
        } else {
            format!("/apis/{}/", segment(&name.group))
        };
        text.push_str(&segment(&name.version));
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
            text.push_str("/namespaces/");
            text.push_str(&segment(namespace));
        }
        text.push('/');
        text.push_str(&segment(&resource.plural));
        Self { text, has_query: false }
    }

    /// Appends a segment: a name or a subresource.
    #[must_use]
    pub fn then(mut self, name: &str) -> Self {
        self.text.push('/');
        self.text.push_str(&segment(name));
        self
    }

    /// Appends a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&segment(value));
        self
    }

    /// Appends a parameter, if it has a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The path as it is sent.
    pub fn text(self) -> String {
        self.text
    }
}

/// A text, encoded as a segment or as a value of a query.
fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Checks that a name is one segment of a path. RBAC objects may have names that DNS does not allow.
pub fn checked_name(name: &str) -> Result<&str, GraphError> {
    let breaks = |c: char| matches!(c, '/' | '%' | '?' | '#' | '\\') || c.is_control();
    if name.is_empty() {
        return Err(GraphError::new(ErrorCode::Invalid, "name must not be empty"));
    }
    if matches!(name, "." | "..") || name.contains(breaks) || name.len() > 253 {
        return Err(GraphError::new(ErrorCode::Invalid, format!("{name:?} is not the name of an object")));
    }
    Ok(name)
}

/// Checks the name of a namespace.
pub fn checked_namespace(namespace: &str) -> Result<&str, GraphError> {
    if portolan_core::names::is_dns_label(namespace) {
        Ok(namespace)
    } else {
        Err(GraphError::new(ErrorCode::Invalid, format!("{namespace:?} is not the name of a namespace")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_make_no_request() {
        for name in [
            "",
            ".",
            "..",
            "a/status",
            "a%2Fb",
            "a?watch=1",
            "../../kube-system/configmaps/x",
            "a#b",
            "a\nb",
            "a\\b",
        ] {
            assert_eq!(checked_name(name).unwrap_err().code, ErrorCode::Invalid, "{name:?}");
        }
        for name in ["a", "system:node", "api", "a.b-c"] {
            assert_eq!(checked_name(name).unwrap(), name);
        }
        assert!(
            checked_namespace("kube-system").is_ok()
                && checked_namespace("").is_err()
                && checked_namespace("a/b").is_err()
        );
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(segment("system:node a&b=ü"), "system:node%20a%26b%3D%C3%BC");
    }
}
