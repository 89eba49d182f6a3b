//! People for demonstrations: names, each with a token of the cluster.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;

/// The people of a file.
pub struct DemoUsers(BTreeMap<String, DemoUser>);

/// A person: a token, or the file that has it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum DemoUser {
    /// A path, if it begins with a slash; otherwise the token itself.
    Text(String),
    Full(FullDemoUser),
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FullDemoUser {
    token: Option<String>,
    token_file: Option<PathBuf>,
    email: Option<String>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("failed to read --demo-users {path:?}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("--demo-users {path:?} is not a map of names to tokens or files with tokens")]
    Invalid {
        path: PathBuf,
        #[source]
        source: Box<serde_saphyr::Error>,
    },
}

impl DemoUsers {
    /// Reads a file, YAML or JSON.
    pub async fn read(path: &Path) -> Result<Self, DemoError> {
        let unreadable = |source| DemoError::Unreadable { path: path.to_owned(), source };
        let text = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
        Self::parse(&text)
            .map_err(|source| DemoError::Invalid { path: path.to_owned(), source: Box::new(source) })
    }

    fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text).map(Self)
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The address of a person, if the file says one.
    pub fn email(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            DemoUser::Text(_) => None,
            DemoUser::Full(full) => full.email.as_deref(),
        }
    }

    /// The token of a person, as it is now.
    pub async fn token(&self, name: &str) -> Option<SecretString> {
        let text = match self.0.get(name)? {
            DemoUser::Text(text) if text.starts_with('/') => tokio::fs::read_to_string(text).await.ok()?,
            DemoUser::Text(text) => text.clone(),
            DemoUser::Full(full) => match (&full.token, &full.token_file) {
                (Some(token), _) => token.clone(),
                (None, Some(file)) => tokio::fs::read_to_string(file).await.ok()?,
                (None, None) => return None,
            },
        };
        Some(SecretString::from(text.trim()))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for DemoUsers {
    fn from(people: [(&str, &str); N]) -> Self {
        Self(people.map(|(name, token)| (name.to_owned(), DemoUser::Text(token.to_owned()))).into())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn people_have_a_token_or_a_file_with_one() {
        let users = DemoUsers::parse("ann: t1\nbob: {token: t2, email: b@x.org}\ncy: {}\n").unwrap();
        assert_eq!(users.names().collect::<Vec<_>>(), ["ann", "bob", "cy"]);
        let token = async |name| users.token(name).await.map(|token| token.expose_secret().to_owned());
        assert_eq!(token("ann").await.as_deref(), Some("t1"));
        assert_eq!(token("bob").await.as_deref(), Some("t2"));
        assert_eq!((token("cy").await, token("dee").await), (None, None));
        assert_eq!((users.email("bob"), users.email("ann")), (Some("b@x.org"), None));
        assert!(DemoUsers::parse("- a").is_err() && DemoUsers::parse("a: {tokn: x}").is_err());
    }
}
