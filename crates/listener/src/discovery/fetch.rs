//! Fetches of group-versions, and the limits that all clusters share: of how much is read, kept and parsed at a time.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::digest::sha256_hex;
use tokio::sync::Semaphore;

use super::{
    Discovery,
    part::{self, MadePart, NoPart},
    read::SharedTurns,
    resources::GroupVersion,
};
use crate::{
    parts::{DocumentPart, PartStore},
    problem::Problem,
};

/// Number of responses that are parsed at a time.
const BENCHES: usize = 2;
/// Limit for all parts of a cluster together, as a multiple of the limit for one response.
const TOTAL_FACTOR: usize = 4;
/// Minimum of the limit for a list of all group-versions, which needs many times its size in memory.
const LIST: usize = 8 * 1024 * 1024;

/// The source of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSource {
    /// Path with the hash of the OpenAPI document.
    pub(super) url: String,
    /// Digest of the resources.
    pub(super) resources: String,
}

/// The limits and the parts that all clusters share.
#[derive(Debug)]
pub struct PartWorkshop {
    pub parts: PartStore,
    pub(super) turns: SharedTurns,
    benches: Arc<Semaphore>,
    max_bytes: usize,
}

impl PartWorkshop {
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            parts: PartStore::default(),
            turns: SharedTurns::default(),
            benches: Arc::new(Semaphore::new(BENCHES)),
            max_bytes,
        })
    }

    /// Maximum size of a list of all group-versions.
    pub(super) fn max_list(&self) -> usize {
        LIST.max(self.max_bytes / TOTAL_FACTOR)
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

/// One group-version to fetch.
pub(super) struct PartFetch<'a> {
    pub(super) discovery: &'a Discovery,
    pub(super) source: &'a PartSource,
    pub(super) resources: &'a GroupVersion,
}

impl PartFetch<'_> {
    pub(super) async fn make(&self) -> Result<Arc<DocumentPart>, Problem> {
        let Discovery { workshop, filter, .. } = self.discovery;
        let answer = self.discovery.read(&self.source.url, "application/json", workshop.max_bytes).await?;
        let filter_text = serde_json::to_string(&filter.as_deref());
        let made_of = format!(
            "{} {} {}",
            sha256_hex(&answer.bytes),
            self.source.resources,
            filter_text.unwrap_or_default()
        );
        if let Some(known) = workshop.parts.made_of(&made_of) {
            return Ok(known);
        }
        let part = workshop.parts.keep(self.take_apart(answer.bytes.clone()).await?);
        workshop.parts.remember(made_of, &part);
        Ok(part)
    }

    /// Parses on a thread where it delays nobody.
    async fn take_apart(&self, openapi: Bytes) -> Result<MadePart, Problem> {
        let PartWorkshop { benches, max_bytes, .. } = &*self.discovery.workshop;
        let (bench, max_bytes) = (Arc::clone(benches).acquire_owned().await, *max_bytes);
        let (resources, filter) = (self.resources.clone(), self.discovery.filter.clone());
        let work = move || {
            let _bench = bench;
            part::make(&openapi, &resources, filter.as_deref(), max_bytes)
        };
        let made = tokio::task::spawn_blocking(work).await;
        let path = self.source.url.split('?').next().unwrap_or_default();
        let host = &self.discovery.target.server;
        match made {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(NoPart::TooLarge(what, limit))) => Err(Problem::passing(
                "SchemaTooLarge",
                format!("{what} of {host} at {path} has more than {limit} bytes: set spec.schemaFilter"),
            )),
            Ok(Err(NoPart::Shape(_))) | Err(_) => Err(Problem::passing(
                "SchemaInvalid",
                format!("the answer of {host} to {path} is not an OpenAPI document"),
            )),
        }
    }
}
