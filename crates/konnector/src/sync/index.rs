//! Index of every object of one resource on both sides: identities, marks and digests.
//!
//! Synchronous and without a client. Objects are named by their place on the consumer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::{
    api::kubebind::{ANNOTATION_PROVIDER_NAMESPACE, ANNOTATION_PROVIDER_UID, SYNCER_FINALIZER},
    digest::Digest,
};
use portolan_runtime::latest::version;
use serde_json::Value;

use super::{
    defaults::SchemaDefaults,
    departed::DepartedObjects,
    desired::{desired, status},
    generations::StatusDigest,
    key::ObjectKey,
    keys::KeyRules,
    known::{CopyState, HeldWrites, KeptStatus, OriginState, SyncSides},
    owned::{holds_former, owned_hollow_and_wholes, set_by_anybody},
    turned::OwnedWholes,
    whose::{CopyEvidence, records_by_us},
};
use crate::policy;

/// Limit on the bodies that are kept between the event that brought them and the write that needs them. Beyond that,
/// an object is read again when its turn comes.
const MAX_BODIES: usize = 1000;

/// Everything known of one resource.
#[derive(Debug, Default)]
pub struct SyncIndex {
    contract_namespace: String,
    keys: KeyRules,
    has_status_subresource: bool,
    defaults: Arc<SchemaDefaults>,
    origins: HashMap<ObjectKey, OriginState>,
    copies: HashMap<ObjectKey, CopyState>,
    vanished: HashSet<ObjectKey>,
    /// Origins whose copies go too, also one that nobody has seen yet.
    departed: DepartedObjects,
    /// Copies that were asked for, and no answer came: they may exist.
    unanswered: HashSet<ObjectKey>,
    listed_namespaces: HashSet<String>,
    /// All origins are known. Until then, one that seems to be gone may be yet to be listed.
    origins_listed: bool,
    /// Copies of ours whose origins are not there.
    orphaned: HashSet<ObjectKey>,
    /// Exact copies that the engine before this one knew, and that have not been seen yet.
    inherited: ExactCopies,
    bodies: usize,
    /// Counts up with every list that begins. What was known before is older than what the list holds, whatever its
    /// version says: after a backup was restored, versions run backwards.
    lists: u64,
}

/// Copies with maps and lists that are ours as a whole, and that say exactly what their origins said, by uid and
/// version.
type ExactCopies = HashMap<ObjectKey, (String, u128)>;

impl SyncIndex {
    pub fn new(contract_namespace: &str, keys: KeyRules, has_status_subresource: bool) -> Self {
        let contract_namespace = contract_namespace.to_owned();
        Self { contract_namespace, keys, has_status_subresource, ..Self::default() }
    }

    /// With the defaults of the consumer's schema.
    pub fn knowing(self, defaults: Arc<SchemaDefaults>) -> Self {
        Self { defaults, ..self }
    }

    /// With what the engine before this one knew. A schema that turns replaces the engine, and what was exact until
    /// then cannot be found out again once the origin has changed. What the former engine asked for last may be carried
    /// out yet.
    pub fn inheriting(self, former: &Self) -> Self {
        let worth = |copy: &CopyState| copy.is_exact && copy.wholes != OwnedWholes::default();
        let exact = former.copies.iter().filter(|(_, copy)| worth(copy));
        Self {
            inherited: exact.map(|(key, copy)| (key.clone(), (copy.uid.clone(), copy.version))).collect(),
            departed: former.departed.clone(),
            unanswered: former.unanswered.clone(),
            ..self
        }
    }

