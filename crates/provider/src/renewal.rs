//! Renews the kubeconfigs of consumers, in the Secret of each contract namespace, before their tokens expire.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, Resource as _, api::PostParams};
use portolan_core::api::kubebind::PROVIDER_KUBECONFIG;
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use serde_json::json;
use tracing::info;

use crate::{
    BINDER, FIELD_MANAGER,
    context::ProviderContext,
    context::RESYNC,
    is_ours,
    kubeconfig::secret::{self, TokenLife},
    queues::QueueKey,
};

const WORKERS: usize = 2;
/// The API server issues no token for less.
const SHORTEST: i64 = 600;
/// A token that the API server cuts short would be renewed without end.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, contract: String| async move { reconcile(&context, &contract).await };
    Controller {
        name: "renewal",
        workers: WORKERS,
        queue: &context.queues.renewals,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, contract: &str) -> Result<Action, ReconcileError> {
    let known = context.kubeconfigs.get_in(contract, PROVIDER_KUBECONFIG);
    let Some(known) = known.filter(|known| is_ours(&**known)) else {
        context.notices.clear(&QueueKey::new(contract, PROVIDER_KUBECONFIG).reference::<Secret>());
        return Ok(Action::AwaitChange);
    };
    // A namespace that has lost its label keeps what it has, and its consumer the way in.
    if context.standing(contract).await?.ends() {
        return Ok(Action::AwaitChange);
    }
    let on = known.object_ref(&());
    let life = TokenLife::of(&known);
    let left = life.map_or(Duration::ZERO, |life| life.left(clock::now()));
    if !left.is_zero() {
        context.notices.clear(&on);
        return Ok(Action::RequeueAfter(left));
    }
    // What cannot be read is not worth a token.
    if let Err(why) = secret::with_token(&known, "token".to_owned()) {
        let note = format!("The kubeconfig in it cannot be renewed: {why}. Run `provider kubeconfig` again.");
        context.notices.warn(&on, "NotRenewed", &note).await;
        return Ok(Action::RequeueAfter(RESYNC));
    }
    let renewed = match renew(context, contract, &known, life).await {
        Ok(renewed) => renewed,
        Err(error) => {
            // An account that is missing looks like a conflict.
            let note = format!("The kubeconfig in it cannot be renewed: {}.", ErrorChain(&error));
            context.notices.lasts(&on, "NotRenewed", &note).await;
            return Err(error);
        }
    };
    context.notices.clear(&on);
    Ok(Action::RequeueAfter(renewed.left(clock::now()).max(AT_MOST_EVERY)))
}

async fn renew(
    context: &ProviderContext,
    contract: &str,
    known: &Secret,
    life: Option<TokenLife>,
) -> Result<TokenLife, ReconcileError> {
    let failed = |action, error: WriteError| ReconcileError::new(action, contract, error);
    let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), contract);
    let seconds = life.map_or(SHORTEST, TokenLife::seconds).max(SHORTEST);
    let spec = TokenRequestSpec { expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let issued = clock::now();
    let answer = accounts.create_token_request(BINDER, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| failed("get a token for the consumer of", error.into()))?;
    let Some(status) = answer.status else { return Ok(TokenLife { issued, expires: issued }) };
    let life = TokenLife { issued, expires: status.expiration_timestamp.0 };
    let Ok(access) = secret::with_token(known, status.token) else { return Ok(life) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), contract);
    let seen = Precondition::of(Some(&known.metadata), FIELD_MANAGER);
    let written =
        apply::apply::<Secret>(&api, FIELD_MANAGER, &json!(secret::secret(&access, life)), &seen).await;
    context.kubeconfigs.wrote(written.map_err(|error| failed("renew the kubeconfig in", error))?);
    info!(contract, expires = %life.expires, "renewed the consumer's kubeconfig");
    Ok(life)
}
