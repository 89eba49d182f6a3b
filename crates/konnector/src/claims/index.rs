//! Index of the objects that a claim concerns, on both sides: identities, marks and digests.
//!
//! Synchronous and without a client. Objects are named by their place on the consumer. What is neither chosen by
//! the claim nor touched by us is not kept.

use std::collections::{BTreeSet, HashMap, HashSet};

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::{api::kubebind::LABEL_OWNER, digest::Digest};
use portolan_runtime::latest::version;
use serde_json::Value;

use super::{
    body::{ClaimTerms, forget_version, is_claimable, keeper},
    fate::{DepartedBySide, NamedOriginal, OriginalFates},
    references::{ChangedReferences, ReferencedNames, named},
    scope::WatchScope,
    seen::{
        ClaimSides, ConsumerKnowledge, ImmutableParts, NameRule, ObjectMarking, SeenObject, SelectionBasis,
    },
    side::ClaimSide,
};
use crate::sync::{ObjectKey, owned};

/// Everything known for one claim.
#[derive(Debug)]
pub struct ClaimIndex {
    terms: ClaimTerms,
    consumer: HashMap<ObjectKey, SeenObject>,
    provider: HashMap<ObjectKey, SeenObject>,
    departed: DepartedBySide,
    references: ReferencedNames,
    unread: HashSet<ObjectKey>,
    pub(super) consumer_known: bool,
    known_namespaces: HashSet<String>,
    /// Counts up with every list that begins. What was known before is older than what the list holds, whatever its
    /// version says.
    lists: u64,
}

impl ClaimIndex {
    pub fn new(terms: ClaimTerms) -> Self {
        Self {
            terms,
            consumer: HashMap::new(),
            provider: HashMap::new(),
            departed: DepartedBySide::default(),
            references: ReferencedNames::default(),
            unread: HashSet::new(),
            consumer_known: false,
            known_namespaces: HashSet::new(),
            lists: 0,
        }
    }

    #[cfg(test)]
    pub(super) const fn terms(&self) -> &ClaimTerms {
        &self.terms
    }

