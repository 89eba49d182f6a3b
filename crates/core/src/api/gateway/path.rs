//! The paths of clusters: names of files, and first segments of the gateway's URLs.

use crate::names::is_dns_label;

/// The longest path.
pub const MAX_PATH_LENGTH: usize = 63;
/// Paths that the gateway needs itself.
pub const RESERVED_PATHS: [&str; 9] =
    ["api", "assets", "fleet", "graphql", "healthz", "livez", "metrics", "readyz", "v1"];

/// A path that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is too long.
    #[error("path {0:?} is longer than {MAX_PATH_LENGTH} characters: give spec.path a shorter one")]
    TooLong(String),
    /// It is not a DNS name.
    #[error(
        "path {0:?} is not a DNS label or dotted name: use lower-case letters, digits and dashes, with dots between labels"
    )]
    NotAName(String),
    /// The gateway needs it.
    #[error("path {0:?} is one of the gateway's own words: give spec.path another one")]
    Reserved(String),
}

/// Checks the path of a cluster: one DNS label or dotted name that the gateway does not need itself.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_path(path: &str) -> Result<(), InvalidPath> {
    if path.len() > MAX_PATH_LENGTH {
        return Err(InvalidPath::TooLong(path.chars().take(80).collect()));
    }
    if !path.split('.').all(is_dns_label) {
        return Err(InvalidPath::NotAName(path.to_owned()));
    }
    if RESERVED_PATHS.contains(&path) {
        return Err(InvalidPath::Reserved(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_dns_names_that_cannot_leave_a_directory() {
        for good in ["a", "my-target-cluster", "prod.eu", "1.2.3", "v2", "apis", &"a".repeat(63)] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let names =
            ["", ".", "..", "a/b", "a..b", "../a", ".a", "a.", "A", "a_b", "-a", "a-", "a b", "ä", "a\0"];
        for bad in names {
            assert_eq!(check_path(bad), Err(InvalidPath::NotAName(bad.to_owned())), "{bad:?}");
        }
        for reserved in RESERVED_PATHS {
            assert_eq!(check_path(reserved), Err(InvalidPath::Reserved(reserved.to_owned())));
        }
        assert!(matches!(check_path(&"a".repeat(64)), Err(InvalidPath::TooLong(_))));
    }
}
