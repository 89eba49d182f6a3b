//! The APIs of all clusters. Clusters of one version with the same kinds have equal ones, which are in memory once: so an
//! address says whether two clusters can be asked the same.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{
    document::{Document, InvalidDocument},
    plans::ApiPlans,
    schema::{ClusterApi, TypeInterner},
};

/// The APIs of all clusters with their plans, and the types that different ones share.
#[derive(Debug, Default)]
pub struct ApiRegistry {
    types: TypeInterner,
    known: Mutex<Vec<(Weak<ClusterApi>, ApiPlans)>>,
}

impl ApiRegistry {
    /// The API of a document with its plans: the known one, if there is an equal one.
    pub fn of(&self, document: &Document) -> Result<(Arc<ClusterApi>, ApiPlans), InvalidDocument> {
        let api = ClusterApi::build(document, &self.types)?;
        let mut known = self.known.lock();
        known.retain(|(other, _)| other.strong_count() > 0);
        // Types are shared by now, so that equal ones are mostly compared by their addresses.
        let same = known.iter().find_map(|(other, plans)| {
            let other = other.upgrade().filter(|other| **other == api)?;
            Some((other, plans.clone()))
        });
        if let Some(same) = same {
            return Ok(same);
        }
        let (api, plans) = (Arc::new(api), ApiPlans::default());
        known.push((Arc::downgrade(&api), plans.clone()));
        Ok((api, plans))
    }

    /// Drops types that none of these APIs has.
    pub fn keep_types<'a>(&self, apis: impl Iterator<Item = &'a ClusterApi>) {
        self.types.keep(apis.map(|api| &*api.schema));
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        bounds::QueryBounds,
        plan::prepare,
        schema::tests::{document, kind},
    };

    #[test]
    fn clusters_with_equal_apis_share_one() {
        let apis = ApiRegistry::default();
        let both = |kinds: &[(String, Value)]| apis.of(&Document::read(&document(kinds)).unwrap()).unwrap();
        let of = |kinds: &[(String, Value)]| both(kinds).0;
        let pod = kind("", "Pod", &json!({}));
        let (first, plans) = both(from_ref(&pod));
        let plan = prepare(&first, "{__typename}", None, QueryBounds { depth: 1, fields: 1 }).unwrap();
        plans.put("{__typename}", None, &Arc::new(plan));
        assert!(both(from_ref(&pod)).1.get("{__typename}", None).is_some());
        assert!(Arc::ptr_eq(&first, &of(from_ref(&pod))));
        let mut other = pod.clone();
        other.1["x-kubernetes-categories"] = json!(["none"]);
        let others = [of(&[other]), of(&[pod.clone(), kind("apps", "Deployment", &json!({}))])];
        assert!(others.iter().all(|other| !Arc::ptr_eq(&first, other)));
        // Equal types are not enough: what is done for a query depends on what is known of the kinds, too.
        assert_eq!(first.sdl(), others[0].sdl());
        // It is found also if its types were forgotten meanwhile.
        apis.keep_types(std::iter::empty());
        assert!(Arc::ptr_eq(&first, &of(from_ref(&pod))));
        drop((first, others));
        of(&[pod]);
        assert_eq!(apis.known.lock().len(), 1, "what nobody serves is forgotten");
    }
}
