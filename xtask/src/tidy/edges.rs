//! Directions of dependencies between crates: core -> runtime -> services, with the test crates beside them.

use std::path::Path;

use cargo_metadata::{Dependency, Package};

use super::Project;

/// The role of a workspace crate, by the folder it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Core,
    Runtime,
    Service,
    ControlPlane,
    Testkit,
    Fuzz,
    Tests,
    XtaskKit,
    Xtask,
    Front,
}

impl Layer {
    fn of(folder: &str) -> Option<Self> {
        Some(match folder {
            "crates/core" => Self::Core,
            "crates/runtime" => Self::Runtime,
            "crates/control-plane" => Self::ControlPlane,
            "crates/testkit" => Self::Testkit,
            "fuzz" => Self::Fuzz,
            "tests" => Self::Tests,
            "xtask" | "xtask/bench" => Self::Xtask,
            "xtask/kit" => Self::XtaskKit,
            "xtask/front" => Self::Front,
            other if other.starts_with("crates/") => Self::Service,
            _ => return None,
        })
    }

    /// The workspace crates that a layer may depend on, in whatever way: normal, dev or build.
    const fn may_use(self) -> &'static [Self] {
        match self {
            // The front is built before anything else, and what builds control planes before all that takes long.
            Self::Core | Self::ControlPlane | Self::Front => &[],
            Self::Runtime => &[Self::Core],
            Self::Service => &[Self::Core, Self::Runtime],
            Self::Testkit => &[Self::Core, Self::Runtime, Self::ControlPlane],
            // Strangers write what services read, so their entry points are called directly.
            Self::Fuzz => &[Self::Core, Self::Runtime, Self::Service],
            Self::Tests | Self::XtaskKit => &[Self::Core, Self::Runtime, Self::Testkit],
            Self::Xtask => &[Self::Core, Self::Runtime, Self::Testkit, Self::XtaskKit],
        }
    }
}

/// Foreign crates that would bring IO, a runtime or a clock into core.
const NOT_IN_CORE: [&str; 14] = [
    "axum",
    "chrono",
    "hyper",
    "hyper-util",
    "kube-client",
    "kube-runtime",
    "portolan-runtime",
    "reqwest",
    "rustls",
    "time",
    "tokio",
    "tokio-util",
    "tower-http",
    "tracing-subscriber",
];

/// Features of `kube` that core may ask for: those that only describe types.
const KUBE_IN_CORE: [&str; 3] = ["derive", "jsonpatch", "schema"];

/// Foreign crates that one workspace crate wraps for all others, so that they can be exchanged in one place.
const ONLY_IN: [(&str, &str); 1] = [("prometheus", "portolan-runtime")];

/// A workspace crate with what its manifest asks for.
struct Member<'a> {
    name: &'a str,
    folder: &'a str,
    dependencies: Vec<Asked<'a>>,
}

struct Asked<'a> {
    name: &'a str,
    default_features: bool,
    features: Vec<&'a str>,
}

/// Names every edge that must not be.
pub(super) fn check(project: &Project) -> Vec<String> {
    let members: Vec<_> =
        project.graph.workspace_packages().iter().map(|p| member(&project.root, p)).collect();
    violations(&members)
}

fn member<'a>(root: &Path, package: &'a Package) -> Member<'a> {
    let folder = package.manifest_path.parent().and_then(|path| path.strip_prefix(root).ok());
    Member {
        name: &package.name,
        folder: folder.map_or("", |path| path.as_str()),
        dependencies: package.dependencies.iter().map(asked).collect(),
    }
}

fn asked(dependency: &Dependency) -> Asked<'_> {
    Asked {
        name: &dependency.name,
        default_features: dependency.uses_default_features,
        features: dependency.features.iter().map(String::as_str).collect(),
    }
}

