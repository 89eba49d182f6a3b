//! Clusters that cannot be told apart: one issuer and one key under two names, as after a restored backup.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tracing::warn;

use crate::state::ConfigSnapshot;

/// A key as the automatic choice sees it: issuer, id, and what it is made of.
type Seen<'a> = (&'a str, Option<&'a str>, &'a str);

/// Counts, for each cluster, the keys that another one has, too.
pub fn shared_keys(snapshot: &ConfigSnapshot) -> BTreeMap<String, usize> {
    let with_keys = snapshot.clusters.values().filter_map(|cluster| Some((cluster, cluster.jwks.keys()?)));
    let with_keys: Vec<_> = with_keys.collect();
    let mut owners: HashMap<Seen<'_>, Vec<(&str, &str)>> = HashMap::new();
    for (cluster, keys) in &with_keys {
        for key in keys.iter() {
            for issuer in &cluster.config.issuers {
                let seen = (issuer.as_str(), key.id.as_deref(), key.thumbprint.as_str());
                owners.entry(seen).or_default().push((&cluster.config.name, key.thumbprint.as_str()));
            }
        }
    }
    let mut counts: BTreeMap<String, usize> =
        snapshot.clusters.keys().map(|name| (name.clone(), 0)).collect();
    // A key counts once, however many issuers it is shared under.
    let shared = owners.into_iter().filter(|(_, names)| names.len() > 1);
    let shared: BTreeSet<_> = shared
        .flat_map(|((_, id, _), names)| names.into_iter().map(move |(name, key)| (name, id, key)))
        .collect();
    for (name, ..) in shared {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// Says which clusters are new among those that share keys.
pub fn complain(before: &BTreeMap<String, usize>, now: &BTreeMap<String, usize>) {
    let had = |name: &String| before.get(name).is_some_and(|count| *count > 0);
    for (cluster, count) in now.iter().filter(|(name, count)| **count > 0 && !had(name)) {
        warn!(
            cluster,
            keys = count,
            "another cluster has the same issuer and the same keys: tokens of both are accepted by both, and the \
             automatic choice refuses them; give one of the clusters keys of its own"
        );
    }
}
