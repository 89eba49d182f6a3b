//! What a request to the API server carries for its caller.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

/// As whom the portal speaks to the API server.
#[derive(Clone)]
pub enum Credential {
    /// With the caller's own token.
    Token(SecretString),
    /// With the portal's account, which says for whom.
    Impersonate { user: String, groups: Vec<String> },
}

impl Credential {
    /// Text that is the same for the same caller, to be hashed.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Token(token) => format!("t\n{}", token.expose_secret()),
            Self::Impersonate { user, groups } => format!("i\n{user}\n{}", groups.join("\n")),
        }
    }

    /// The `Authorization` of a token.
    pub fn authorization(token: &SecretString) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The headers by which the portal's account says for whom it speaks; `None` if they cannot be headers, or name
    /// somebody of the system.
    pub fn impersonation(user: &str, groups: &[String]) -> Option<HeaderMap> {
        if user.is_empty() || user.starts_with("system:") {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("impersonate-user"), HeaderValue::from_str(user).ok()?);
        for group in groups.iter().filter(|group| !group.starts_with("system:")) {
            let value = HeaderValue::from_str(group).ok()?;
            headers.append(HeaderName::from_static("impersonate-group"), value);
        }
        Some(headers)
    }
}

/// Returns `true` if a caller tries to speak for somebody else.
pub fn impersonates(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("impersonate-"))
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Credential(token)",
            Self::Impersonate { .. } => "Credential(impersonation)",
        })
    }
}

/// Returns `true` if a request shows a bearer token, or something in its place.
pub fn has_authorization(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_of_the_system_is_impersonated() {
        let named = |user: &str, groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
            Credential::impersonation(user, &groups)
        };
        for user in ["", "system:admin", "system:serviceaccount:a:b", "a\nb"] {
            assert!(named(user, &[]).is_none(), "{user:?}");
        }
        let headers = named("oidc:ann", &["dev", "system:masters", "ops"]).unwrap();
        let groups: Vec<_> = headers.get_all("impersonate-group").iter().collect();
        assert_eq!(groups, ["dev", "ops"]);
        assert!(impersonates(&headers) && !impersonates(&HeaderMap::new()));
        assert!(named("oidc:ann", &["a\r\nb"]).is_none());
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", Credential::Token("secret".into())), "Credential(token)");
    }
}