    pub fn sides(&self, key: &ObjectKey) -> SyncSides<'_> {
        SyncSides {
            origin: self.origins.get(key),
            copy: self.copies.get(key),
            vanished: self.vanished.contains(key),
            provider_listed: self.is_listed(&key.namespace),
            origins_listed: self.origins_listed,
            has_status_subresource: self.has_status_subresource,
            held: HeldWrites::default(),
        }
    }

    /// Returns `true` if the provider's objects for a namespace have been listed.
    pub fn is_listed(&self, namespace: &str) -> bool {
        self.listed_namespaces.contains(namespace)
    }

    /// The desired copy of this object.
    pub fn desired(&self, origin: &DynamicObject) -> Value {
        let mut body = desired(origin, &self.contract_namespace, &self.keys);
        // Without managed fields, everything is the consumer's.
        if *self.defaults != SchemaDefaults::default()
            && origin.metadata.managed_fields.as_ref().is_some_and(|entries| !entries.is_empty())
        {
            self.defaults.take_out_of(&mut body, &set_by_anybody(origin));
        }
        body
    }

    /// Forgets that a namespace was listed. False where anything is known of an object in it.
    pub fn forget(&mut self, namespace: &str) -> bool {
        let is_empty = self.keys_in(namespace).is_empty();
        if is_empty {
            self.listed_namespaces.remove(namespace);
        }
        is_empty
    }

    /// Forgets the copies of a namespace: another one of the provider stands for it now. Those stay where they are.
    pub fn forget_copies(&mut self, namespace: &str) {
        let gone: Vec<_> = self.copies.keys().filter(|key| key.namespace == namespace).cloned().collect();
        for key in &gone {
            self.lost_copy(key);
        }
        self.listed_namespaces.remove(namespace);
    }

    /// Takes in that a list of either side begins. Gives its number.
    pub fn begins_list(&mut self) -> u64 {
        self.lists += 1;
        self.lists
    }

    /// The same for a watch that begins again: the backup of a side may have been restored.
    pub fn begins_watch(&mut self) -> u64 {
        self.departed.forget_copies();
        self.begins_list()
    }

    /// The same for the watch on the consumer.
    pub fn begins_origins(&mut self) -> u64 {
        self.origins_listed = false;
        self.begins_watch()
    }

    /// Takes in a consumer object. False when what is known is newer.
    pub fn saw_origin(&mut self, key: &ObjectKey, object: &DynamicObject) -> bool {
        self.saw_origin_in(key, object, 0)
    }

    /// The same, from the list of this number: what was known before it began is older.
    pub fn saw_origin_in(&mut self, key: &ObjectKey, object: &DynamicObject, list: u64) -> bool {
        let seen = version(&object.metadata);
        let known = self.origins.get(key);
        if known.is_some_and(|known| known.version > seen && known.since >= list) {
            return false;
        }
        let status = StatusDigest::of(status(object));
        let settled_status = known.filter(|known| known.status == status);
        let settled_status = settled_status.and_then(|known| known.settled_status.clone());
        let body = self.desired(object);
        let digest = Digest::of(&body);
        self.drop_bodies(key);
        let kept = self.keep(body);
        self.vanished.remove(key);
        self.departed.forget(key, object.metadata.uid.as_deref().unwrap_or_default());
        let annotation = |name: &str| object.annotations().get(name).cloned();
        let origin = OriginState {
            uid: object.uid().unwrap_or_default(),
            version: seen,
            since: self.lists,
            generation: object.metadata.generation.unwrap_or_default(),
            desired: digest,
            status,
            settled_status,
            has_finalizer: object.finalizers().iter().any(|f| f == SYNCER_FINALIZER),
            has_former: holds_former(object),
            provider_namespace: annotation(ANNOTATION_PROVIDER_NAMESPACE),
            provider_uid: annotation(ANNOTATION_PROVIDER_UID),
            records_by_us: records_by_us(object),
            is_terminating: object.metadata.deletion_timestamp.is_some(),
            orphans: policy::orphans(object),
            body: kept,
        };
        self.origins.insert(key.clone(), origin);
        self.remember_both(key);
        true
    }

    /// Carries over from earlier events what was found to be ours, and what was found to match. Without an origin,
    /// nothing is certain.
    fn remember_both(&mut self, key: &ObjectKey) {
        self.count(key);
        if let (Some(origin), Some(copy)) = (self.origins.get(key), self.copies.get_mut(key)) {
            copy.was_ours |= copy.is_ours(Some(origin));
            copy.is_exact |= copy.owned == origin.desired;
        }
    }

    /// Takes in that a consumer object is gone.
    pub fn lost_origin(&mut self, key: &ObjectKey) {
        self.drop_bodies(key);
        self.answered(key);
        if let Some(origin) = self.origins.remove(key).filter(|origin| !origin.orphans) {
            self.departed.remember(key, &origin.uid);
            if self.copies.get(key).is_some_and(|copy| copy.belongs_to(&origin)) {
                self.vanished.insert(key.clone());
            }
        }
        self.count(key);
    }

    /// Number of our copies whose origins are absent, and that are not terminating either.
    pub fn orphaned(&self) -> usize {
        self.orphaned.len()
    }

    fn count(&mut self, key: &ObjectKey) {
        let copy = self.copies.get(key).filter(|_| !self.origins.contains_key(key));
        if copy.is_some_and(|copy| copy.is_ours(None) && !copy.is_terminating && !self.vanished.contains(key))
        {
            self.orphaned.insert(key.clone());
        } else {
            self.orphaned.remove(key);
        }
    }

    /// Notes that a copy is being asked for. False where an earlier request is without an answer already.
    pub fn asks_for_copy(&mut self, key: &ObjectKey) -> bool {
        self.unanswered.insert(key.clone())
    }

    /// Notes that no request is without an answer any more.
    pub fn answered(&mut self, key: &ObjectKey) {
        self.unanswered.remove(key);
    }

    /// Returns `true` if a copy may exist that no watch has shown.
    pub fn may_have_copy(&self, key: &ObjectKey) -> bool {
        self.unanswered.contains(key) && !self.copies.contains_key(key)
    }

    /// Takes in a provider object. False when what is known is newer.
    pub fn saw_copy(&mut self, key: &ObjectKey, object: &DynamicObject) -> bool {
        self.saw_copy_in(key, object, 0)
    }

    /// The same, from the list of this number: what was known before it began is older.
    pub fn saw_copy_in(&mut self, key: &ObjectKey, object: &DynamicObject, list: u64) -> bool {
        let seen = version(&object.metadata);
        let known = self.copies.get(key);
        let is_gone = object.metadata.uid.as_ref().is_some_and(|uid| self.departed.contains_copy(uid));
        if is_gone || known.is_some_and(|known| known.version > seen && known.since >= list) {
            return false;
        }
        let inherited = self.inherited.remove(key);
        let known = self.copies.get(key);
        let was_exact = inherited
            .is_some_and(|(uid, version)| Some(&uid) == object.metadata.uid.as_ref() && version == seen);
        let (ours, hollow, wholes) = owned_hollow_and_wholes(object);
        let owned = Digest::of(&ours);
        let same = known.filter(|known| Some(&known.uid) == object.metadata.uid.as_ref());
        let evidence = CopyEvidence::of(object, &ours, &self.contract_namespace, key);
        let written_for = evidence.written_for().map(Into::into);
        let mut copy = CopyState {
            uid: object.uid().unwrap_or_default(),
            version: seen,
            since: self.lists,
            owned,
            settled_for: known.filter(|k| k.owned == owned).and_then(|k| k.settled_for),
            hollow: hollow.as_ref().map(Digest::of),
            bare: self.defaults.without(&ours, object).as_ref().map(Digest::of),
            wholes,
            is_exact: was_exact || known.is_some_and(|known| known.owned == owned && known.is_exact),
            generation: object.metadata.generation.unwrap_or_default(),
            settled_generation: same.and_then(|known| known.settled_generation),
            status: StatusDigest::of(status(object)),
            has_former: holds_former(object),
            is_terminating: object.metadata.deletion_timestamp.is_some(),
            was_ours: same.is_some_and(|known| known.was_ours),
            written_for: written_for.or_else(|| same.and_then(|known| known.written_for.clone())),
            evidence,
            status_body: None,
        };
        self.drop_status_body(key);
        let differs = self.origins.get(key).is_none_or(|origin| origin.status != copy.status);
        copy.status_body = status(object).filter(|_| differs).and_then(|s| self.keep(s.clone()));
        self.answered(key);
        let departed = copy.written_for().is_some_and(|uid| self.departed.contains(key, uid));
        // A request that was carried out late makes a new copy. One that was there before came with a backup.
        let departed = departed && !self.departed.came_back(&copy.uid);
        if departed && copy.is_ours(None) && !self.origins.contains_key(key) {
            self.vanished.insert(key.clone());
        }
        self.copies.insert(key.clone(), copy);
        self.remember_both(key);
        true
    }

    /// Takes in that this provider object is gone. Another of its name may be there by now.
    pub fn copy_went(&mut self, key: &ObjectKey, uid: &str) {
        self.departed.remember_copy(uid);
        if self.copies.get(key).is_some_and(|copy| copy.uid == uid) {
            self.lost_copy(key);
        }
    }

    /// Takes in that there is no provider object of this name.
    fn lost_copy(&mut self, key: &ObjectKey) {
        self.drop_status_body(key);
        self.copies.remove(key);
        self.vanished.remove(key);
        self.count(key);
    }

    /// Notes that the copy, as it is now, is what applying `desired` leads to. `before` is its generation
    /// before that.
    pub fn settle(&mut self, key: &ObjectKey, desired: Digest, before: Option<i64>) {
        if let Some(copy) = self.copies.get_mut(key) {
            copy.settled_for = Some(desired);
            if before != Some(copy.generation) {
                copy.settled_generation = Some(copy.generation);
            }
        }
    }

    /// Notes that the origin's status, as it is now, is what writing the copy's `status` leads to.
    pub fn settle_status(&mut self, key: &ObjectKey, status: StatusDigest) {
        let agrees = self.sides(key).origin.is_some_and(|origin| origin.status == status);
        if let Some(origin) = self.origins.get_mut(key) {
            origin.settled_status = (!agrees).then(|| Box::new(status));
        }
    }

    /// Drops consumer objects that the list of this number does not hold; gives their keys, and those of the copies that
    /// have waited for the list. One that had our finalizer, and was not being deleted, cannot be gone: the list is wrong,
    /// or somebody has forced it. Its copy stays. What was seen since the list began is newer than the list.
    pub fn keep_origins(&mut self, listed: &HashSet<ObjectKey>, list: u64) -> Vec<ObjectKey> {
        let is_gone =
            |(key, origin): &(&ObjectKey, &OriginState)| !listed.contains(key) && origin.since < list;
        let mut gone: Vec<_> = self.origins.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            let may_go = |origin: &OriginState| origin.is_terminating || !origin.has_finalizer;
            if self.origins.get(key).is_some_and(may_go) {
                self.lost_origin(key);
            } else {
                self.drop_bodies(key);
                self.origins.remove(key);
                self.count(key);
            }
        }
        self.origins_listed = true;
        gone.extend(self.vanished.iter().filter(|key| !self.origins.contains_key(*key)).cloned());
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    /// Drops provider objects of a namespace that the list of this number does not hold; gives every key of the
    /// namespace. A copy that was made since the list began is missing from it, and its event may have come before.
    pub fn keep_copies(&mut self, namespace: &str, listed: &HashSet<ObjectKey>, list: u64) -> Vec<ObjectKey> {
        let is_gone = |(key, copy): &(&ObjectKey, &CopyState)| {
            key.namespace == namespace && !listed.contains(key) && copy.since < list
        };
        let gone: Vec<_> = self.copies.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.lost_copy(key);
        }
        self.listed_namespaces.insert(namespace.to_owned());
        self.keys_in(namespace)
    }

    /// Every object of a namespace, on either side.
    pub fn keys_in(&self, namespace: &str) -> Vec<ObjectKey> {
        let both = self.origins.keys().chain(self.copies.keys());
        let keys: HashSet<_> = both.filter(|key| key.namespace == namespace).cloned().collect();
        keys.into_iter().collect()
    }

    /// Every object, on either side.
    pub fn keys(&self) -> Vec<ObjectKey> {
        let keys: HashSet<_> = self.origins.keys().chain(self.copies.keys()).cloned().collect();
        keys.into_iter().collect()
    }

    /// Returns `true` if there is nothing of this name on either side.
    pub fn is_unknown(&self, key: &ObjectKey) -> bool {
        !self.origins.contains_key(key) && !self.copies.contains_key(key)
    }

    /// Number of consumer objects.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// The body to write to the provider, if it was kept.
    pub fn body(&self, key: &ObjectKey) -> Option<Arc<Value>> {
        self.origins.get(key)?.body.clone()
    }

    /// The status to write to the consumer.
    pub fn status_body(&self, key: &ObjectKey) -> KeptStatus {
        match self.copies.get(key) {
            Some(CopyState { status_body: Some(body), .. }) => KeptStatus::Body(Arc::clone(body)),
            Some(copy) if copy.status.is_absent() => KeptStatus::Empty,
            _ => KeptStatus::NotKept,
        }
    }

    /// Lets go of the bodies of an object that is in sync.
    pub fn drop_all_bodies(&mut self, key: &ObjectKey) {
        self.drop_bodies(key);
        self.drop_status_body(key);
    }

    fn keep(&mut self, body: Value) -> Option<Arc<Value>> {
        if self.bodies >= MAX_BODIES {
            return None;
        }
        self.bodies += 1;
        Some(Arc::new(body))
    }

    fn drop_bodies(&mut self, key: &ObjectKey) {
        let dropped = self.origins.get_mut(key).and_then(|origin| origin.body.take());
        self.bodies -= usize::from(dropped.is_some());
    }

    fn drop_status_body(&mut self, key: &ObjectKey) {
        let dropped = self.copies.get_mut(key).and_then(|copy| copy.status_body.take());
        self.bodies -= usize::from(dropped.is_some());
    }
}
