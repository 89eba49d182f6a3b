//! Looks at the contract namespace, and whether what has gone from it was withdrawn.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use portolan_runtime::apply::WriteError;
use tokio::time::timeout;

use super::{
    contact::ANSWER_LIMIT,
    contract::{ContractDoubt, ContractSight},
    identity::FoundContract,
    session::Session,
};

impl Session {
    /// The uid of the contract namespace; `None` where the provider does not let us see it.
    pub async fn contract_uid(&self) -> Result<Option<String>, WriteError> {
        match self.found() {
            FoundContract::Uid(uid) => return Ok(Some(uid)),
            FoundContract::Hidden => return Ok(None),
            FoundContract::NotYet | FoundContract::Gone => {}
        }
        let answer = self.see_contract().await;
        self.take_in(&ContractSight::of(&answer));
        match answer.map_err(WriteError::from) {
            Ok(namespace) => Ok(namespace.uid()),
            Err(WriteError::Forbidden(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks whether the contract namespace is the one that the konnector began with. What has gone with it was
    /// not withdrawn.
    pub async fn doubt(&self, limit: Duration) -> Option<ContractDoubt> {
        let sight = timeout(limit.min(ANSWER_LIMIT), self.see_contract()).await;
        let sight = sight.map_or(ContractSight::Unanswered, |answer| ContractSight::of(&answer));
        self.take_in(&sight);
        self.last_doubt()
    }

    /// The doubt after the last look.
    pub fn last_doubt(&self) -> Option<ContractDoubt> {
        self.contract.doubt()
    }

    /// The finding of the last look that was answered.
    pub(super) fn found(&self) -> FoundContract {
        self.contract.found()
    }

    fn take_in(&self, sight: &ContractSight) {
        self.contract.take_in(sight);
        if let ContractSight::There { uid, .. } = sight
            && self.agreed_contract().is_some_and(|agreed| agreed != *uid)
        {
            self.disagree();
        }
    }

    async fn see_contract(&self) -> kube::Result<Namespace> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.get(&self.namespace).await
    }
}
