//! People of the consumer with their objects, and the part that all people have in common.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{
    driver::Driver,
    history::Place,
    kinds::{CERTIFICATES, ISSUERS, Kind, VERSIONS, field_of},
    origins::CLAIMED,
    steps::{Side, Step},
    world::{ISSUER, NAMESPACES, stored},
};

/// Number of names for the objects of a kind in a namespace.
pub(super) const NAMES: usize = 8;
/// Time for which a request may go on failing that should be taken.
const TIMEOUT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(200);
const SECRETS: &str = "secrets";

impl Driver<'_> {
    /// Takes a step of a person. Gives what was done; `None` where there was nothing to do it to.
    pub(super) async fn act(&mut self, step: Step) -> Result<Option<String>> {
        match step {
            Step::Create => self.create().await,
            Step::Delete => self.delete().await,
            Step::Recreate => self.recreate().await,
            Step::Change | Step::Number => self.change(step).await,
            other => Box::pin(self.act_on_provider(other)).await,
        }
    }

    async fn create(&mut self) -> Result<Option<String>> {
        let place = self.any_place();
        if self.known.contains(&place) {
            return Ok(None);
        }
        self.make(&place).await
    }

    async fn make(&mut self, place: &Place) -> Result<Option<String>> {
        let intent = self.text();
        let Some(api) = self.objects(Side::Consumer, place).await? else { return Ok(None) };
        let object = new_object(place, &intent, &api.1);
        let made = taken(async || api.0.create(&PostParams::default(), &object).await).await?;
        if made.is_some() {
            self.known.insert(place.clone());
        }
        Ok(made.map(|_| format!("{place} with {intent}")))
    }

    async fn delete(&mut self) -> Result<Option<String>> {
        let Some(place) = self.known_place() else { return Ok(None) };
        self.remove(&place).await
    }

    async fn remove(&mut self, place: &Place) -> Result<Option<String>> {
        let Some((api, _)) = self.objects(Side::Consumer, place).await? else { return Ok(None) };
        self.known.remove(place);
        let gone = taken(async || api.delete(&place.name, &DeleteParams::default()).await).await?;
        Ok(gone.map(|_| place.to_string()))
    }

    async fn recreate(&mut self) -> Result<Option<String>> {
        let Some(place) = self.known_place() else { return Ok(None) };
        if self.remove(&place).await?.is_none() {
            return Ok(None);
        }
        // Its name is free when its finalizers are gone, and a person tries for a moment.
        for _ in 0..10 {
            if let Some(made) = self.make(&place).await? {
                return Ok(Some(made));
            }
            tokio::time::sleep(PAUSE / 2).await;
        }
        Ok(Some(format!("{place}, whose name does not get free")))
    }

    async fn change(&mut self, step: Step) -> Result<Option<String>> {
        let Some(place) = self.known_place() else { return Ok(None) };
        let Some((api, resource)) = self.objects(Side::Consumer, &place).await? else { return Ok(None) };
        let change = match (step, place.plural.as_str()) {
            (_, SECRETS) => self.change_of_secret(),
            (_, plural) if plural == CERTIFICATES.plural => {
                json!({"spec": {"dnsNames": [dns_name(&self.text())]}})
            }
            (Step::Number, _) => json!({"spec": {"ratio": self.rng.random::<f64>() * 1000.0}}),
            _ => self.change_of_object(&resource),
        };
        let params = PatchParams::default();
        let changed = taken(async || api.patch(&place.name, &params, &Patch::Merge(&change)).await).await?;
        Ok(changed.map(|_| format!("{place} with {change}")))
    }

    fn change_of_object(&mut self, resource: &ApiResource) -> Value {
        let (text, number) = (self.text(), self.rng.random_range(0..9));
        // A field that this version, or the one before it, has.
        let version = VERSIONS.iter().position(|name| *name == resource.version).unwrap_or(0);
        match self.rng.random_range(0..10) {
            0..3 => json!({"spec": {"intent": text}}),
            3 => json!({"spec": {"size": number}}),
            4 => json!({"spec": {"size": null, "tags": [text, number.to_string()]}}),
            5 => json!({"spec": {"tags": null, "options": {(number.to_string()): text}}}),
            6 => json!({"spec": {"options": {(number.to_string()): null}}}),
            7 => json!({"spec": {(field_of(version)): text}}),
            8 => {
                json!({"metadata": {"labels": {"torture.dev/round": number.to_string(), "torture.dev/tag": null}}})
            }
            _ => {
                json!({"metadata": {"annotations": {"torture.dev/note": text}, "labels": {"torture.dev/tag": "t"}}})
            }
        }
    }

    fn change_of_secret(&mut self) -> Value {
        let text = self.text();
        match self.rng.random_range(0..4) {
            0 => json!({"metadata": {"labels": {CLAIMED: null}}}),
            1 => json!({"metadata": {"labels": {CLAIMED: "yes"}}}),
            _ => json!({"stringData": {"password": text}}),
        }
    }

    /// The kind of an object; `None` for a Secret.
    pub(super) fn kind_of(&self, place: &Place) -> Option<Kind> {
        self.world.kinds.iter().copied().find(|kind| kind.plural == place.plural)
    }

    /// The objects beside one, in the version that keeps everything. `None` where there is no such kind.
    pub(super) async fn objects(
        &self,
        side: Side,
        place: &Place,
    ) -> Result<Option<(Api<DynamicObject>, ApiResource)>> {
        let client = self.world.client(side);
        let resource = match self.kind_of(place) {
            None => ApiResource::erase::<k8s_openapi::api::core::v1::Secret>(&()),
            Some(kind) => {
                let version = taken(async || stored(&client, kind).await).await?.flatten();
                let Some(version) = version else { return Ok(None) };
                kind.resource(&version)
            }
        };
        let api = match place.namespace.as_str() {
            "" => Api::all_with(client, &resource),
            namespace => Api::namespaced_with(client, namespace, &resource),
        };
        Ok(Some((api, resource)))
    }

    pub(super) fn any_place(&mut self) -> Place {
        // The issuers are there from the start.
        let kinds: Vec<_> = self.world.kinds.iter().filter(|kind| **kind != ISSUERS).collect();
        let number = self.rng.random_range(0..=kinds.len());
        let (plural, namespaced) =
            kinds.get(number).map_or((SECRETS, true), |kind| (kind.plural, kind.namespaced));
        let namespace = NAMESPACES[self.rng.random_range(0..NAMESPACES.len())];
        let namespace = if namespaced { namespace } else { "" };
        let name = format!("n{}", self.rng.random_range(0..NAMES));
        Place { plural: plural.to_owned(), namespace: namespace.to_owned(), name }
    }

    pub(super) fn known_place(&mut self) -> Option<Place> {
        let number = self.rng.random_range(0..self.known.len().max(1));
        self.known.iter().nth(number).cloned()
    }

    pub(super) fn text(&mut self) -> String {
        format!("word {}", self.rng.random::<u16>())
    }
}

