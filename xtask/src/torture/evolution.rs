//! Evolution of a provider's CRDs: versions come and go as Kubernetes' own documentation describes it, and schemas
//! get wider.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{
    driver::Driver,
    kinds::{KINDS, Kind, VERSIONS, version},
    people::taken,
    steps::Side,
};

/// The versions of a CRD with one more, which is stored from now on. `None` where there is no further one.
fn with_another(versions: &[Value]) -> Option<Vec<Value>> {
    let newest = versions.iter().filter_map(number_of).max()?;
    VERSIONS.get(newest + 1)?;
    let mut versions = versions.to_vec();
    for version in &mut versions {
        version["storage"] = false.into();
    }
    versions.push(version(newest + 1));
    Some(versions)
}

fn number_of(version: &Value) -> Option<usize> {
    VERSIONS.iter().position(|name| version["name"] == *name)
}

/// The versions of a CRD with an optional field more in each schema. `None` where it is there.
fn with_field(versions: &[Value], field: &str) -> Option<Vec<Value>> {
    let mut versions = versions.to_vec();
    for version in &mut versions {
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        if spec[field].is_object() {
            return None;
        }
        spec[field] = json!({"type": "string"});
    }
    Some(versions)
}

impl Driver<'_> {
    /// Adds the next version to a kind that evolves, or drops the old one.
    pub(super) async fn evolve(&mut self) -> Result<Option<String>> {
        let Some(kind) = KINDS.iter().copied().find(|kind| kind.evolves) else { return Ok(None) };
        let crds: Api<CustomResourceDefinition> = Api::all(self.world.client(Side::Provider));
        let Some(crd) = taken(async || crds.get(&kind.crd_name()).await).await? else { return Ok(None) };
        let versions = versions_of(&crd);
        if versions.len() == 1 {
            let Some(more) = with_another(&versions) else { return Ok(None) };
            let name = more.last().map(|version| version["name"].to_string()).unwrap_or_default();
            self.write_versions(&crd, &more).await?;
            return Ok(Some(format!("{name} is added to {}", crd.name_any())));
        }
        let (stored, old): (Vec<_>, Vec<_>) =
            versions.into_iter().partition(|version| version["storage"] == true);
        let Some(name) = stored.first().and_then(|version| version["name"].as_str()) else { return Ok(None) };
        self.migrate(kind, name).await?;
        let status = json!({"status": {"storedVersions": [name]}});
        let params = PatchParams::default();
        taken(async || crds.patch_status(&kind.crd_name(), &params, &Patch::Merge(&status)).await).await?;
        self.write_versions(&crd, &stored).await?;
        let old: Vec<_> = old.iter().map(|version| version["name"].to_string()).collect();
        Ok(Some(format!("{} of {} is dropped", old.join(", "), crd.name_any())))
    }

    /// Adds an optional field to the schema of a kind.
    pub(super) async fn widen(&mut self) -> Result<Option<String>> {
        let kind = KINDS[self.rng.random_range(0..KINDS.len())];
        let field = format!("extra{}", self.rng.random_range(0..3));
        let crds: Api<CustomResourceDefinition> = Api::all(self.world.client(Side::Provider));
        let Some(crd) = taken(async || crds.get(&kind.crd_name()).await).await? else { return Ok(None) };
        let Some(versions) = with_field(&versions_of(&crd), &field) else { return Ok(None) };
        self.write_versions(&crd, &versions).await?;
        Ok(Some(format!("{field} is added to {}", crd.name_any())))
    }

    async fn write_versions(&self, crd: &CustomResourceDefinition, versions: &[Value]) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.world.client(Side::Provider));
        let change = json!({"spec": {"versions": versions}});
        let params = PatchParams::default();
        taken(async || crds.patch(&crd.name_any(), &params, &Patch::Merge(&change)).await).await?;
        Ok(())
    }

    /// Writes every object of a kind as it is, so that it is stored in the version of today.
    async fn migrate(&self, kind: Kind, version: &str) -> Result<()> {
        let resource = kind.resource(version);
        let all: Api<DynamicObject> = Api::all_with(self.world.client(Side::Provider), &resource);
        let list = taken(async || all.list(&ListParams::default()).await).await?;
        for object in list.into_iter().flatten() {
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => {
                    Api::namespaced_with(self.world.client(Side::Provider), &namespace, &resource)
                }
                None => all.clone(),
            };
            let (name, params) = (object.name_any(), PatchParams::default());
            taken(async || api.patch(&name, &params, &Patch::Merge(json!({}))).await).await?;
        }
        Ok(())
    }
}

fn versions_of(crd: &CustomResourceDefinition) -> Vec<Value> {
    crd.spec.versions.iter().map(|version| json!(version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(versions: &[Value]) -> Vec<(String, bool)> {
        let name = |version: &Value| version["name"].as_str().unwrap().to_owned();
        versions.iter().map(|version| (name(version), version["storage"] == true)).collect()
    }

    #[test]
    fn the_next_version_is_stored_and_the_one_before_still_served() {
        let versions = with_another(&[version(0)]).unwrap();
        let expected = [("v1alpha1".to_owned(), false), ("v1beta1".to_owned(), true)];
        assert_eq!(names(&versions), expected);
        assert!(versions.iter().all(|version| version["served"] == true));
        assert_eq!(with_another(&[version(VERSIONS.len() - 1)]), None);
    }

    #[test]
    fn a_field_is_added_once() {
        let wider = with_field(&[version(0), version(1)], "extra0").unwrap();
        assert_eq!(with_field(&wider, "extra0"), None);
        assert!(with_field(&wider, "extra1").is_some());
    }
}
