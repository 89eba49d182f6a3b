//! People of the provider: they write statuses of copies, and do some things that they should not do.

use anyhow::{Result, bail};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::names;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{
    agree::THEIRS,
    driver::Driver,
    history::Place,
    kinds::Kind,
    people::{NAMES, new_object, taken},
    steps::{Side, Step},
    world::contract,
};

impl Driver<'_> {
    pub(super) async fn act_on_provider(&mut self, step: Step) -> Result<Option<String>> {
        match step {
            Step::Status => self.report().await,
            Step::Meddle => self.meddle().await,
            Step::Uproot => self.uproot().await,
            Step::Foreign => self.foreign().await,
            Step::Strip => self.strip().await,
            Step::Copy => self.copy().await,
            other => bail!("{other:?} is not a step of a person"),
        }
    }

    async fn report(&mut self) -> Result<Option<String>> {
        let Some((api, copy)) = self.a_copy().await? else { return Ok(None) };
        let change = json!({"status": {"result": self.text()}});
        let params = PatchParams::default();
        let written = taken(async || api.patch_status(&copy.name, &params, &Patch::Merge(&change)).await);
        Ok(written.await?.map(|_| format!("{copy} with {change}")))
    }

    async fn meddle(&mut self) -> Result<Option<String>> {
        let Some((api, copy)) = self.a_copy().await? else { return Ok(None) };
        let field = if self.rng.random_bool(0.5) { THEIRS } else { "intent" };
        let change = json!({"spec": {(field): self.text()}});
        let params = PatchParams::default();
        let written = taken(async || api.patch(&copy.name, &params, &Patch::Merge(&change)).await);
        Ok(written.await?.map(|_| format!("{copy} with {change}")))
    }

    async fn uproot(&mut self) -> Result<Option<String>> {
        let Some((api, copy)) = self.a_copy().await? else { return Ok(None) };
        let gone = taken(async || api.delete(&copy.name, &DeleteParams::default()).await).await?;
        Ok(gone.map(|_| copy.to_string()))
    }

    async fn foreign(&mut self) -> Result<Option<String>> {
        let place = self.any_place();
        if place.namespace.is_empty() || !self.is_own(&place) {
            return Ok(None);
        }
        let place = of_copy(&place);
        let intent = format!("theirs {}", self.text());
        let Some((api, resource)) = self.objects(Side::Provider, &place).await? else { return Ok(None) };
        let object = new_object(&place, &intent, &resource);
        if taken(async || api.create(&PostParams::default(), &object).await).await?.is_some() {
            return Ok(Some(format!("{place} is made")));
        }
        let there = taken(async || api.get_opt(&place.name).await).await?.flatten();
        let is_theirs = |object: &DynamicObject| {
            object.data["spec"]["intent"].as_str().is_some_and(|intent| intent.starts_with("theirs"))
        };
        if !there.as_ref().is_some_and(is_theirs) {
            return Ok(None);
        }
        let gone = taken(async || api.delete(&place.name, &DeleteParams::default()).await).await?;
        Ok(gone.map(|_| format!("{place} is removed")))
    }

    async fn strip(&mut self) -> Result<Option<String>> {
        let Some((api, copy)) = self.a_copy().await? else { return Ok(None) };
        let Some(object) = taken(async || api.get(&copy.name).await).await? else { return Ok(None) };
        let annotations = object.metadata.annotations.unwrap_or_default();
        let marks = annotations.into_keys().filter(|key| key.starts_with("kube-bind.io/"));
        let marks: Value = marks.map(|key| (key, Value::Null)).collect();
        let change = json!({"metadata": {"annotations": marks}});
        let params = PatchParams::default();
        let written = taken(async || api.patch(&copy.name, &params, &Patch::Merge(&change)).await);
        Ok(written.await?.map(|_| copy.to_string()))
    }

    async fn copy(&mut self) -> Result<Option<String>> {
        let name = match self.rng.random_range(0..3) {
            0 => format!("n{}", self.rng.random_range(0..NAMES)),
            _ => format!("child-{}", self.rng.random_range(0..3)),
        };
        let Some((api, copy)) = self.a_copy().await? else { return Ok(None) };
        let Some(parent) = taken(async || api.get(&copy.name).await).await? else { return Ok(None) };
        let mut child = DynamicObject { types: parent.types, data: parent.data, ..child(&name) };
        child.metadata.annotations = parent.metadata.annotations;
        child.metadata.labels = parent.metadata.labels;
        child.data["spec"]["intent"] = "theirs, a child".into();
        let made = taken(async || api.create(&PostParams::default(), &child).await).await?;
        Ok(made.map(|_| format!("{name} of {copy}")))
    }

    /// A copy of an object that a user knows, if it is there.
    async fn a_copy(&mut self) -> Result<Option<(Api<DynamicObject>, Place)>> {
        let Some(place) = self.known_place() else { return Ok(None) };
        if !self.is_own(&place) {
            return Ok(None);
        }
        let copy = of_copy(&place);
        Ok(self.objects(Side::Provider, &copy).await?.map(|(api, _)| (api, copy)))
    }

    /// Returns `true` if the provider's part in an object is this program's own.
    fn is_own(&self, place: &Place) -> bool {
        self.kind_of(place).is_some_and(Kind::is_own)
    }
}

/// The place of an object's copy.
fn of_copy(origin: &Place) -> Place {
    let contract = contract();
    let mut place = origin.clone();
    if place.namespace.is_empty() {
        place.name = format!("{contract}-{}", origin.name);
    } else {
        place.namespace = names::mapped_namespace(&contract, &origin.namespace, false);
    }
    place
}

fn child(name: &str) -> DynamicObject {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    DynamicObject { types: None, metadata, data: Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_where_the_provider_puts_it() {
        let place = |namespace: &str, name: &str| Place {
            plural: "cowboys".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let namespaced = of_copy(&place("torture-a", "n1"));
        assert_eq!(namespaced, place("kube-bind-torture-torture-a", "n1"));
        assert_eq!(of_copy(&place("", "n1")), place("", "kube-bind-torture-n1"));
    }
}
