//! One look at a cluster. Only what has a new hash is fetched; a group-version that cannot be fetched does not hide the
//! others.

mod fault;
mod fetch;
mod index;
mod part;
mod resources;

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt as _, stream};
use kube::Client;
use portolan_core::{
    api::gateway::SchemaFilter,
    kubeconfig::RestrictedKubeconfig,
    schema_document::{PartReference, group_version_order},
};
use portolan_runtime::client;
use serde::Deserialize;

pub use self::{fault::of_client, fetch::Workshop, index::Index, part::MadePart};
use self::{
    fetch::{Fetching, Source},
    resources::{GroupVersion, Resources},
};
use crate::{parts::Part, problem::Problem};

/// Number of group-versions of one cluster that are fetched at a time.
const SIDE_BY_SIDE: usize = 6;

/// A part of a cluster with its source.
#[derive(Clone, Debug)]
pub struct KnownPart {
    source: Source,
    pub part: Arc<Part>,
}

/// The API of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    pub version: String,
    /// By group-version.
    pub parts: BTreeMap<String, KnownPart>,
    /// Group-versions that could not be fetched, and why. If they were known before, they are still among the parts.
    pub failed: BTreeMap<String, String>,
    pub index: Index,
    /// Group-versions whose OpenAPI and resources disagree, because one of the two is late.
    pub unsettled: Vec<String>,
    /// Number of fetched parts.
    pub fetched: usize,
}

impl Discovered {
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

    /// Returns `true` if OpenAPI and resources of a group agree.
    pub fn is_settled(&self, group: &str) -> bool {
        !self.unsettled.iter().any(|name| group_of(name) == group)
    }

    /// Returns `true` if both make the same document.
    pub fn serves_the_same(&self, other: &Self) -> bool {
        self.references() == other.references()
    }
}

pub fn group_of(group_version: &str) -> &str {
    group_version.split_once('/').map_or("", |(group, _)| group)
}

/// A cluster that is looked at.
#[derive(Clone)]
pub struct Discovery {
    pub client: Client,
    pub target: Arc<RestrictedKubeconfig>,
    pub filter: Option<Arc<SchemaFilter>>,
    pub workshop: Arc<Workshop>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VersionInfo {
    git_version: String,
}

impl Discovery {
    /// A client for a target.
    pub async fn new(
        target: RestrictedKubeconfig,
        filter: Option<SchemaFilter>,
        workshop: Arc<Workshop>,
    ) -> Result<Self, Problem> {
        let client = client::restricted(&target).await.map_err(|error| of_client(&error))?;
        Ok(Self { client, target: Arc::new(target), filter: filter.map(Arc::new), workshop })
    }

    /// Reads the index only.
    pub async fn index(&self) -> Result<Index, Problem> {
        let path = "/openapi/v3";
        let bytes = self.read(path, "application/json").await?;
        Index::read(&bytes).map_err(|_| self.nonsense(path))
    }

    /// Looks at everything, and fetches what differs from `before`.
    pub async fn look(&self, before: &Discovered) -> Result<Discovered, Problem> {
        let (version, index, resources) = tokio::join!(self.version(), self.index(), self.resources());
        let (index, resources) = (index?, resources?);
        let mut found = Discovered { version: version?, index, ..Discovered::default() };
        let wanted = self.wanted(&found.index, &resources, before, &mut found.failed);
        let made: Vec<_> = stream::iter(wanted)
            .map(|(name, source)| self.part(name, source, &resources, before))
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        for (name, made) in made {
            match made {
                Ok(made) => {
                    found.fetched += usize::from(made.is_new);
                    let kinds = resources.0.get(&name).map_or(0, |known| known.kinds.len());
                    let part = &made.known.part;
                    if self.filter.is_none() && (part.kinds != kinds || part.orphans > 0) {
                        found.unsettled.push(name.clone());
                    }
                    found.parts.insert(name, made.known);
                }
                Err(problem) => {
                    if let Some(known) = before.parts.get(&name) {
                        found.parts.insert(name.clone(), known.clone());
                    }
                    found.failed.insert(name, problem.message);
                }
            }
        }
        self.note_gaps(&mut found, &resources);
        self.workshop.check_total(found.bytes())?;
        Ok(found)
    }

    /// The group-versions of the document with their sources.
    fn wanted(
        &self,
        index: &Index,
        resources: &Resources,
        before: &Discovered,
        failed: &mut BTreeMap<String, String>,
    ) -> Vec<(String, Source)> {
        let mut wanted = Vec::new();
        for (name, known) in &resources.0 {
            if self.filter.as_ref().is_some_and(|filter| !filter.touches(&known.group, &known.version)) {
                continue;
            }
            if known.stale {
                failed.insert(name.clone(), "its extension API server does not answer".to_owned());
            }
            match (index.0.get(name), before.parts.get(name)) {
                // The last part of a dead extension is kept.
                (_, Some(last)) if known.stale => wanted.push((name.clone(), last.source.clone())),
                (Some(url), _) => {
                    wanted.push((name.clone(), Source { url: url.clone(), resources: known.digest() }));
                }
                (None, _) => {}
            }
        }
        wanted
    }

    fn note_gaps(&self, found: &mut Discovered, resources: &Resources) {
        if self.filter.is_none() {
            let missing = |name: &&String| !found.index.0.contains_key(*name);
            let late = resources.0.keys().filter(missing);
            let early = found.index.0.keys().filter(|name| !resources.0.contains_key(*name));
            let gaps: Vec<_> = late.chain(early).cloned().collect();
            found.unsettled.extend(gaps);
        }
    }

    async fn part(
        &self,
        name: String,
        source: Source,
        resources: &Resources,
        before: &Discovered,
    ) -> (String, Result<Made, Problem>) {
        if let Some(known) = before.parts.get(&name).filter(|known| known.source == source) {
            return (name, Ok(Made { known: known.clone(), is_new: false }));
        }
        let nothing = GroupVersion::default();
        let of = resources.0.get(&name).unwrap_or(&nothing);
        let fetching = Fetching { discovery: self, source: &source, resources: of };
        let made = fetching.make().await.map(|part| Made { known: KnownPart { source, part }, is_new: true });
        (name, made)
    }

    async fn version(&self) -> Result<String, Problem> {
        let bytes = self.read("/version", "application/json").await?;
        let info: VersionInfo = serde_json::from_slice(&bytes).map_err(|_| self.nonsense("/version"))?;
        Ok(info.git_version.chars().take(100).collect())
    }

    async fn resources(&self) -> Result<Resources, Problem> {
        let (core, groups) =
            tokio::join!(self.read("/api", resources::ACCEPT), self.read("/apis", resources::ACCEPT));
        let mut resources = Resources::default();
        for bytes in [core?, groups?] {
            resources.read(&bytes).map_err(|error| {
                Problem::passing("NotKubernetes", format!("{}: {error}", self.target.server))
            })?;
        }
        Ok(resources)
    }

    fn nonsense(&self, path: &str) -> Problem {
        let host = &self.target.server;
        Problem::passing(
            "NotKubernetes",
            format!("the answer of {host} to {path} is not that of an API server"),
        )
    }
}

struct Made {
    known: KnownPart,
    is_new: bool,
}
