//! Results of the last comparison of a schema with its CRD, until one of them changes.
//!
//! Bodies are large, so they are read when they are needed, one pair at a time, and dropped.

use std::{collections::HashMap, sync::Arc};

use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use parking_lot::Mutex;
use portolan_core::{
    api::kubebind::{ANNOTATION_SOURCE_SPEC_HASH, APIServiceBinding},
    outline::{CrdBody, unwrapped},
};
use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::sync::SchemaDefaults;

/// Uid and generation.
pub type ObjectVersion = Option<(String, i64)>;

/// Uid and generation of an object.
pub fn version_of(metadata: &ObjectMeta) -> ObjectVersion {
    Some((metadata.uid.clone()?, metadata.generation?))
}

/// Everything that a comparison depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonBasis {
    pub schema: ObjectVersion,
    pub crd: ObjectVersion,
    pub binding: Option<String>,
    pub approved: Option<String>,
    /// The consumer has agreed to what breaks.
    pub breaking: bool,
}

/// The result of a comparison.
#[derive(Clone, Debug)]
pub struct ComparisonResult<O> {
    /// The reason why the schema is not taken over.
    pub objection: Option<O>,
    /// The hash that the CRD has to carry.
    hash: Option<String>,
    /// Defaults that the consumer's API server fills in, by version.
    defaults: HashMap<String, Arc<SchemaDefaults>>,
}

impl<O> ComparisonResult<O> {
    pub fn new(objection: Option<O>, crd: &CrdBody) -> Self {
        let hash = crd.annotations().get(ANNOTATION_SOURCE_SPEC_HASH).map(String::as_str);
        Self::of(objection, hash, &crd.spec)
    }

    /// Of a CRD that was just made like this.
    pub fn of_made(crd: &Value) -> Self {
        let hash = crd["metadata"]["annotations"][ANNOTATION_SOURCE_SPEC_HASH].as_str();
        Self::of(None, hash, &crd["spec"])
    }

    fn of(objection: Option<O>, hash: Option<&str>, spec: &Value) -> Self {
        let versions = spec["versions"].as_array().into_iter().flatten();
        let defaults = |version: &Value| {
            let name = version["name"].as_str()?.to_owned();
            Some((name, Arc::new(SchemaDefaults::of(unwrapped(&version["schema"])))))
        };
        let hash = hash.map(str::to_owned);
        Self { objection, hash, defaults: versions.filter_map(defaults).collect() }
    }

    pub fn defaults(&self, version: &str) -> Arc<SchemaDefaults> {
        self.defaults.get(version).cloned().unwrap_or_default()
    }

    /// Returns `true` if the result still holds for a CRD whose metadata may have changed since.
    pub fn holds_for<K: Resource>(&self, crd: &K, binding: &APIServiceBinding) -> bool {
        crate::crd::is_owned_by(crd, binding)
            && crate::crd::is_labelled(crd)
            && crd.annotations().get(ANNOTATION_SOURCE_SPEC_HASH) == self.hash.as_ref()
    }
}

/// The comparisons, by the name of the CRD.
pub struct ComparisonCache<O> {
    turn: tokio::sync::Mutex<()>,
    found: Mutex<HashMap<String, CachedComparison<O>>>,
}

/// A result, and its basis.
type CachedComparison<O> = (ComparisonBasis, Arc<ComparisonResult<O>>);

impl<O> Default for ComparisonCache<O> {
    fn default() -> Self {
        Self { turn: tokio::sync::Mutex::default(), found: Mutex::default() }
    }
}

impl<O> ComparisonCache<O> {
    /// Waits until nobody else compares bodies.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Returns the result for this basis.
    pub fn get(&self, crd: &str, basis: &ComparisonBasis) -> Option<Arc<ComparisonResult<O>>> {
        let found = self.found.lock();
        found.get(crd).filter(|(known, _)| known == basis).map(|(_, found)| Arc::clone(found))
    }

    pub fn put(
        &self,
        crd: &str,
        basis: ComparisonBasis,
        found: ComparisonResult<O>,
    ) -> Arc<ComparisonResult<O>> {
        let found = Arc::new(found);
        self.found.lock().insert(crd.to_owned(), (basis, Arc::clone(&found)));
        found
    }

    pub fn forget(&self, crd: &str) {
        self.found.lock().remove(crd);
    }
}
