//! Configuration files: read, understood, and what can be wrong with them.

pub mod issuer;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read the configuration {path:?}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not YAML, or has another shape.
    #[error("the configuration is invalid: {0}")]
    Parse(String),
    /// Something is wrong with all of it.
    #[error("{0}")]
    Whole(String),
    /// Something is wrong with a part.
    #[error("{place}: {problem}")]
    Part {
        /// The offending part.
        place: String,
        /// The fault and its remedy.
        problem: String,
    },
}

/// The text of a file.
pub async fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    tokio::fs::read_to_string(path).await.map_err(failed)
}

/// Parses a text in YAML.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| {
        // What follows the first lines is a drawing of the place.
        ConfigError::Parse(error.to_string().lines().take(3).collect::<Vec<_>>().join("; "))
    })
}
