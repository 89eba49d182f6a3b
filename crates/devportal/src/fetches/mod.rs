//! Documents that products need from elsewhere: discovery documents of issuers, and OpenAPI texts.
//!
//! Each target has its own turn of a worker, with limits on time and bytes. A product never waits for one: it says what
//! it needs, and is looked at again when there is an answer.

pub mod allowed;
mod oidc;
mod openapi;
mod policy;
pub mod store;

use std::sync::Arc;

use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

pub use self::{
    oidc::{OidcOutcome, location},
    openapi::discard,
    policy::settings,
    store::{DocumentFetchers, FetchOutcome, FetchTarget, OpenApiOutcome, OpenApiText, RememberedAnswer},
};
use crate::context::Context;

/// So many hosts may hang before another target has to wait.
const WORKERS: usize = 64;
pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile =
        |context: Arc<Context>, target: FetchTarget| async move { reconcile(&context, &target).await };
    let queue = &context.fetches.queue;
    Controller { name: "fetch", workers: WORKERS, queue, metrics: &context.controllers }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, target: &FetchTarget) -> Result<Action, ReconcileError> {
    let fetches = &context.fetches;
    if fetches.users.of(target).is_empty() {
        return Ok(Action::AwaitChange);
    }
    let before = fetches.last(target);
    let outcome = match (target, before) {
        (FetchTarget::Oidc(issuer), before) => {
            let last = match before {
                Some(FetchOutcome::Oidc(outcome)) => outcome.token_endpoint,
                _ => None,
            };
            FetchOutcome::Oidc(oidc::fetch(&fetches.fetchers.oidc, issuer, last).await)
        }
        (FetchTarget::OpenApi { product, url, .. }, before) => {
            let last = match before {
                Some(FetchOutcome::OpenApi(outcome)) => outcome.text,
                _ => None,
            };
            FetchOutcome::OpenApi(openapi::fetch(context, product, url, last).await)
        }
    };
    context.metrics.fetched(target, outcome.is_good());
    let (is_news, delay) = fetches.keep(target, outcome);
    let users = fetches.users.of(target);
    if users.is_empty() {
        fetches.outcomes.lock().remove(target);
        return Ok(Action::AwaitChange);
    }
    if is_news {
        for product in users {
            context.queues.products.add(product);
        }
    }
    Ok(Action::RequeueAfter(delay))
}
