//! Whom a change concerns. One task takes all changes in, so the indexes change in one place only.

use kube::ResourceExt as _;
use portolan_core::foreign::{Parent, PolicyHead, TargetKind};

use crate::{
    changes::{ClusterChange, KeyGroup, TargetName, WatchedKind},
    context::Context,
    names::{ObjectName, RequesterAt, key_of_secret},
    product::NAMED,
};

/// Number of products with a selector that bear on what the others say: those that a message names, one more to know
/// that there are others, and the product itself.
const TOLD: usize = NAMED + 2;

impl Context {
    /// Adds to the queues whatever a change concerns.
    pub fn trigger(&self, change: ClusterChange) {
        match change {
            ClusterChange::Relisted(kind) => self.trigger_all(kind),
            ClusterChange::Product(name) => self.trigger_product(&name),
            ClusterChange::Key(name) => self.trigger_key(&name),
            ClusterChange::Route(name) => self.trigger_route(&name),
            ClusterChange::PlanPolicy(name) => {
                let head =
                    self.plans.get(&name.namespace, &name.name).map(|policy| policy.facts.head.clone());
                let before = self.indexes.plans.groups(&name);
                let now = targets(&name, head.as_ref());
                self.indexes.plans.set(&name, now.clone());
                before.into_iter().chain(now).for_each(|target| self.trigger_target(&target));
            }
            ClusterChange::AuthPolicy(name) => {
                let head =
                    self.auths.get(&name.namespace, &name.name).map(|policy| policy.facts.head.clone());
                let before = self.indexes.auths.groups(&name);
                let now = targets(&name, head.as_ref());
                self.indexes.auths.set(&name, now.clone());
                before.into_iter().chain(now).for_each(|target| self.trigger_target(&target));
            }
            ClusterChange::SecretOf(key) => {
                if let Some(key) = self.keys.get(&key.namespace, &key.name) {
                    self.queues.rights.add(requester(&ObjectName::of(&*key), &key.spec.requested_by.user_id));
                }
                self.queues.keys.add(key);
            }
            ClusterChange::Rights(requester) => self.queues.rights.add(requester),
        }
    }

    /// Everything, once all was listed.
    pub fn trigger_everything(&self) {
        use WatchedKind::{AuthPolicy, Key, PlanPolicy, Product, Rights, Route};
        for kind in [Route, PlanPolicy, AuthPolicy, Product, Key, Rights] {
            self.trigger_all(kind);
        }
    }

    fn trigger_all(&self, kind: WatchedKind) {
        let triggered =
            |change: fn(ObjectName) -> ClusterChange, present: Vec<ObjectName>, known: Vec<ObjectName>| {
                present.into_iter().chain(known).for_each(|name| self.trigger(change(name)));
            };
        let indexes = &self.indexes;
        match kind {
            WatchedKind::Product => {
                triggered(ClusterChange::Product, names(&self.products.all()), indexes.products.all());
            }
            WatchedKind::Key => triggered(ClusterChange::Key, names(&self.keys.all()), indexes.keys.all()),
            WatchedKind::Route => {
                triggered(ClusterChange::Route, names(&self.routes.all()), indexes.gateways.all());
            }
            WatchedKind::PlanPolicy => {
                triggered(ClusterChange::PlanPolicy, names(&self.plans.all()), indexes.plans.all());
            }
            WatchedKind::AuthPolicy => {
                triggered(ClusterChange::AuthPolicy, names(&self.auths.all()), indexes.auths.all());
            }
            WatchedKind::Secret => {
                // Those of keys that are gone, too.
                let secrets = names(&self.secrets.all()).into_iter();
                let of_secrets = secrets.filter_map(|secret| {
                    Some(ObjectName::new(secret.namespace, key_of_secret(&secret.name)?))
                });
                for name in names(&self.keys.all()).into_iter().chain(of_secrets) {
                    self.trigger(ClusterChange::SecretOf(name));
                }
            }
            WatchedKind::Rights => {
                self.indexes.requesters().into_iter().for_each(|requester| self.queues.rights.add(requester));
                self.rights_made().into_iter().for_each(|requester| self.queues.rights.add(requester));
            }
        }
    }