pub(super) fn new_object(place: &Place, intent: &str, resource: &ApiResource) -> DynamicObject {
    let mut object = DynamicObject::new(&place.name, resource);
    if place.plural == SECRETS {
        object.metadata.labels = Some([(CLAIMED.to_owned(), "yes".to_owned())].into());
        object.data = json!({"stringData": {"password": intent}});
    } else if place.plural == CERTIFICATES.plural {
        object.data = json!({"spec": {
            "secretName": format!("{}-tls", place.name), "dnsNames": [dns_name(intent)],
            "privateKey": {"algorithm": "ECDSA", "size": 256}, "issuerRef": {"name": ISSUER},
        }});
    } else {
        object.data = json!({"spec": {"intent": intent}});
    }
    object
}

fn dns_name(text: &str) -> String {
    format!("{}.torture.dev", text.replace(' ', "-"))
}

/// Asks until there is an answer. `None` where it is a refusal that will stay one.
pub(super) async fn taken<T>(request: impl AsyncFn() -> kube::Result<T>) -> Result<Option<T>> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match tokio::time::timeout(TIMEOUT, request()).await.context("a request hangs")? {
            Ok(answer) => return Ok(Some(answer)),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                return Ok(None);
            }
            Err(error) if Instant::now() >= deadline => return Err(error).context("a person gave up"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
