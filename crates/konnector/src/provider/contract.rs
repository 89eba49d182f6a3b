//! Whether the contract namespace is still the one that a session began with.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use portolan_runtime::apply::{WriteError, code};
use tokio::time::{Instant, timeout};

use super::session::{POLL_LIMITS, Session};

/// The contract namespace is not what it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// To be read after its name.
    pub(crate) why: &'static str,
    pub(crate) since: Duration,
}

impl Session {
    /// The uid of the contract namespace, asked for once; `None` where the provider does not let us see it.
    pub(crate) async fn contract_uid(&self) -> Result<Option<&str>, WriteError> {
        let ask = async || {
            let api: Api<Namespace> = Api::all(self.client.clone());
            match api.get(&self.namespace).await.map_err(WriteError::from) {
                Ok(namespace) => Ok(namespace.uid()),
                Err(WriteError::Forbidden(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Ok(self.contract_uid.get_or_try_init(ask).await?.as_deref())
    }

    /// Why the contract namespace is not the one that the session began with, and for how long it is not. What
    /// has gone with it was not withdrawn.
    pub(crate) async fn doubt(&self) -> Option<Doubt> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let began_with = self.contract_uid.get().cloned().flatten()?;
        let why = match timeout(POLL_LIMITS.1, api.get(&self.namespace)).await {
            Ok(Ok(now)) if now.uid().as_ref() != Some(&began_with) => "was made anew",
            Ok(Ok(now)) if now.metadata.deletion_timestamp.is_some() => "is being deleted",
            Ok(Err(error)) if code(&error) == 404 => "is gone",
            Ok(Err(error)) if [401, 403].contains(&code(&error)) => "cannot be seen any more",
            _ => {
                *self.doubted.lock() = None;
                return None;
            }
        };
        let since = self.doubted.lock().get_or_insert_with(Instant::now).elapsed();
        Some(Doubt { why, since })
    }
}
