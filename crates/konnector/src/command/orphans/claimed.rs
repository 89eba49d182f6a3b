//! Copies of claimed objects whose originals went with a backup of this cluster. The konnector has marked them when it
//! noticed: nothing else tells them from copies whose originals were deleted a moment ago.

use std::collections::BTreeSet;

use kube::{Client, ResourceExt as _, api::DynamicObject};
use portolan_core::{
    api::kubebind::{ANNOTATION_CLAIMED_BY, ANNOTATION_ORIGIN_VERSION, APIServiceExport, ORIGIN_LOST},
    claims::ClaimedResource,
};
use portolan_runtime::{apply, process::ProcessFailure};

use super::{ContractAccess, OrphanedCopy, all, in_namespace};
use crate::sync::{ObjectKey, Placement};

/// Returns `true` if a copy is marked as one whose original is lost.
pub(super) fn has_lost_original(copy: &DynamicObject) -> bool {
    copy.annotations().get(ANNOTATION_ORIGIN_VERSION).is_some_and(|said| said == ORIGIN_LOST)
}

impl ContractAccess {
    pub(super) async fn of_claims(
        &self,
        consumer: &Client,
        export: &APIServiceExport,
    ) -> Result<Vec<OrphanedCopy>, ProcessFailure> {
        let claims = export.spec.permission_claims.iter();
        let claimed: BTreeSet<_> = claims.filter_map(|claim| ClaimedResource::of(&claim.resource)).collect();
        let mut orphans = Vec::new();
        for resource in claimed.into_iter().map(ClaimedResource::api_resource) {
            for (there, namespace) in
                self.places(Placement::Mapped { cluster_wide: false }, &resource).await?
            {
                let here = in_namespace(consumer, &namespace, &resource);
                for copy in all(&there).await? {
                    let of_binding =
                        copy.annotations().get(ANNOTATION_CLAIMED_BY) == Some(&export.name_any());
                    let place = ObjectKey { namespace: namespace.clone(), name: copy.name_any() };
                    if of_binding
                        && has_lost_original(&copy)
                        && apply::find(&here, &place.name).await?.is_none()
                    {
                        orphans.push(OrphanedCopy {
                            kind: resource.plural.clone(),
                            place,
                            copy,
                            here: here.clone(),
                            there: there.clone(),
                            contract: self.namespace.clone(),
                            is_claimed: true,
                        });
                    }
                }
            }
        }
        Ok(orphans)
    }
}
