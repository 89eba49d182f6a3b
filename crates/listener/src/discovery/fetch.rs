//! Fetches within limits that all clusters share: many small responses or one large one at a time, of which two are
//! parsed at a time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::digest::sha256_hex;
use portolan_runtime::client::{ReadError, ReadLimits, read};
use tokio::sync::Semaphore;

use super::{
    Discovery,
    fault::of_read,
    part::{self, MadePart},
    resources::GroupVersion,
};
use crate::{
    parts::{Part, PartStore},
    problem::Problem,
};

/// Maximum size of a small response.
const SMALL: usize = 2 * 1024 * 1024;
/// Number of small responses that are read at a time.
const SMALL_AT_A_TIME: usize = 64;
/// Number of responses that are parsed at a time.
const BENCHES: usize = 2;
/// Limit for all parts of a cluster together, as a multiple of the limit for one response.
const TOTAL_FACTOR: usize = 4;
const HEAD: Duration = Duration::from_secs(10);
const TOTAL: Duration = Duration::from_secs(30);

/// The source of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path with the hash of the OpenAPI document.
    pub(super) url: String,
    /// Digest of the resources.
    pub(super) resources: String,
}

/// The limits and the parts that all clusters share.
#[derive(Debug)]
pub struct Workshop {
    pub parts: PartStore,
    small: Semaphore,
    large: Semaphore,
    benches: Arc<Semaphore>,
    max_bytes: usize,
}

impl Workshop {
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            parts: PartStore::default(),
            small: Semaphore::new(SMALL_AT_A_TIME),
            large: Semaphore::new(1),
            benches: Arc::new(Semaphore::new(BENCHES)),
            max_bytes,
        })
    }

    /// Fails if the parts of a cluster are too large together.
    pub fn check_total(&self, bytes: usize) -> Result<(), Problem> {
        let limit = self.max_bytes.saturating_mul(TOTAL_FACTOR);
        if bytes <= limit {
            return Ok(());
        }
        Err(Problem::passing(
            "SchemaTooLarge",
            format!(
                "its schemas have more than {limit} bytes together: raise --max-schema-mib, or set spec.schemaFilter"
            ),
        ))
    }
}

impl Discovery {
    /// Reads a response of any permitted size.
    pub(super) async fn read(&self, path: &str, accept: &str) -> Result<Bytes, Problem> {
        let first = {
            let _turn = self.workshop.small.acquire().await;
            self.read_up_to(path, accept, SMALL.min(self.workshop.max_bytes)).await
        };
        let answer = match first {
            Err(ReadError::TooLarge(limit)) if limit < self.workshop.max_bytes => {
                let _turn = self.workshop.large.acquire().await;
                self.read_up_to(path, accept, self.workshop.max_bytes).await
            }
            other => other,
        };
        // The hash in the path means nothing to people.
        let shown = path.split('?').next().unwrap_or_default();
        answer.map_err(|error| of_read(&error, shown, &self.target))
    }

    async fn read_up_to(&self, path: &str, accept: &str, max_bytes: usize) -> Result<Bytes, ReadError> {
        read(&self.client, path, accept, ReadLimits { head: HEAD, total: TOTAL, max_bytes }).await
    }
}

/// One group-version to fetch.
pub(super) struct Fetching<'a> {
    pub(super) discovery: &'a Discovery,
    pub(super) source: &'a Source,
    pub(super) resources: &'a GroupVersion,
}

impl Fetching<'_> {
    pub(super) async fn make(&self) -> Result<Arc<Part>, Problem> {
        let Discovery { workshop, filter, .. } = self.discovery;
        let openapi = self.discovery.read(&self.source.url, "application/json").await?;
        let filter_text = serde_json::to_string(&filter.as_deref());
        let made_of =
            format!("{} {} {}", sha256_hex(&openapi), self.source.resources, filter_text.unwrap_or_default());
        if let Some(known) = workshop.parts.made_of(&made_of) {
            return Ok(known);
        }
        let part = workshop.parts.keep(self.take_apart(openapi).await?);
        workshop.parts.remember(made_of, &part);
        Ok(part)
    }

    /// Parses on a thread where it delays nobody.
    async fn take_apart(&self, openapi: Bytes) -> Result<MadePart, Problem> {
        let bench = Arc::clone(&self.discovery.workshop.benches).acquire_owned().await;
        let (resources, filter) = (self.resources.clone(), self.discovery.filter.clone());
        let work = move || {
            let _bench = bench;
            part::make(&openapi, &resources, filter.as_deref())
        };
        let made = tokio::task::spawn_blocking(work).await;
        let path = self.source.url.split('?').next().unwrap_or_default();
        let wrong = || {
            let host = &self.discovery.target.server;
            Problem::passing(
                "SchemaInvalid",
                format!("the answer of {host} to {path} is not an OpenAPI document"),
            )
        };
        made.map_err(|_| wrong())?.map_err(|_| wrong())
    }
}
