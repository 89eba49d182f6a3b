//! The dependency graph against `deny.toml`: versions, bans, licences, sources.

use std::{collections::BTreeMap, fs};

use cargo_metadata::{Package, semver::Version};

use super::{
    Project, licence,
    policy::{Ban, Licenses},
};

/// Crates whose types cross our own interfaces, or that are large: a second version is refused even with a reason.
const SINGLE: [&str; 12] = [
    "axum",
    "hyper",
    "jsonwebtoken",
    "k8s-openapi",
    "kube",
    "kube-client",
    "kube-core",
    "reqwest",
    "rustls",
    "serde-saphyr",
    "tokio",
    "tower-http",
];

/// Crates that are there more than once without leave, and leave that is no longer needed.
pub(super) fn versions(project: &Project) -> Vec<String> {
    let packages: Vec<_> = project.built.iter().map(|p| (p.name.as_str(), p.version.clone())).collect();
    duplicates(&packages, &project.policy.bans.skip)
}

fn duplicates(packages: &[(&str, Version)], skips: &[Ban]) -> Vec<String> {
    let mut versions = BTreeMap::<&str, Vec<&Version>>::new();
    for (name, version) in packages {
        versions.entry(name).or_default().push(version);
    }
    let mut found = Vec::new();
    for (name, versions) in &versions {
        let single = SINGLE.contains(name);
        let skipped =
            |version: &Version| !single && skips.iter().any(|skip| skip.spec.matches(name, version));
        if versions.len() > 1 && versions.iter().filter(|version| !skipped(version)).count() > 1 {
            let list: Vec<_> = versions.iter().map(ToString::to_string).collect();
            let cure = if single {
                "agree on one"
            } else {
                "agree on one, or give a reason under `skip` in deny.toml"
            };
            found.push(format!("{name} has several versions, {}: {cure}", list.join(" and ")));
        }
    }
    for Ban { spec, reason } in skips {
        let several = versions.get(spec.name.as_str()).filter(|versions| versions.len() > 1);
        if !several.is_some_and(|versions| versions.iter().any(|version| spec.version.matches(version))) {
            found.push(format!(
                "`skip` of {} in deny.toml ({reason}) is no longer needed: remove it",
                spec.name
            ));
        }
    }
    found
}

/// Crates that must not be in the graph.
pub(super) fn bans(project: &Project) -> Vec<String> {
    let deny = &project.policy.bans.deny;
    let banned = |package: &Package| {
        let ban = deny.iter().find(|ban| ban.spec.matches(&package.name, &package.version))?;
        let (name, version) = (&package.name, &package.version);
        Some(format!("{name} {version} is banned: {}; `cargo tree -i {name}` says who wants it", ban.reason))
    };
    project.built.iter().filter_map(banned).collect()
}

/// Crates whose licence is not allowed.
pub(super) fn licences(project: &Project) -> Vec<String> {
    let refused = |package: &Package| {
        let licence = package.license.clone().unwrap_or_else(|| written(package));
        let (name, version) = (&package.name, &package.version);
        (!may_have(&project.policy.licenses, name, version, &licence))
            .then(|| format!("{name} {version} has the licence `{licence}`: deny.toml does not allow it"))
    };
    project.built.iter().filter_map(refused).collect()
}

/// The licence of a package that has its text instead of its name. cargo-deny knows more texts than this one.
fn written(package: &Package) -> String {
    let text = package.license_file().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    if text.trim_start().starts_with("MIT License\n") { "MIT".to_owned() } else { String::new() }
}

fn may_have(policy: &Licenses, name: &str, version: &Version, expression: &str) -> bool {
    let own = policy.exceptions.iter().filter(|exception| exception.spec.matches(name, version));
    let allowed: Vec<_> = policy.allow.iter().chain(own.flat_map(|exception| &exception.allow)).collect();
    licence::satisfied(expression, &|licence| allowed.iter().any(|allowed| *allowed == licence))
}

/// Crates that come from somewhere else than the allowed registries or this repository.
pub(super) fn sources(project: &Project) -> Vec<String> {
    let registries = &project.policy.sources.allow_registry;
    let foreign = |package: &Package| {
        let known = match &package.source {
            Some(source) => from_registry(&source.repr, registries),
            None => project.graph.workspace_members.contains(&package.id),
        };
        let from =
            package.source.as_ref().map_or("a folder outside the workspace", |source| source.repr.as_str());
        (!known).then(|| format!("{} comes from {from}: deny.toml does not allow it", package.name))
    };
    project.built.iter().filter_map(foreign).collect()
}

fn from_registry(source: &str, registries: &[String]) -> bool {
    source.strip_prefix("registry+").is_some_and(|url| registries.iter().any(|registry| registry == url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(text: &str) -> Ban {
        toml::from_str(&format!("crate = \"{text}\"\nreason = \"because\"")).unwrap()
    }

    #[test]
    fn versions_of_a_crate() {
        let cases: [(&[&str], &[&str], usize); 9] = [
            (&["a 1.0.0", "b 1.0.0"], &[], 0),
            (&["a 1.0.0", "a 2.0.0"], &[], 1),
            (&["a 1.0.0", "a 2.0.0"], &["a@1"], 0),
            (&["a 1.0.0", "a 2.0.0"], &["a"], 0),
            // A third version is not what the reason was given for.
            (&["a 1.0.0", "a 2.0.0", "a 3.0.0"], &["a@1"], 1),
            (&["a 1.0.0", "a 2.0.0"], &["a@3"], 2),
            // Leave without need.
            (&["a 1.0.0"], &["a@1"], 1),
            (&["a 1.0.0"], &["b"], 1),
            // No reason is good enough for these.
            (&["kube 1.0.0", "kube 2.0.0"], &["kube@1"], 1),
        ];
        for (packages, skips, expected) in cases {
            let packages: Vec<_> = packages
                .iter()
                .map(|package| package.split_once(' ').unwrap())
                .map(|(name, version)| (name, version.parse().unwrap()))
                .collect();
            let skips: Vec<_> = skips.iter().map(|name| skip(name)).collect();
            assert_eq!(duplicates(&packages, &skips).len(), expected, "{packages:?}");
        }
    }

    #[test]
    fn an_exception_is_for_one_crate() {
        let policy: Licenses =
            toml::from_str("allow = [\"MIT\"]\nexceptions = [{ crate = \"a@1\", allow = [\"ISC\"] }]")
                .unwrap();
        for (name, version, licence, expected) in [
            ("a", "1.2.0", "ISC AND MIT", true),
            ("a", "2.0.0", "ISC", false),
            ("b", "1.0.0", "ISC", false),
            ("b", "1.0.0", "MIT", true),
            ("b", "1.0.0", "", false),
        ] {
            assert_eq!(
                may_have(&policy, name, &version.parse().unwrap(), licence),
                expected,
                "{name} {licence}"
            );
        }
    }

    #[test]
    fn only_listed_registries_are_sources() {
        let registries = ["https://example.com/index".to_owned()];
        for (source, expected) in [
            ("registry+https://example.com/index", true),
            ("registry+https://example.com/other", false),
            ("git+https://example.com/index", false),
            ("https://example.com/index", false),
        ] {
            assert_eq!(from_registry(source, &registries), expected, "{source}");
        }
    }
}
