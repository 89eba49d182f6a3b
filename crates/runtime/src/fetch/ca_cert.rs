//! A fetcher that also trusts the authorities of a file, which a configuration names as `ca_cert`.

use std::path::{Path, PathBuf};

use super::{FetchError, FetchSettings, Fetcher};
use crate::authorities::{self, CaBundle};

/// The fetcher, and what was in the file.
#[derive(Debug)]
pub struct CaCertFetcher {
    /// The fetcher that trusts the file's authorities.
    pub fetcher: Fetcher,
    file: Option<PathBuf>,
    authorities: Option<Vec<u8>>,
}

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaCertError {
    /// It cannot be read.
    #[error("failed to read ca_cert {path:?}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// None of it can be used.
    #[error("ca_cert {path:?} cannot be used")]
    Unusable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: FetchError,
    },
}

impl CaCertFetcher {
    /// Reads the file, where one is named, and says in the log what of it is skipped.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn new(ca_cert: Option<&Path>, settings: FetchSettings) -> Result<Self, CaCertError> {
        let (file, authorities) = (ca_cert.map(Path::to_owned), read(ca_cert).await?);
        if let (Some(path), Some(Ok(bundle))) = (&file, authorities.as_deref().map(CaBundle::read)) {
            bundle.warn(&path.display().to_string());
        }
        let settings = FetchSettings { extra_authorities: authorities.clone(), ..settings };
        let path = file.clone().unwrap_or_default();
        let fetcher = Fetcher::new(&settings).map_err(|source| CaCertError::Unusable { path, source })?;
        Ok(Self { fetcher, file, authorities })
    }

    /// Returns `true` if the file still holds what it held then.
    pub async fn is_current(&self) -> bool {
        read(self.file.as_deref()).await.is_ok_and(|now| now == self.authorities)
    }

    /// Returns `true` if another one trusts the same authorities.
    pub fn trusts_the_same(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }

    /// Describes the file in one line for people.
    pub fn about(&self) -> Option<String> {
        self.authorities.as_deref().and_then(authorities::about)
    }
}

async fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, CaCertError> {
    let Some(path) = path else { return Ok(None) };
    let failed = |source| CaCertError::Unreadable { path: path.to_owned(), source };
    tokio::fs::read(path).await.map(Some).map_err(failed)
}
