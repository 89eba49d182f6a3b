//! The credential that a request to the API server carries for its caller.

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

    /// The headers by which the portal's account says for whom it speaks. Groups that cannot be named are left out.
    pub fn impersonation(user: &str, groups: &[String]) -> Result<HeaderMap, UnusableName> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("impersonate-user"), nameable(user)?);
        for value in groups.iter().filter_map(|group| nameable(group).ok()) {
            headers.append(HeaderName::from_static("impersonate-group"), value);
        }
        Ok(headers)
    }
}

/// Why somebody cannot be named in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableName {
    #[error("it is empty or no text")]
    Empty,
    #[error("it begins with system:")]
    System,
    #[error("it begins or ends with a blank")]
    Blank,
    #[error("it has control characters")]
    Control,
}

/// A user or group as the value of a header that the API server reads as it is: it trims blanks, which would make
/// somebody else of it.
pub fn nameable(name: &str) -> Result<HeaderValue, UnusableName> {
    if name.is_empty() {
        return Err(UnusableName::Empty);
    }
    if name.chars().any(char::is_control) {
        return Err(UnusableName::Control);
    }
    if name.trim() != name {
        return Err(UnusableName::Blank);
    }
    if name.starts_with("system:") {
        return Err(UnusableName::System);
    }
    // UTF-8 stays as it is: the API server takes the bytes of a header for that.
    HeaderValue::from_bytes(name.as_bytes()).map_err(|_| UnusableName::Control)
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
        for (user, why) in [
            ("", UnusableName::Empty),
            ("system:admin", UnusableName::System),
            ("system:serviceaccount:a:b", UnusableName::System),
            ("a\nb", UnusableName::Control),
            ("ann\t", UnusableName::Control),
            ("ann\u{7f}", UnusableName::Control),
            ("ann ", UnusableName::Blank),
            (" ann", UnusableName::Blank),
            (" system:admin", UnusableName::Blank),
            ("\u{a0}ann", UnusableName::Blank),
        ] {
            assert_eq!(named(user, &[]).unwrap_err(), why, "{user:?}");
        }
        let given =
            ["dev", "system:masters", " system:masters", "dev ", "a\r\nb", "", "Team Ä, Berlin", "ops"];
        let headers = named("müller", &given).unwrap();
        let groups: Vec<_> = headers.get_all("impersonate-group").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(groups, ["dev".as_bytes(), "Team Ä, Berlin".as_bytes(), b"ops"]);
        assert_eq!(headers["impersonate-user"].as_bytes(), "müller".as_bytes());
        assert!(impersonates(&headers) && !impersonates(&HeaderMap::new()));
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", Credential::Token("secret".into())), "Credential(token)");
    }
}
