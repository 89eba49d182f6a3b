//! One look at a cluster. Only what has a new hash is fetched; a group-version that cannot be fetched does not hide the
//! others.

mod discovered;
mod doubt;
mod fault;
mod fetch;
mod index;
mod part;
mod read;
mod resources;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use kube::Client;
use portolan_core::{api::gateway::SchemaFilter, kubeconfig::RestrictedKubeconfig};
use portolan_runtime::client;
use serde::Deserialize;
use tokio::time::Instant;

pub use self::{
    discovered::DiscoveredApi, fault::of_client, fetch::PartWorkshop, index::OpenApiIndex, part::MadePart,
};
use self::{
    discovered::KnownPart,
    doubt::UNDESCRIBED,
    fetch::{PartFetch, PartSource},
    index::{MAX_GROUP_VERSIONS, NotIndex},
    read::{OwnTurns, SMALL},
    resources::{ClusterResources, GroupVersion, NotDiscovery},
};
use crate::problem::Problem;

/// Number of group-versions of one cluster that are fetched at a time.
const SIDE_BY_SIDE: usize = 6;

/// A cluster that is looked at.
#[derive(Clone)]
pub struct Discovery {
    pub client: Client,
    pub target: Arc<RestrictedKubeconfig>,
    pub filter: Option<Arc<SchemaFilter>>,
    pub workshop: Arc<PartWorkshop>,
    pub turns: Arc<OwnTurns>,
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
        workshop: Arc<PartWorkshop>,
    ) -> Result<Self, Problem> {
        let client = client::restricted(&target).await.map_err(|error| of_client(&error))?;
        let (target, filter) = (Arc::new(target), filter.map(Arc::new));
        Ok(Self { client, target, filter, workshop, turns: Arc::default() })
    }

    /// Reads the index only.
    pub async fn index(&self) -> Result<OpenApiIndex, Problem> {
        let path = "/openapi/v3";
        let answer = self.read(path, "application/json", self.workshop.max_list()).await?;
        OpenApiIndex::read(&answer.bytes).map_err(|error| match error {
            NotIndex::Shape(_) => self.nonsense(path),
            NotIndex::TooMany => self.too_many(),
        })
    }

    /// Looks at everything, and fetches what differs from `before`.
    pub async fn look(&self, before: &DiscoveredApi) -> Result<DiscoveredApi, Problem> {
        let (version, index, resources) = tokio::join!(self.version(), self.index(), self.resources());
        let (index, resources) = (index?, resources?);
        let mut found = DiscoveredApi { version: version?, index, ..DiscoveredApi::default() };
        self.make_parts(&mut found, &resources, before).await?;
        self.note_gaps(&mut found, &resources);
        self.note_undescribed(&mut found, &resources, before);
        self.keep_doubtful(&mut found, &resources, before).await;
        self.workshop.check_total(found.bytes())?;
        Ok(found)
    }

    /// Returns `true` if the resources of these groups, or of all, are not those of the known parts: a change of their
    /// short names or categories is in no OpenAPI document.
    pub async fn lists_other(&self, known: &DiscoveredApi, groups: Option<&BTreeSet<String>>) -> bool {
        let Ok(resources) = self.resources().await else { return false };
        let is_other = |(name, part): (&String, &KnownPart)| {
            resources.0.get(name).is_some_and(|listed| {
                let is_meant = groups.is_none_or(|groups| groups.contains(&listed.group));
                is_meant && !listed.stale && listed.digest() != part.source.resources
            })
        };
        known.parts.iter().any(is_other)
    }

    /// Makes the parts, but not one more if they are too large together: each of them stays in memory.
    async fn make_parts(
        &self,
        found: &mut DiscoveredApi,
        resources: &ClusterResources,
        before: &DiscoveredApi,
    ) -> Result<(), Problem> {
        let wanted = self.wanted(&found.index, resources, before, &mut found.failed);
        let making = stream::iter(wanted).map(|(name, source)| self.part(name, source, resources, before));
        let mut making = pin!(making.buffer_unordered(SIDE_BY_SIDE));
        let mut bytes = 0;
        while let Some((name, made)) = making.next().await {
            let known = match made {
                Ok(made) => {
                    found.fetched += usize::from(made.is_new);
                    let kinds = resources.0.get(&name).map_or(0, |known| known.kinds.len());
                    let part = &made.known.part;
                    if self.filter.is_none() && (part.kinds != kinds || part.orphans > 0) {
                        found.unsettled.push(name.clone());
                    }
                    Some(made.known)
                }
                Err(problem) => {
                    found.failed.insert(name.clone(), problem.message);
                    before.parts.get(&name).cloned()
                }
            };
            if let Some(known) = known {
                bytes += known.part.bytes.len();
                self.workshop.check_total(bytes)?;
                found.parts.insert(name, known);
            }
        }
        Ok(())
    }

    /// The group-versions of the document with their sources.
    fn wanted(
        &self,
        index: &OpenApiIndex,
        resources: &ClusterResources,
        before: &DiscoveredApi,
        failed: &mut BTreeMap<String, String>,
    ) -> Vec<(String, PartSource)> {
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
                    wanted.push((name.clone(), PartSource { url: url.clone(), resources: known.digest() }));
                }
                (None, _) => {}
            }
        }
        wanted
    }

    fn note_gaps(&self, found: &mut DiscoveredApi, resources: &ClusterResources) {
        if self.filter.is_none() {
            let missing = |name: &&String| !found.index.0.contains_key(*name);
            let late = resources.0.keys().filter(missing);
            let early = found.index.0.keys().filter(|name| !resources.0.contains_key(*name));
            let gaps: Vec<_> = late.chain(early).cloned().collect();
            found.unsettled.extend(gaps);
        }
    }

    /// Notes what cannot be in the document although it is served. It is told once it is not just late.
    fn note_undescribed(
        &self,
        found: &mut DiscoveredApi,
        resources: &ClusterResources,
        before: &DiscoveredApi,
    ) {
        for (name, of) in &resources.0 {
            let is_wanted = self.filter.as_ref().is_none_or(|filter| filter.touches(&of.group, &of.version));
            let is_described = of.stale || of.kinds.is_empty() || found.index.0.contains_key(name);
            if is_described || !is_wanted {
                continue;
            }
            let since = before.undescribed.get(name).copied().unwrap_or_else(Instant::now);
            if since.elapsed() >= UNDESCRIBED {
                let why = "its API server has no OpenAPI v3 document of it".to_owned();
                found.failed.insert(name.clone(), why);
            }
            found.undescribed.insert(name.clone(), since);
        }
    }

    async fn part(
        &self,
        name: String,
        source: PartSource,
        resources: &ClusterResources,
        before: &DiscoveredApi,
    ) -> (String, Result<ResolvedPart, Problem>) {
        if let Some(known) = before.parts.get(&name).filter(|known| known.source == source) {
            return (name, Ok(ResolvedPart { known: known.clone(), is_new: false }));
        }
        let nothing = GroupVersion::default();
        let of = resources.0.get(&name).unwrap_or(&nothing);
        let fetching = PartFetch { discovery: self, source: &source, resources: of };
        let made = fetching
            .make()
            .await
            .map(|part| ResolvedPart { known: KnownPart { source, part }, is_new: true });
        (name, made)
    }

    async fn version(&self) -> Result<String, Problem> {
        let answer = self.read("/version", "application/json", SMALL).await?;
        let info: VersionInfo =
            serde_json::from_slice(&answer.bytes).map_err(|_| self.nonsense("/version"))?;
        Ok(info.git_version.chars().take(100).collect())
    }

    async fn resources(&self) -> Result<ClusterResources, Problem> {
        let (core, groups) = tokio::join!(self.resources_of("/api"), self.resources_of("/apis"));
        let mut resources = core?;
        resources.0.extend(groups?.0);
        Ok(resources)
    }

    async fn resources_of(&self, path: &str) -> Result<ClusterResources, Problem> {
        let answer = self.read(path, resources::ACCEPT, self.workshop.max_list()).await?;
        ClusterResources::read(&answer.bytes).map_err(|error| match error {
            NotDiscovery::TooMany => self.too_many(),
            error => Problem::passing("NotKubernetes", format!("{}: {error}", self.target.server)),
        })
    }

    fn too_many(&self) -> Problem {
        let host = &self.target.server;
        Problem::passing(
            "SchemaTooLarge",
            format!(
                "{host} has more than {MAX_GROUP_VERSIONS} group-versions, which is too many for one cluster"
            ),
        )
    }

    fn nonsense(&self, path: &str) -> Problem {
        let host = &self.target.server;
        Problem::passing(
            "NotKubernetes",
            format!("the answer of {host} to {path} is not that of an API server"),
        )
    }
}

struct ResolvedPart {
    known: KnownPart,
    is_new: bool,
}
