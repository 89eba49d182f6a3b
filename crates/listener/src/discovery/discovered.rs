//! The API of a cluster, as far as it is known.

use std::{collections::BTreeMap, sync::Arc};

use portolan_core::schema_document::{PartReference, group_version_order};
use tokio::time::Instant;

use super::{fetch::PartSource, index::OpenApiIndex};
use crate::parts::DocumentPart;

/// A part of a cluster with its source.
#[derive(Clone, Debug)]
pub struct KnownPart {
    pub(super) source: PartSource,
    pub part: Arc<DocumentPart>,
}

/// The API of a cluster.
#[derive(Clone, Debug, Default)]
pub struct DiscoveredApi {
    pub version: String,
    /// By group-version.
    pub parts: BTreeMap<String, KnownPart>,
    /// Group-versions that could not be fetched, and why. If they were known before, they are still among the parts.
    pub failed: BTreeMap<String, String>,
    pub index: OpenApiIndex,
    /// Group-versions whose OpenAPI and resources disagree, because one of the two is late.
    pub unsettled: Vec<String>,
    /// Group-versions with kinds of which the API server has no OpenAPI document, since when.
    pub undescribed: BTreeMap<String, Instant>,
    /// Group-versions among the parts that seem to have lost kinds, since when.
    pub doubts: BTreeMap<String, Instant>,
    /// Number of looks that are due soon, because the API server may have just started.
    pub rechecks: u8,
    /// Number of fetched parts.
    pub fetched: usize,
}

impl DiscoveredApi {
    pub fn kinds(&self) -> usize {
        self.parts.values().map(|known| known.part.kinds).sum()
    }

    pub fn bytes(&self) -> usize {
        self.parts.values().map(|known| known.part.bytes.len()).sum()
    }

    /// Its parts in the order of the document.
    pub fn references(&self) -> Vec<PartReference> {
        let mut references: Vec<_> = self
            .parts
            .iter()
            .map(|(group_version, known)| PartReference {
                group_version: group_version.clone(),
                sha256: known.part.sha256.clone(),
            })
            .collect();
        references.sort_by(|a, b| group_version_order(&a.group_version, &b.group_version));
        references
    }

    /// Returns `true` if OpenAPI and resources of a group agree, and nothing of it may come back.
    pub fn is_settled(&self, group: &str) -> bool {
        !self.unsettled.iter().chain(self.doubts.keys()).any(|name| group_of(name) == group)
    }

    /// Returns `true` if both make the same document.
    pub fn serves_the_same(&self, other: &Self) -> bool {
        self.references() == other.references()
    }
}

fn group_of(group_version: &str) -> &str {
    group_version.split_once('/').map_or("", |(group, _)| group)
}
