//! Writes the status of APIProducts: what is known of their routes and policies.

mod discover;
mod fetched;
mod observe;

use std::{sync::Arc, time::Duration};

use kube::{Api, Resource as _};
use portolan_core::{
    api::devportal::{APIProduct, APIProductStatus},
    condition::ConditionStatus,
    standard_condition::find,
};
use portolan_runtime::{
    apply::replace_status,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use self::discover::{GRACE, ObservedProduct};
use crate::{
    context::Context,
    fetches::{self, FetchTarget},
    names::ObjectName,
    scheme,
};

const WORKERS: usize = 8;

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile = |context: Arc<Context>, name: ObjectName| async move { reconcile(&context, &name).await };
    let queue = &context.queues.products;
    Controller { name: "product", workers: WORKERS, queue, metrics: &context.controllers }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, name: &ObjectName) -> Result<Action, ReconcileError> {
    let Some(observed) = observe::observe(context, name) else {
        context.fetches.need(name, Vec::new());
        return Ok(Action::AwaitChange);
    };
    let scheme = discover::scheme(&observed);
    let selector = scheme.as_ref().and_then(scheme::api_key).map(|method| method.selector_text());
    context.share_selector(name, selector.clone());
    let mut sharing = selector.map(|selector| context.indexes.selectors.of(&selector)).unwrap_or_default();
    sharing.retain(|other| other != name);
    context.fetches.need(name, fetched::targets(&observed.product, scheme.as_ref()));
    let mut status = discover::status(&observed, scheme, &sharing);
    let outcome = |target: &FetchTarget| context.fetches.outcome(target);
    fetched::fill(&observed.product, &mut status, observed.now, outcome);
    discard(context, name, &observed, &status).await?;
    write(context, name, &observed, &status).await?;
    Ok(again(&observed).map_or(Action::AwaitChange, Action::RequeueAfter))
}

/// Deletes the ConfigMap of an OpenAPI text that is not kept there any more.
async fn discard(
    context: &Context,
    name: &ObjectName,
    observed: &ObservedProduct,
    status: &APIProductStatus,
) -> Result<(), ReconcileError> {
    let refers =
        |status: &APIProductStatus| status.openapi.as_ref().is_some_and(|text| text.config_map_ref.is_some());
    if refers(status) || !observed.product.status.as_ref().is_some_and(refers) {
        return Ok(());
    }
    let discarded = fetches::discard(context, &observed.product).await;
    discarded.map_err(|error| ReconcileError::new("delete the ConfigMap of APIProduct", name, error))
}

/// Time at which the verdict about a route changes although nothing happens.
fn again(observed: &ObservedProduct) -> Option<Duration> {
    observed.outdated_for.map(|time| GRACE.saturating_sub(time)).filter(|left| !left.is_zero())
}

async fn write(
    context: &Context,
    name: &ObjectName,
    observed: &ObservedProduct,
    status: &APIProductStatus,
) -> Result<(), ReconcileError> {
    let product = &observed.product;
    if product.status.as_ref() == Some(status) {
        return Ok(());
    }
    let api: Api<APIProduct> = Api::namespaced(context.client.clone(), &name.namespace);
    let written = replace_status(&api, &product.metadata, true, status).await;
    let written =
        written.map_err(|error| ReconcileError::new("write the status of APIProduct", name, error))?;
    context.products.wrote(written);
    announce(context, product, status).await;
    Ok(())
}

/// Says in an Event what a person has to do.
async fn announce(context: &Context, product: &APIProduct, status: &APIProductStatus) {
    let before = product.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for r#type in [discover::READY, discover::SELECTOR, discover::ANNOTATIONS, fetched::OPENAPI] {
        let Some(now) = find(&status.conditions, r#type) else { continue };
        let is_news = find(before, r#type).is_none_or(|before| before.reason != now.reason);
        if is_news && now.status == ConditionStatus::False {
            context.reporter.warn(&product.object_ref(&()), &now.reason, "Discover", &now.message).await;
        }
    }
}
