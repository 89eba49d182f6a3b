//! Reconciles bundles: one binding per export of the provider.

mod apply;
mod plan;
mod retire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport};
use portolan_runtime::{
    apply::WriteError, clock, controller, controller::Next, tasks::Tasks, telemetry::Chain,
};

use self::plan::{Observed, Offer, Provider};
use crate::{
    binding::observe::is_withdrawing,
    context::Context,
    policy,
    provider::{Absence, Contact, Doubt, Session, Why},
    secrets::{ProviderAccess, SecretState},
};

const WORKERS: usize = 8;

/// Why a bundle could not be reconciled.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} for bundle {bundle:?}")]
pub(crate) struct BundleError {
    action: &'static str,
    bundle: String,
    #[source]
    source: WriteError,
}

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let queue = Arc::clone(&context.wake().bundles);
    let shared = Arc::clone(context);
    let reconcile = move |name: String| {
        let context = Arc::clone(&shared);
        async move { reconcile(&context, &name).await }
    };
    controller::run(tasks, "bundle", WORKERS, &queue, &context.metrics.controllers, reconcile);
}

async fn reconcile(context: &Context, name: &str) -> Result<Next, BundleError> {
    let Some(bundle) = context.bundle(name) else {
        context.tidy_up();
        return Ok(Next::OnChange);
    };
    let failed = |action, source| BundleError { action, bundle: name.to_owned(), source };
    if bundle.metadata.deletion_timestamp.is_some() {
        return retire::retire(context, &bundle).await.map_err(|source| failed("unbind", source));
    }
    if policy::is_released(&*bundle) {
        return Ok(Next::OnChange);
    }
    let bundle = match retire::hold(context, &bundle).await {
        Ok(held) => held.map_or(bundle, Arc::new),
        Err(WriteError::Raced(_)) => return Ok(Next::After(crate::binding::AFTER_RACE)),
        Err(source) => return Err(failed("put the finalizer on", source)),
    };
    let observed = observe(context, bundle).await;
    let plan = plan::plan(&observed, clock::now());
    apply::apply(context, &observed.bundle, plan).await
}

async fn observe(context: &Context, bundle: Arc<APIServiceBindingBundle>) -> Observed {
    let secret = context.secrets.state(&bundle.spec.kubeconfig_secret_ref);
    let provider = match &secret {
        SecretState::Valid(access) => provider(context, &bundle, access).await,
        _ => Provider::Pending,
    };
    let bindings: Vec<Arc<APIServiceBinding>> = context.bindings.state();
    let beginning = context.beginning.left();
    Observed { bundle, secret, provider, bindings, beginning, stamp_interval: context.heartbeat_interval }
}

async fn provider(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    access: &Arc<ProviderAccess>,
) -> Provider {
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let session = match context.sessions.ensure(reference, access, context.notifier(reference)).await {
        Ok(session) => session,
        Err(error) => return Provider::ClientFailed(Chain(&error).to_string()),
    };
    let mut exports: Vec<_> = session.exports().unwrap_or_default();
    exports.sort_by_key(|export| export.name_any());
    match session.contact() {
        Contact::Pending => Provider::Pending,
        Contact::Down { message } => Provider::Down(message),
        Contact::Refused { message } => Provider::Refused(message),
        Contact::Up => Provider::Up(offer(context, bundle, &session, exports).await),
    }
}

async fn offer(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    session: &Session,
    exports: Vec<Arc<APIServiceExport>>,
) -> Offer {
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let bindings = context.bindings.state_filter(|binding| binding.spec.kubeconfig_secret_ref == *reference);
    let is_absent = |name: &String| !exports.iter().any(|export| export.name_any() == *name);
    let absent = bindings.iter().map(|binding| binding.name_any()).filter(is_absent);
    let absent: BTreeMap<_, _> = absent.map(|name| (name.clone(), session.absence(&name))).collect();
    let goes = absent.values().any(|absence| *absence == Absence::Withdrawn)
        || exports.iter().any(|export| is_withdrawing(export));
    let patience = context.patience();
    if let Some(uid) = bundle.status.as_ref().and_then(|status| status.contract_namespace_uid.as_ref()) {
        session.expect_contract(uid);
    }
    // Only what would be unbound is worth a question to the provider.
    let doubt = if goes { session.doubt(context.poll_interval).await } else { anew(session, patience) };
    Offer {
        absent,
        doubt,
        contract: session.settled_contract(),
        pretty_name: session.pretty_name(),
        patience,
        exports,
    }
}

/// Where every export is there, a contract namespace that was made anew is doubted for a while, and then accepted.
fn anew(session: &Session, patience: Duration) -> Option<Doubt> {
    let doubt = session.last_doubt().filter(|doubt| doubt.why == Why::MadeAnew)?;
    if doubt.since >= patience {
        session.accept_contract();
        return None;
    }
    Some(doubt)
}
