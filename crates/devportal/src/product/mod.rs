//! Writes the status of APIProducts: what is known of their routes and policies.

mod discover;
mod fetched;
mod observe;

use std::{sync::Arc, time::Duration};

use kube::{Api, Resource as _};
use portolan_core::{
    api::devportal::{APIProduct, APIProductStatus, DiscoveredAuthScheme},
    condition::ConditionStatus,
    standard_condition::find,
};
use portolan_runtime::{
    apply::replace_status,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

pub use self::discover::NAMED;
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
        if context.products.get(&name.namespace, &name.name).is_none() {
            context.share_selector(name, None);
        }
        context.fetches.need(name, Vec::new());
        return Ok(Action::AwaitChange);
    };
    let scheme = discover::scheme(&observed);
    let selector = scheme.as_ref().and_then(selector);
    context.share_selector(name, selector.clone());
    let sharing = selector.map(|selector| context.sharing(name, &selector)).unwrap_or_default();
    context.fetches.need(name, fetched::targets(&observed.product, scheme.as_ref()));
    let mut status = discover::status(&observed, scheme, &sharing);
    let outcome = |target: &FetchTarget| context.fetches.outcome(target);
    fetched::fill(&observed.product, &mut status, observed.now, outcome);
    discard(context, name, &observed, &status).await?;
    write(context, name, &observed, &status).await?;
    Ok(again(&observed).map_or(Action::AwaitChange, Action::RequeueAfter))
}

fn selector(scheme: &DiscoveredAuthScheme) -> Option<String> {
    scheme::api_key(scheme).map(|method| method.selector_text())
}

/// Finds out which products share a selector before any of them says so; else each would say it twice, the first time
/// without those that were not looked at yet.
pub fn learn_selectors(context: &Context) {
    for product in context.products.all() {
        let name = ObjectName::of(&*product);
        let scheme = observe::observe(context, &name).as_ref().and_then(discover::scheme);
        // Every product is looked at anyway.
        context.indexes.selectors.set(&name, scheme.as_ref().and_then(selector).into_iter().collect());
    }
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
        // Where one policy is for many products, all of them share its selector.
        let is_quiet = now.reason == discover::SHARED;
        if is_news && !is_quiet && now.status == ConditionStatus::False {
            context.reporter.warn(&product.object_ref(&()), &now.reason, "Discover", &now.message).await;
        }
    }
}
