//! Reconciles bundles: one binding per export of the provider.

mod apply;
mod failures;
mod plan;
mod regain;
mod retire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{Api, ResourceExt as _, api::ListParams};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle, APIServiceExport},
    names,
};
use portolan_runtime::{
    clock,
    controller::{AFTER_CONFLICT, Action, Controller, ReconcileError},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use tokio::time::{Instant, sleep};

use self::plan::{ExportOffer, ObservedBundle, ProviderState};
use crate::{
    binding::observe::is_withdrawing,
    context::KonnectorContext,
    policy,
    provider::{ContractStanding, ExportAbsence, ProviderContact, Session},
    secrets::{ProviderAccess, SecretState},
    takeover,
    word::ContractWord,
};

const WORKERS: usize = 8;
/// Time for the schemas to appear once the exports have.
const SCHEMAS_LIMIT: Duration = Duration::from_secs(2);

pub fn run(tasks: &Tasks, context: &Arc<KonnectorContext>) {
    let reconcile =
        |context: Arc<KonnectorContext>, name: String| async move { reconcile(&context, &name).await };
    Controller {
        name: "bundle",
        workers: WORKERS,
        queue: &context.triggers().bundles,
        metrics: &context.metrics.controllers,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &KonnectorContext, name: &str) -> Result<Action, ReconcileError> {
    let Some(bundle) = context.bundle(name) else {
        context.metrics.forget_bundle(name);
        context.tidy_up();
        return Ok(Action::AwaitChange);
    };
    if let Some(why) = blindness(context).await {
        return apply::say_blind(context, &bundle, &why).await;
    }
    if !context.is_synced() {
        return Ok(Action::AwaitChange);
    }
    if bundle.metadata.deletion_timestamp.is_some() {
        return retire::retire(context, &bundle).await.map_err(apply::failed("unbind", name));
    }
    if policy::is_released(&*bundle) {
        return Ok(Action::AwaitChange);
    }
    let held = retire::hold(context, &bundle).await.map_err(apply::failed("add the finalizer to", name))?;
    let bundle = held.map_or(bundle, Arc::new);
    if regain::regain(context, &bundle).await {
        return Ok(Action::RequeueAfter(AFTER_CONFLICT));
    }
    let observed = observe(context, bundle).await;
    if matches!(observed.provider, ProviderState::Up(_)) {
        let api = Api::all(context.consumer.clone());
        let written = takeover::was_used(&api, &*observed.bundle).await;
        if let Some(written) = written.map_err(apply::failed("remove the used annotation from", name))? {
            context.bundles.wrote(written);
            return Ok(Action::RequeueAfter(Duration::ZERO));
        }
    }
    let plan = plan::plan(&observed, clock::now());
    apply::apply(context, &observed.bundle, plan).await
}

/// The reason why the bindings on the consumer cannot be seen, if they cannot. Without them, nothing is known of a
/// bundle.
async fn blindness(context: &KonnectorContext) -> Option<String> {
    if !context.binding_sight.is_lost() {
        return None;
    }
    let bindings: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    match bindings.list(&ListParams::default().limit(1)).await {
        Ok(_) => {
            context.binding_sight.sees();
            None
        }
        Err(error) => Some(ErrorChain(&error).to_string()),
    }
}

async fn observe(context: &KonnectorContext, bundle: Arc<APIServiceBindingBundle>) -> ObservedBundle {
    let secret = context.secrets.state(&bundle.spec.kubeconfig_secret_ref);
    let provider = match &secret {
        SecretState::Valid(access) => provider(context, &bundle, access).await,
        _ => ProviderState::Pending,
    };
    let bindings: Vec<Arc<APIServiceBinding>> = context.bindings.all();
    let beginning = context.beginning.left();
    let (served, stamp_interval) = (context.served(), context.heartbeat_interval);
    ObservedBundle { bundle, secret, provider, bindings, served, beginning, stamp_interval }
}

async fn provider(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    access: &Arc<ProviderAccess>,
) -> ProviderState {
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let session = match context.sessions.ensure(reference, access, context.notifier(reference)).await {
        Ok(session) => session,
        Err(error) => return ProviderState::ClientFailed(ErrorChain(&error).to_string()),
    };
    await_schemas(&session).await;
    let mut exports: Vec<_> = session.contents.exports().unwrap_or_default();
    for export in &mut exports {
        name_versions(&session, export);
    }
    exports.sort_by_key(|export| export.name_any());
    let offer = match session.contact() {
        ProviderContact::Up => Some(offer(context, bundle, &session, exports).await),
        _ => None,
    };
    // Asked after the offer: a look at the contract namespace may have shown another one.
    let standing = session.standing(&ContractWord::of_bundle(bundle, &context.bindings.all()));
    match (session.contact_of(&standing), offer, standing) {
        (ProviderContact::Closed(verdict), ..) => ProviderState::Closed(verdict),
        (ProviderContact::Down { message }, ..) => ProviderState::Down(message),
        (ProviderContact::Refused { message }, ..) => ProviderState::Refused(message),
        (ProviderContact::Up, Some(offer), ContractStanding::Open(contract)) => {
            ProviderState::Up(ExportOffer { contract: Some(contract), ..offer })
        }
        (ProviderContact::Pending | ProviderContact::Up, ..) => ProviderState::Pending,
    }
}

/// They are listed together with the exports. Where they cannot be, each binding says so.
async fn await_schemas(session: &Session) {
    let deadline = Instant::now() + SCHEMAS_LIMIT;
    while session.contact() == ProviderContact::Up
        && !session.contents.schemas_listed()
        && Instant::now() < deadline
    {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Exports need not name their versions: they are those of the schemas.
fn name_versions(session: &Session, export: &mut Arc<APIServiceExport>) {
    for place in 0..export.spec.resources.len() {
        let resource = &export.spec.resources[place];
        let schema = session.contents.schema(&names::bound_schema(&resource.resource, &resource.group));
        if let Some(schema) = schema.filter(|_| resource.versions.is_empty()) {
            let served = schema.spec.versions.iter().filter(|version| version.served);
            Arc::make_mut(export).spec.resources[place].versions =
                served.map(|version| version.name.clone()).collect();
        }
    }
}

async fn offer(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    session: &Session,
    exports: Vec<Arc<APIServiceExport>>,
) -> ExportOffer {
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let bindings = context.bindings.filter(|binding| binding.spec.kubeconfig_secret_ref == *reference);
    let is_absent = |name: &String| !exports.iter().any(|export| export.name_any() == *name);
    let absent = bindings.iter().map(|binding| binding.name_any()).filter(is_absent);
    let absent: BTreeMap<_, _> = absent.map(|name| (name.clone(), session.contents.absence(&name))).collect();
    let goes = absent.values().any(|absence| *absence == ExportAbsence::Withdrawn)
        || exports.iter().any(|export| is_withdrawing(export));
    // Only what would be unbound is worth a question to the provider.
    let doubt = if goes { session.doubt(context.poll_interval).await } else { None };
    ExportOffer {
        absent,
        doubt,
        contract: None,
        pretty_name: session.contents.pretty_name(),
        grace: context.grace(),
        exports,
    }
}
