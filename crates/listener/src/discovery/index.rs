//! `/openapi/v3`: the URL of the OpenAPI document of each group-version, which includes its hash.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Maximum number of group-versions of a cluster.
pub const MAX_GROUP_VERSIONS: usize = 20_000;

/// Path with hash by group-version, such as `apps/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenApiIndex(pub BTreeMap<String, String>);

#[derive(Deserialize)]
struct IndexResponse {
    #[serde(default)]
    paths: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    #[serde(default, rename = "serverRelativeURL")]
    server_relative_url: String,
}

/// A response that is not an index that can be used.
#[derive(Debug, thiserror::Error)]
pub enum NotIndex {
    /// It does not have that shape.
    #[error("the answer is not an index")]
    Shape(#[from] serde_json::Error),
    /// It has more than [`MAX_GROUP_VERSIONS`].
    #[error("more than {MAX_GROUP_VERSIONS} group-versions")]
    TooMany,
}

impl OpenApiIndex {
    /// Reads it. Entries that are not group-versions are skipped, and so are those that point to other hosts.
    pub fn read(bytes: &[u8]) -> Result<Self, NotIndex> {
        let IndexResponse { paths } = serde_json::from_slice(bytes)?;
        let entry = |(path, entry): (String, IndexEntry)| {
            let group_version = group_version(&path)?;
            let url = entry.server_relative_url;
            let is_ours = url.starts_with('/') && !url.starts_with("//");
            is_ours.then_some((group_version, url))
        };
        let found: BTreeMap<_, _> = paths.into_iter().filter_map(entry).collect();
        if found.len() > MAX_GROUP_VERSIONS { Err(NotIndex::TooMany) } else { Ok(Self(found)) }
    }

    /// The entries of one API group.
    pub fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.0.iter().filter(move |(group_version, _)| {
            group_version.split_once('/').map_or("", |(group, _)| group) == group
        })
    }
}

fn group_version(path: &str) -> Option<String> {
    let mut segments = path.trim_matches('/').split('/');
    let found = match (segments.next()?, segments.next()?, segments.next()) {
        ("api", version, None) => version.to_owned(),
        ("apis", group, Some(version)) => format!("{group}/{version}"),
        _ => return None,
    };
    segments.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn group_versions_are_found_and_nothing_else() {
        let wire = json!({"paths": {
            "api": {"serverRelativeURL": "/openapi/v3/api?hash=0"},
            "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=1"},
            "apis": {"serverRelativeURL": "/openapi/v3/apis?hash=2"},
            "apis/apps": {"serverRelativeURL": "/openapi/v3/apis/apps?hash=3"},
            "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=4"},
            "apis/x.io/v1": {"serverRelativeURL": "https://elsewhere/openapi"},
            "apis/y.io/v1": {"serverRelativeURL": "//elsewhere/openapi"},
            "version": {"serverRelativeURL": "/openapi/v3/version?hash=5"},
        }});
        let index = OpenApiIndex::read(wire.to_string().as_bytes()).unwrap();
        let found: Vec<_> = index.0.iter().map(|(gv, url)| (gv.as_str(), url.as_str())).collect();
        assert_eq!(
            found,
            [("apps/v1", "/openapi/v3/apis/apps/v1?hash=4"), ("v1", "/openapi/v3/api/v1?hash=1")]
        );
        assert_eq!(index.of_group("").count(), 1);
        assert_eq!(index.of_group("apps").map(|(gv, _)| gv.as_str()).collect::<Vec<_>>(), ["apps/v1"]);
        assert!(matches!(OpenApiIndex::read(b"<html>"), Err(NotIndex::Shape(_))));
        assert_eq!(OpenApiIndex::read(b"{}").unwrap(), OpenApiIndex::default());
    }

    #[test]
    fn there_is_an_end_to_group_versions() {
        let of = |count: usize| {
            let entry = |number| (format!("apis/g{number}/v1"), json!({"serverRelativeURL": "/"}));
            let paths: serde_json::Map<_, _> = (0..count).map(entry).collect();
            OpenApiIndex::read(json!({"paths": paths}).to_string().as_bytes())
        };
        assert_eq!(of(MAX_GROUP_VERSIONS).unwrap().0.len(), MAX_GROUP_VERSIONS);
        assert!(matches!(of(MAX_GROUP_VERSIONS + 1), Err(NotIndex::TooMany)));
    }
}
