//! The objects of a contract that say which consumer cluster it belongs to.

use std::{sync::Arc, time::Duration};

use kube::{Api, ResourceExt as _};
use portolan_core::{
    api::kubebind::{APIServiceExport, ClusterBinding},
    condition::Condition,
};
use portolan_runtime::{
    apply::{self, WriteError},
    telemetry::ErrorChain,
};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{contact::ANSWER_LIMIT, session::Session};

/// One of them.
pub(super) enum HolderRecord {
    ClusterBinding(Arc<ClusterBinding>),
    /// An export, where the provider keeps no ClusterBinding.
    Export(Arc<APIServiceExport>),
}

impl HolderRecord {
    pub(super) fn said(&self) -> &[Condition] {
        match self {
            Self::ClusterBinding(binding) => {
                binding.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice())
            }
            Self::Export(export) => {
                export.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice())
            }
        }
    }
}

impl Session {
    /// All of them; `None` while it is not known which there are. A provider that hides its ClusterBinding for longer
    /// than the limit keeps none.
    pub(super) fn pages(&self, limit: Duration) -> Option<Vec<HolderRecord>> {
        if !self.contents.cluster_binding_is_known(limit) {
            return None;
        }
        if let Some(binding) = self.contents.cluster_binding() {
            return Some(vec![HolderRecord::ClusterBinding(binding)]);
        }
        self.contents.exports()?;
        let mut exports = self.contents.exports.filter(|export| export.metadata.deletion_timestamp.is_none());
        // Of two konnectors that begin at once, both begin with the same one.
        exports.sort_by_key(|export| export.name_any());
        Some(exports.into_iter().map(HolderRecord::Export).collect())
    }

    /// Changes what one of them says, in the version that was seen: who comes second looks again. `None` where that has
    /// to be tried again.
    pub(super) async fn write(
        &self,
        page: &HolderRecord,
        change: impl FnOnce(&mut Vec<Condition>),
    ) -> Option<()> {
        match timeout(ANSWER_LIMIT, self.try_write(page, change)).await {
            Ok(Ok(())) => {
                info!(namespace = self.namespace, "recorded the holder of the contract");
                Some(())
            }
            Ok(Err(WriteError::Conflict(_))) | Err(_) => None,
            // A backend that lets nobody write it has never kept clusters apart.
            Ok(Err(WriteError::Forbidden(error))) => {
                warn!(
                    namespace = self.namespace,
                    "cannot record the holder of the contract: {}",
                    ErrorChain(&error)
                );
                Some(())
            }
            Ok(Err(error)) => {
                warn!(
                    namespace = self.namespace,
                    "cannot record the holder of the contract: {}",
                    ErrorChain(&error)
                );
                None
            }
        }
    }

    async fn try_write(
        &self,
        page: &HolderRecord,
        change: impl FnOnce(&mut Vec<Condition>),
    ) -> Result<(), WriteError> {
        match page {
            HolderRecord::ClusterBinding(binding) => {
                let mut status = binding.status.clone().unwrap_or_default();
                change(&mut status.conditions);
                let api: Api<ClusterBinding> = Api::namespaced(self.ungated.clone(), &self.namespace);
                let written = apply::replace_status(&api, &binding.metadata, true, &status).await?;
                self.contents.cluster_bindings.wrote(written);
            }
            HolderRecord::Export(export) => {
                let mut status = export.status.clone().unwrap_or_default();
                change(&mut status.conditions);
                let api: Api<APIServiceExport> = Api::namespaced(self.ungated.clone(), &self.namespace);
                let written = apply::replace_status(&api, &export.metadata, true, &status).await?;
                self.contents.exports.wrote(written);
            }
        }
        Ok(())
    }
}