    fn trigger_product(&self, name: &ObjectName) {
        let product = self.products.get(&name.namespace, &name.name);
        let route =
            product.as_ref().map(|product| ObjectName::new(&name.namespace, &product.spec.target_ref.name));
        self.indexes.products.set(name, route.into_iter().collect());
        self.queues.products.add(name.clone());
        self.indexes
            .keys
            .of(&KeyGroup::Product(name.clone()))
            .into_iter()
            .for_each(|key| self.queues.keys.add(key));
    }

    fn trigger_key(&self, name: &ObjectName) {
        let key = self.keys.get(&name.namespace, &name.name);
        let groups = key.as_ref().map(|key| {
            let product = ObjectName::new(&name.namespace, &key.spec.api_product_ref.name);
            vec![
                KeyGroup::Product(product),
                KeyGroup::Requester(requester(name, &key.spec.requested_by.user_id)),
            ]
        });
        let before = self.indexes.keys.groups(name);
        let now = groups.unwrap_or_default();
        self.indexes.keys.set(name, now.clone());
        for group in before.into_iter().chain(now) {
            if let KeyGroup::Requester(requester) = group {
                self.trigger_waiting(name, &requester);
                self.queues.rights.add(requester);
            }
        }
        self.queues.keys.add(name.clone());
    }

    /// The keys of a requester that may proceed because another has changed.
    fn trigger_waiting(&self, changed: &ObjectName, requester: &RequesterAt) {
        let waits = |name: &ObjectName| {
            let key = self.keys.get(&name.namespace, &name.name);
            key.is_some_and(|key| crate::key::waits_for_others(&key))
        };
        let of = self.indexes.keys.of(&KeyGroup::Requester(requester.clone()));
        of.into_iter()
            .filter(|name| name != changed && waits(name))
            .for_each(|name| self.queues.keys.add(name));
    }

    fn trigger_route(&self, name: &ObjectName) {
        let route = self.routes.get(&name.namespace, &name.name);
        let gateways =
            route.iter().flat_map(|route| &route.facts.parents).filter(|parent| parent.is_gateway());
        let gateways = gateways.map(|Parent { namespace, name, .. }| ObjectName::new(namespace, name));
        self.indexes.gateways.set(name, gateways.collect());
        self.trigger_target(&(TargetKind::Route, name.clone()));
    }

    fn trigger_target(&self, (kind, name): &TargetName) {
        let on_route = |route: &ObjectName| {
            self.indexes.products.of(route).into_iter().for_each(|product| self.queues.products.add(product));
        };
        match kind {
            TargetKind::Route => on_route(name),
            TargetKind::Gateway => self.indexes.gateways.of(name).iter().for_each(on_route),
        }
    }

    /// Puts a product among those with its selector, and looks at those again whose message names it.
    pub fn share_selector(&self, product: &ObjectName, selector: Option<String>) {
        let selectors = &self.indexes.selectors;
        let changed = selectors.set(product, selector.into_iter().collect());
        let told = changed.iter().filter(|selector| selectors.before(selector, product, TOLD) < TOLD);
        let others = told.flat_map(|selector| selectors.of(selector));
        others.filter(|other| other != product).for_each(|other| self.queues.products.add(other));
    }

    /// The first other products with a selector: as many as a message is about.
    pub fn sharing(&self, product: &ObjectName, selector: &String) -> Vec<ObjectName> {
        let mut sharing = self.indexes.selectors.first(selector, TOLD);
        sharing.retain(|other| other != product);
        sharing
    }
}

fn requester(key: &ObjectName, user: &str) -> RequesterAt {
    RequesterAt { namespace: key.namespace.clone(), user: user.to_owned() }
}

fn targets(policy: &ObjectName, head: Option<&PolicyHead>) -> Vec<TargetName> {
    let target = head.and_then(|head| head.target.as_ref());
    target.map(|target| (target.kind, ObjectName::new(&policy.namespace, &target.name))).into_iter().collect()
}

fn names<K: kube::Resource<DynamicType = ()>>(objects: &[std::sync::Arc<K>]) -> Vec<ObjectName> {
    objects
        .iter()
        .map(|object| ObjectName::new(object.namespace().unwrap_or_default(), object.name_any()))
        .collect()
}
