//! The view of a caller: the answers of access reviews, put together.

use std::{collections::BTreeMap, sync::Arc};

use portolan_core::api::devportal::{APIKey, APIProduct};

use crate::{
    access::{AccessRight, AllowedNamespaces},
    app::App,
    caller::Caller,
    paths::ObjectName,
    problem::Problem,
    rules::{CallerView, KeyRights},
};

/// The refusal to those who may list products nowhere.
const NOT_TO_LIST: &str = "you don't have permission to view API products. Required permission: list apiproducts, \
                           in a namespace that has products or routes";

/// A caller with everything that its requests need.
#[derive(Clone, Copy)]
pub struct CallerContext<'a> {
    pub app: &'a App,
    pub caller: &'a Caller,
}

impl<'a> CallerContext<'a> {
    pub const fn new(app: &'a App, caller: &'a Caller) -> Self {
        Self { app, caller }
    }

    pub async fn places(
        self,
        right: AccessRight,
        namespaces: &[String],
    ) -> Result<AllowedNamespaces, Problem> {
        self.app.access.places(&self.app.upstream, self.caller, &right, namespaces.to_vec()).await
    }

    pub async fn may(self, right: AccessRight) -> Result<bool, Problem> {
        self.app.access.may(&self.app.upstream, self.caller, right).await
    }

    /// The view of the caller in all namespaces.
    pub async fn sight(self) -> Result<CallerView, Problem> {
        self.sight_of(&self.app.stores.namespaces()).await
    }

    /// The same, in one namespace.
    pub async fn sight_in(self, namespace: &str) -> Result<CallerView, Problem> {
        self.sight_of(&[namespace.to_owned()]).await
    }

    async fn sight_of(self, namespaces: &[String]) -> Result<CallerView, Problem> {
        let (lists, manages_products, manages_keys) = tokio::try_join!(
            self.places(AccessRight::of("list", "apiproducts"), namespaces),
            self.places(AccessRight::of("manage", "apiproducts"), namespaces),
            self.places(AccessRight::of("manage", "apikeys"), namespaces),
        )?;
        Ok(CallerView { user: self.caller.user.name.clone(), lists, manages_products, manages_keys })
    }

    /// The same, for lists of products: who may list none is told so, as kubectl does.
    pub async fn lister(self) -> Result<CallerView, Problem> {
        let namespaces = self.app.stores.namespaces();
        let sight = self.sight_of(&namespaces).await?;
        // Where there is nothing yet, a role in one namespace could not show.
        if sight.lists.is_nowhere() && !namespaces.is_empty() {
            return Err(Problem::forbidden(NOT_TO_LIST));
        }
        Ok(sight)
    }

    /// A product that the caller may know of.
    pub async fn product(self, place: &ObjectName) -> Result<(Arc<APIProduct>, CallerView), Problem> {
        let sight = self.sight_in(&place.namespace).await?;
        let found = self.app.stores.products.get(&place.namespace, &place.name);
        let found = found.filter(|product| sight.sees_product(product));
        let found = found.ok_or_else(|| Problem::not_found("APIProduct", &place.namespace, &place.name))?;
        Ok((found, sight))
    }

    /// A key that the caller may know of.
    pub async fn key(self, place: &ObjectName) -> Result<(Arc<APIKey>, CallerView), Problem> {
        let sight = self.sight_in(&place.namespace).await?;
        let found = self.seen_key(&sight, place).ok_or_else(|| missing_key(place))?;
        Ok((found, sight))
    }

    /// A key that the caller wants to act on. Who could not act on any is told so, whether there is one or not.
    pub async fn key_to(
        self,
        place: &ObjectName,
        refusal: &str,
    ) -> Result<(Arc<APIKey>, CallerView), Problem> {
        let sight = self.sight_in(&place.namespace).await?;
        match self.seen_key(&sight, place) {
            Some(found) => Ok((found, sight)),
            None if sight.manages_keys.has(&place.namespace) => Err(missing_key(place)),
            None => Err(Problem::forbidden(refusal)),
        }
    }

    fn seen_key(self, sight: &CallerView, place: &ObjectName) -> Option<Arc<APIKey>> {
        let found = self.app.stores.keys.get(&place.namespace, &place.name);
        found.filter(|key| sight.sees_key(key))
    }

    pub async fn key_rights(self, namespaces: &[String]) -> Result<KeyRights, Problem> {
        let (patch, delete, decide) = tokio::try_join!(
            self.places(AccessRight::of("patch", "apikeys"), namespaces),
            self.places(AccessRight::of("delete", "apikeys"), namespaces),
            self.places(AccessRight::of("patch", "apikeys/status"), namespaces),
        )?;
        Ok(KeyRights { patch, delete, decide })
    }

    /// The actions that the caller may take on each of these products.
    pub async fn can_products<'p>(
        self,
        sight: &CallerView,
        products: impl Iterator<Item = &'p APIProduct>,
    ) -> Result<BTreeMap<String, Vec<&'static str>>, Problem> {
        let own: Vec<_> = products.filter(|product| sight.changes(product)).collect();
        let namespaces: Vec<_> =
            own.iter().filter_map(|product| product.metadata.namespace.clone()).collect();
        if own.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (patch, delete) = tokio::try_join!(
            self.places(AccessRight::of("patch", "apiproducts"), &namespaces),
            self.places(AccessRight::of("delete", "apiproducts"), &namespaces),
        )?;
        let entry = |product: &APIProduct| {
            let namespace = product.metadata.namespace.as_deref().unwrap_or_default();
            let name = product.metadata.name.as_deref().unwrap_or_default();
            let table = [("update", patch.has(namespace)), ("delete", delete.has(namespace))];
            let can = table.into_iter().filter(|(_, may)| *may).map(|(verb, _)| verb).collect();
            (format!("{namespace}/{name}"), can)
        };
        Ok(own.into_iter().map(entry).collect())
    }
}

fn missing_key(place: &ObjectName) -> Problem {
    Problem::not_found("APIKey", &place.namespace, &place.name)
}
