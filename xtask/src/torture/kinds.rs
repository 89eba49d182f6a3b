//! The kinds that are tortured: each is another way to share a kind. Those of cert-manager have a real controller on
//! the provider.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ApiResource;
use portolan_testkit::{cert_manager, workload::EXPORTED};
use serde_json::{Value, json};

use super::agree::THEIRS;

pub(super) const GROUP: &str = "torture.dev";

/// A kind of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    pub(super) name: &'static str,
    pub(super) namespaced: bool,
    /// Its provider claims labelled Secrets beside it.
    claims: bool,
    /// Its versions come and go.
    pub(super) evolves: bool,
}

const PLAIN: Kind =
    Kind { group: GROUP, plural: "cowboys", name: "Cowboy", namespaced: true, claims: false, evolves: false };

/// The one whose provider claims Secrets.
pub(super) const CLAIMS: Kind = Kind { plural: "wagons", name: "Wagon", claims: true, ..PLAIN };

pub(super) const KINDS: [Kind; 4] = [
    PLAIN,
    Kind { plural: "mines", name: "Mine", namespaced: false, ..PLAIN },
    CLAIMS,
    Kind { plural: "trains", name: "Train", evolves: true, ..PLAIN },
];

/// A service that is not of this program: its kinds are there where it can be built.
pub(super) const ISSUERS: Kind =
    Kind { group: cert_manager::GROUP, plural: "issuers", name: "Issuer", ..PLAIN };
pub(super) const CERTIFICATES: Kind =
    Kind { group: cert_manager::GROUP, plural: "certificates", name: "Certificate", ..PLAIN };

/// The versions that an evolving kind has, one after the other; each has one field more than the one before.
pub(super) const VERSIONS: [&str; 4] = ["v1alpha1", "v1beta1", "v1", "v2"];

impl Kind {
    pub(super) fn crd_name(self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Returns `true` if its CRD and its controller are this program's own.
    pub(super) fn is_own(self) -> bool {
        self.group == GROUP
    }

    /// The CRD as the provider installs it, not yet exported.
    pub(super) fn crd(self) -> CustomResourceDefinition {
        let claims = json!([{"resource": "secrets", "selector": {"labelSelector": {
            "matchLabels": {super::origins::CLAIMED: "yes"}}}}]);
        let mut annotations = json!({});
        if self.claims {
            annotations["kube-bind.io/permission-claims"] = claims.to_string().into();
        }
        let singular = self.name.to_lowercase();
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": self.crd_name(), "labels": {EXPORTED: "true"}, "annotations": annotations},
            "spec": {
                "group": GROUP, "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
                "names": {"kind": self.name, "listKind": format!("{}List", self.name), "plural": self.plural,
                    "singular": singular},
                "versions": [version(0)],
            },
        });
        serde_json::from_value(crd).expect("this constant is a CRD")
    }

    /// Describes a version to a dynamic API.
    pub(super) fn resource(self, version: &str) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version: format!("{}/{version}", self.group),
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// The field that a version has and the ones before it lack.
pub(super) fn field_of(version: usize) -> String {
    format!("since{version}")
}

/// A version of a CRD: served and stored.
pub(super) fn version(number: usize) -> Value {
    let mut spec = json!({
        "intent": {"type": "string"},
        "size": {"type": "integer"},
        "ratio": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "options": {"type": "object", "additionalProperties": {"type": "string"}},
        THEIRS: {"type": "string"},
    });
    for number in 1..=number {
        spec[field_of(number)] = json!({"type": "string"});
    }
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": spec},
        "status": {"type": "object", "properties": {
            "result": {"type": "string"}, "observedGeneration": {"type": "integer"}}},
    }});
    json!({
        "name": VERSIONS[number], "served": true, "storage": true,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    })
}

/// The version that a CRD stores, which keeps everything.
pub(super) fn stored_version(crd: &CustomResourceDefinition) -> Option<String> {
    crd.spec.versions.iter().find(|version| version.storage).map(|version| version.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_differ_in_how_they_are_shared() {
        let scopes = KINDS.map(|kind| kind.crd().spec.scope);
        assert_eq!(scopes, ["Namespaced", "Cluster", "Namespaced", "Namespaced"]);
        assert_eq!(KINDS.iter().filter(|kind| kind.claims).count(), 1);
        assert_eq!(stored_version(&KINDS[3].crd()).as_deref(), Some("v1alpha1"));
    }

    #[test]
    fn each_version_has_a_field_more() {
        let fields = |number| {
            let version = version(number);
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
                .as_object()
                .unwrap()
                .len()
        };
        assert_eq!((fields(1), fields(2)), (fields(0) + 1, fields(0) + 2));
    }
}