    pub fn sides(&self, key: &ObjectKey, is_protected: bool) -> ClaimSides<'_> {
        let named = || if self.is_named(key) { NameRule::Named } else { NameRule::Plain };
        let on_consumer = match (self.consumer_known, self.unread.contains(key)) {
            (false, _) => ConsumerKnowledge::Partial,
            (true, true) => ConsumerKnowledge::Unread,
            (true, false) => ConsumerKnowledge::Full,
        };
        let told = |copies: &HashMap<ObjectKey, SeenObject>| copies.get(key).map(|copy| copy.original);
        ClaimSides {
            consumer: self.consumer.get(key),
            provider: self.provider.get(key),
            fates: OriginalFates {
                on_consumer: self.departed.on(ClaimSide::Consumer).fate(key, told(&self.provider)),
                on_provider: self.departed.on(ClaimSide::Provider).fate(key, told(&self.consumer)),
            },
            place: if is_protected { NameRule::Protected } else { named() },
            is_orphaned: false,
            on_consumer,
            provider_known: self.known_namespaces.contains(&key.namespace),
        }
    }

    /// Takes in that a list of either side begins. Gives its number.
    pub(super) fn begins_list(&mut self) -> u64 {
        self.lists += 1;
        self.lists
    }

    /// Takes in an object. False when what is known is newer, or when it concerns nobody.
    pub fn saw(&mut self, side: ClaimSide, key: &ObjectKey, object: &DynamicObject) -> bool {
        self.saw_in(side, key, object, 0)
    }

    /// The same, from the list of this number: what was known before it began is older.
    pub(super) fn saw_in(
        &mut self,
        side: ClaimSide,
        key: &ObjectKey,
        object: &DynamicObject,
        list: u64,
    ) -> bool {
        let seen_version = version(&object.metadata);
        let known = self.side(side).get(key);
        if known.is_some_and(|known| known.version > seen_version && known.since >= list) {
            return false;
        }
        let was_known = known.is_some();
        let settled = known.map(|known| (known.owned, known.settled_for));
        let was_copy =
            known.is_some_and(|known| known.is_copy() && Some(&known.uid) == object.metadata.uid.as_ref());
        let mut seen = self.judge(side, key, object, seen_version);
        // What we have made stays a copy, whatever people take off it.
        if was_copy && matches!(seen.touch, ObjectMarking::None | ObjectMarking::UnnamedCopy) {
            seen.touch = ObjectMarking::Copy;
        }
        seen.settled_for = settled.filter(|(owned, _)| *owned == seen.owned).and_then(|(_, for_)| for_);
        self.departed.on_mut(side).is_there(key, seen_version);
        self.departed.on_mut(side.other()).had(seen.original.version());
        let concerns = self.concerns(key, &seen) || self.side(side.other()).contains_key(key);
        if concerns {
            self.side_mut(side).insert(key.clone(), seen);
        } else {
            self.side_mut(side).remove(key);
        }
        concerns || was_known
    }

    fn judge(&self, side: ClaimSide, key: &ObjectKey, object: &DynamicObject, version: u128) -> SeenObject {
        let mut ours = owned(object);
        // Lists of these kinds leave out what each item is.
        ours["apiVersion"] = "v1".into();
        ours["kind"] = self.terms.claim.resource.kind().into();
        let touch = self.terms.touch(side, key, &ours, object);
        forget_version(&mut ours);
        let choice = if !is_claimable(self.terms.claim.resource, object) {
            SelectionBasis::Never
        } else if self.terms.claim.chooses_labels(object.labels()) {
            SelectionBasis::ByLabels
        } else {
            SelectionBasis::ByName
        };
        SeenObject {
            uid: object.uid().unwrap_or_default(),
            version,
            since: self.lists,
            owner: object.labels().get(LABEL_OWNER).and_then(|label| ClaimSide::of_owner(label)),
            touch,
            keeper: keeper(touch, &ours),
            restored_for: self.terms.restored_for(side, key, object),
            is_terminating: object.metadata.deletion_timestamp.is_some(),
            choice,
            original: NamedOriginal::of(object),
            desired: Digest::of(&self.terms.copy_of(side, object)),
            owned: Digest::of(&ours),
            settled_for: None,
            form: ImmutableParts::of(object),
        }
    }

    /// Takes in that a watch has shown the end of an object.
    pub fn was_deleted(&mut self, side: ClaimSide, key: &ObjectKey) {
        self.departed.on_mut(side).was_deleted(key);
    }

    /// Takes in which version a side has now, where it does not have an original.
    pub(super) fn asked(&mut self, side: ClaimSide, key: &ObjectKey, version: Option<u128>) {
        self.departed.on_mut(side).asked(key, version);
    }

    /// Takes in what the engine before this one knew: a provider that comes back with a backup gets a new session, and
    /// with it a new engine, which would not know that its versions have run backwards.
    pub(super) fn inherit(&mut self, former: &Self, is_same_provider: bool) {
        self.departed.inherit(&former.departed, is_same_provider);
    }

    /// Number of copies on the provider whose originals were lost in a restore of the consumer.
    pub(super) fn orphaned(&self) -> usize {
        let is_lost = |(key, copy): &(&ObjectKey, &SeenObject)| {
            copy.has_lost_original() && !self.consumer.contains_key(*key)
        };
        self.provider.iter().filter(is_lost).count()
    }

    /// Takes in that an object is gone from one side.
    pub fn lost(&mut self, side: ClaimSide, key: &ObjectKey) {
        self.side_mut(side).remove(key);
    }

    /// Takes in that an object was asked for and not found, unless it has come since `before`.
    pub fn found_none(&mut self, side: ClaimSide, key: &ObjectKey, before: Option<u128>) {
        if self.version(side, key) == before {
            self.lost(side, key);
        }
    }

    /// The version of an object that is known.
    pub fn version(&self, side: ClaimSide, key: &ObjectKey) -> Option<u128> {
        self.side(side).get(key).map(|seen| seen.version)
    }

    /// Takes in that an object has been read on both sides.
    pub fn was_read(&mut self, key: &ObjectKey) {
        self.unread.remove(key);
    }

    /// Takes in that no watch shows a consumer's object any more: it may be gone, or not be chosen.
    pub fn lost_sight(&mut self, key: &ObjectKey) {
        self.unread.insert(key.clone());
    }

    /// Notes that an object, as it is now, is what applying `desired` leads to.
    pub fn settle(&mut self, side: ClaimSide, key: &ObjectKey, desired: Digest) {
        if let Some(copy) = self.side_mut(side).get_mut(key) {
            copy.settled_for = Some(desired);
        }
    }

    /// Takes in what a bound object says, or that it is gone. Gives the keys to look at.
    pub fn referred(
        &mut self,
        watch: usize,
        referrer: &ObjectKey,
        object: Option<&DynamicObject>,
    ) -> Vec<ObjectKey> {
        let reference = self.terms.claim.references.get(watch);
        let names = reference.zip(object).map(|(reference, object)| named(reference, object));
        let names: BTreeSet<_> = names.unwrap_or_default();
        let ChangedReferences { added, removed } = self.references.set((watch, referrer.clone()), &names);
        for key in &added {
            // While nobody named it, it was not kept.
            self.unread.insert(key.clone());
        }
        added.into_iter().chain(removed).collect()
    }

    /// The bound objects of a watch that a fresh list does not hold.
    pub fn missing_referrers(&self, watch: usize, listed: &HashSet<ObjectKey>) -> Vec<ObjectKey> {
        self.references.missing(watch, listed)
    }

    pub fn know_namespace(&mut self, namespace: &str) {
        self.known_namespaces.insert(namespace.to_owned());
    }

    /// Returns `true` if the provider's objects for a namespace have been listed.
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        self.known_namespaces.contains(namespace)
    }

    /// Forgets that a namespace was listed. False where anything is known of an object in it.
    pub(super) fn forget(&mut self, namespace: &str) -> bool {
        let is_empty = self.keys().iter().all(|key| key.namespace != namespace);
        if is_empty {
            self.known_namespaces.remove(namespace);
        }
        is_empty
    }

    /// Forgets what the provider has in a namespace: another one of it stands for this one now.
    pub(super) fn forget_provider(&mut self, namespace: &str) {
        self.provider.retain(|key, _| key.namespace != namespace);
        self.known_namespaces.remove(namespace);
    }

    /// The desired copy of this object.
    pub fn copy_of(&self, from: ClaimSide, original: &DynamicObject) -> Value {
        self.terms.copy_of(from, original)
    }

    /// Lets go of an object that concerns nobody any more.
    pub fn forget_idle(&mut self, key: &ObjectKey) {
        let both = [self.consumer.get(key), self.provider.get(key)];
        if !both.into_iter().flatten().any(|seen| self.concerns(key, seen)) {
            self.departed.on_mut(ClaimSide::Consumer).forget(key);
            self.departed.on_mut(ClaimSide::Provider).forget(key);
            self.consumer.remove(key);
            self.provider.remove(key);
        }
    }

    /// Returns `true` if nothing is kept of an object.
    pub(super) fn is_unknown(&self, key: &ObjectKey) -> bool {
        !self.consumer.contains_key(key) && !self.provider.contains_key(key)
    }

    /// Every object, on either side.
    pub fn keys(&self) -> Vec<ObjectKey> {
        let keys = self.consumer.keys().chain(self.provider.keys()).chain(&self.unread);
        keys.cloned().collect::<HashSet<_>>().into_iter().collect()
    }

    /// Objects that a watch would show, and that its fresh list does not hold.
    pub(super) fn missing(
        &self,
        side: ClaimSide,
        namespace: Option<&str>,
        scope: &WatchScope,
        (listed, list): (&HashSet<ObjectKey>, u64),
    ) -> Vec<ObjectKey> {
        let is_missing = |key: &ObjectKey, seen: &SeenObject| {
            namespace.is_none_or(|one| one == key.namespace)
                && scope.shows(key, seen)
                && !listed.contains(key)
                && seen.since < list
        };
        let missing = self.side(side).iter().filter(|(key, seen)| is_missing(key, seen));
        missing.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn uid(&self, side: ClaimSide, key: &ObjectKey) -> Option<String> {
        self.side(side).get(key).map(|seen| seen.uid.clone())
    }

    fn concerns(&self, key: &ObjectKey, seen: &SeenObject) -> bool {
        let chosen = match seen.choice {
            SelectionBasis::Never => false,
            SelectionBasis::ByName => self.is_named(key),
            SelectionBasis::ByLabels => true,
        };
        chosen || matches!(seen.touch, ObjectMarking::Stamped | ObjectMarking::Copy)
    }

    fn is_named(&self, key: &ObjectKey) -> bool {
        self.terms.claim.names(&key.namespace, &key.name) || self.references.contains(key)
    }

    const fn side(&self, side: ClaimSide) -> &HashMap<ObjectKey, SeenObject> {
        match side {
            ClaimSide::Consumer => &self.consumer,
            ClaimSide::Provider => &self.provider,
        }
    }

    const fn side_mut(&mut self, side: ClaimSide) -> &mut HashMap<ObjectKey, SeenObject> {
        match side {
            ClaimSide::Consumer => &mut self.consumer,
            ClaimSide::Provider => &mut self.provider,
        }
    }
}