fn violations(members: &[Member<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for member in members {
        let Some(layer) = Layer::of(member.folder) else {
            found.push(format!("{} is in no folder of the layout: move it to crates/", member.name));
            continue;
        };
        for dependency in &member.dependencies {
            let inside = members.iter().find(|other| other.name == dependency.name);
            found.extend(match inside {
                Some(other) => inner_edge(member, layer, other),
                None => outer_edge(member, layer, dependency),
            });
        }
    }
    found
}

fn inner_edge(from: &Member<'_>, layer: Layer, to: &Member<'_>) -> Option<String> {
    let target = Layer::of(to.folder)?;
    let allowed = layer.may_use().contains(&target);
    (!allowed).then(|| {
        format!("{} must not depend on {}: move what both need to a lower layer", from.name, to.name)
    })
}

fn outer_edge(from: &Member<'_>, layer: Layer, to: &Asked<'_>) -> Option<String> {
    if layer == Layer::Front {
        return Some(format!(
            "{} must not depend on {}: nothing is shown before it is compiled",
            from.name, to.name
        ));
    }
    if let Some((_, home)) = ONLY_IN.iter().find(|(name, home)| *name == to.name && *home != from.name) {
        return Some(format!("{} must not depend on {}: {home} wraps it", from.name, to.name));
    }
    if layer != Layer::Core {
        return None;
    }
    if NOT_IN_CORE.contains(&to.name) {
        return Some(format!("{} is pure: {} belongs in portolan-runtime", from.name, to.name));
    }
    if to.name != "kube" {
        return None;
    }
    let wrong: Vec<_> =
        to.features.iter().filter(|feature| !KUBE_IN_CORE.contains(feature)).copied().collect();
    let wrong = if to.default_features { [&["default"], &wrong[..]].concat() } else { wrong };
    (!wrong.is_empty()).then(|| format!("{} is pure: no kube features {}", from.name, wrong.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATES: [(&str, &str); 11] = [
        ("portolan-core", "crates/core"),
        ("portolan-runtime", "crates/runtime"),
        ("portolan-konnector", "crates/konnector"),
        ("portolan-provider", "crates/provider"),
        ("portolan-control-plane", "crates/control-plane"),
        ("portolan-testkit", "crates/testkit"),
        ("portolan-tests", "tests"),
        ("xtask", "xtask"),
        ("xtask-bench", "xtask/bench"),
        ("xtask-front", "xtask/front"),
        ("xtask-kit", "xtask/kit"),
    ];

    fn ask<'a>(name: &'a str, features: &[&'a str]) -> Asked<'a> {
        let default_features = features.contains(&"default");
        let features = features.iter().copied().filter(|feature| *feature != "default").collect();
        Asked { name, default_features, features }
    }

    fn found(from: &str, to: &str, features: &[&str]) -> usize {
        let dependencies = |name| if name == from { vec![ask(to, features)] } else { Vec::new() };
        let members = CRATES.map(|(name, folder)| Member { name, folder, dependencies: dependencies(name) });
        violations(&members).len()
    }

    #[test]
    fn edges_between_workspace_crates() {
        let allowed = [
            ("portolan-runtime", "portolan-core"),
            ("portolan-konnector", "portolan-core"),
            ("portolan-konnector", "portolan-runtime"),
            ("portolan-provider", "portolan-core"),
            ("portolan-provider", "portolan-runtime"),
            ("portolan-testkit", "portolan-core"),
            ("portolan-testkit", "portolan-runtime"),
            ("portolan-testkit", "portolan-control-plane"),
            ("portolan-tests", "portolan-core"),
            ("portolan-tests", "portolan-runtime"),
            ("portolan-tests", "portolan-testkit"),
            ("xtask", "portolan-core"),
            ("xtask", "portolan-runtime"),
            ("xtask", "portolan-testkit"),
            ("xtask", "xtask-kit"),
            ("xtask-bench", "portolan-core"),
            ("xtask-bench", "portolan-runtime"),
            ("xtask-bench", "portolan-testkit"),
            ("xtask-bench", "xtask-kit"),
            ("xtask-kit", "portolan-core"),
            ("xtask-kit", "portolan-runtime"),
            ("xtask-kit", "portolan-testkit"),
        ];
        for (from, _) in CRATES {
            for (to, _) in CRATES {
                let expected = usize::from(!allowed.contains(&(from, to)));
                assert_eq!(found(from, to, &[]), expected, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn edges_to_foreign_crates() {
        let cases: [(&str, &str, &[&str], usize); 11] = [
            ("portolan-core", "serde", &["default"], 0),
            ("portolan-core", "tokio", &[], 1),
            ("portolan-runtime", "tokio", &[], 0),
            ("portolan-core", "kube", &["derive"], 0),
            ("portolan-core", "kube", &["derive", "client"], 1),
            ("portolan-core", "kube", &["default"], 1),
            ("portolan-runtime", "kube", &["client"], 0),
            ("portolan-runtime", "prometheus", &[], 0),
            ("portolan-konnector", "prometheus", &[], 1),
            ("portolan-control-plane", "libc", &[], 0),
            ("xtask-front", "libc", &[], 1),
        ];
        for (from, to, features, expected) in cases {
            assert_eq!(found(from, to, features), expected, "{from} -> {to} {features:?}");
        }
    }

    #[test]
    fn a_crate_outside_the_layout_is_named() {
        let member = Member { name: "stray", folder: "tools/stray", dependencies: Vec::new() };
        assert_eq!(violations(&[member]).len(), 1);
    }
}
