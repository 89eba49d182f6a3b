//! Everything that bears on a binding, read from stores first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::{Api, ResourceExt as _};
use portolan_core::{
    api::kubebind::{ANNOTATION_REPLACED, APIServiceBinding, APIServiceExport, ExportedResource},
    condition::Verdict,
    names,
    outline::{CrdOutline, SchemaOutline},
};
use portolan_runtime::{apply::WriteError, telemetry::ErrorChain};

use super::consent::ConsumerConsent;
use crate::{
    context::KonnectorContext,
    crd,
    provider::{
        CONTRACT_IN_USE, ContractStanding, ExportAbsence, HeartbeatOutcome, ProviderContact, Session,
        UnseenKind,
    },
    secrets::SecretState,
    word::ContractWord,
};

/// A binding and everything that bears on it.
pub(super) struct ObservedBinding<S = Arc<Session>> {
    pub(super) binding: Arc<APIServiceBinding>,
    pub(super) secret: SecretState,
    pub(super) provider: ProviderSide<S>,
    /// The consumer's consent.
    pub(super) consent: ConsumerConsent,
    /// CRDs on the consumer, by name, as far as they exist.
    pub(super) crds: BTreeMap<String, Arc<CrdOutline>>,
}

impl<S> ObservedBinding<S> {
    /// The reason why nothing is done with the contract.
    pub(super) fn closed(&self) -> Option<&Verdict> {
        match &self.provider {
            ProviderSide::Session(BindingView { contact: ProviderContact::Closed(verdict), .. }) => {
                Some(verdict)
            }
            _ => None,
        }
    }

    /// Returns `true` if the contract, and with it the copies, belongs to another consumer cluster.
    pub(super) fn is_in_use_elsewhere(&self) -> bool {
        self.closed().is_some_and(|verdict| verdict.reason == CONTRACT_IN_USE)
    }
}

/// The provider's side of the binding's export.
#[expect(clippy::large_enum_variant, reason = "there is one for each look, and it is not kept")]
pub(super) enum ProviderSide<S = Arc<Session>> {
    /// There is no usable kubeconfig.
    NoAccess,
    /// Its kubeconfig does not make a client.
    ClientFailed(String),
    /// A session, and what it knows.
    Session(BindingView<S>),
}

/// The binding's export as the session knows it.
pub(super) struct BindingView<S = Arc<Session>> {
    pub(super) session: S,
    pub(super) contact: ProviderContact,
    /// The contract that is bound, once it is known to be ours.
    pub(super) contract: Option<String>,
    /// False until exports and schemas have been listed once, and the contract is known to be ours.
    pub(super) listed: bool,
    pub(super) export: Option<Arc<APIServiceExport>>,
    /// The export, while the provider withdraws it and waits for us.
    pub(super) withdrawing: Option<Arc<APIServiceExport>>,
    /// There is no export, and that is no mistake.
    pub(super) withdrawn: bool,
    pub(super) schemas: Vec<(ExportedResource, Option<Arc<SchemaOutline>>)>,
    /// The reason why the provider has refused the request of the same name, if it has.
    pub(super) refusal: Option<String>,
    /// A kind of the contract that cannot be watched, and why.
    pub(super) unseen: Option<(UnseenKind, String)>,
    pub(super) pretty_name: Option<String>,
    pub(super) heartbeat: HeartbeatOutcome,
}

pub(super) async fn observe(
    context: &KonnectorContext,
    binding: Arc<APIServiceBinding>,
) -> Result<ObservedBinding, WriteError> {
    let reference = &binding.spec.kubeconfig_secret_ref;
    let secret = context.secrets.state(reference);
    let bundle = binding.owner_references().iter().find(|owner| owner.kind == "APIServiceBindingBundle");
    let bundle = bundle.and_then(|owner| context.bundle(&owner.name));
    let word = ContractWord::of_binding(&binding, bundle.as_deref());
    let provider = match &secret {
        SecretState::Valid(access) => {
            match context.sessions.ensure(reference, access, context.notifier(reference)).await {
                Ok(session) => ProviderSide::Session(view(context, session, &binding.name_any(), &word)),
                Err(error) => ProviderSide::ClientFailed(ErrorChain(&error).to_string()),
            }
        }
        _ => ProviderSide::NoAccess,
    };
    let crds = crds(context, &binding, &provider).await?;
    let consent = ConsumerConsent::of(&binding, bundle.as_deref()).and_always(&context.accept_claims);
    Ok(ObservedBinding { binding, secret, provider, consent, crds })
}

fn view(context: &KonnectorContext, session: Arc<Session>, name: &str, word: &ContractWord) -> BindingView {
    let standing = session.standing(word);
    let contact = session.contact_of(&standing);
    let open = if let ContractStanding::Open(name) = standing { Some(name) } else { None };
    // What another contract exports is not what is bound.
    let found = session.contents.export(name).filter(|_| open.is_some());
    // Before the provider has answered, nothing is missing.
    let withdrawn = found.is_none()
        && contact == ProviderContact::Up
        && match session.contents.absence(name) {
            ExportAbsence::Withdrawn => session.last_doubt().is_none(),
            ExportAbsence::MissingFor(time) => time >= context.grace(),
        };
    let (withdrawing, export): (Option<_>, Option<_>) =
        if found.as_ref().is_some_and(|export| is_withdrawing(export)) {
            (found, None)
        } else {
            (None, found)
        };
    let resources = export.iter().flat_map(|export| export.spec.resources.iter());
    let schema = |r: &ExportedResource| session.contents.schema(&names::bound_schema(&r.resource, &r.group));
    let refusal = session.contents.request(name).and_then(|request| request.status.clone()?.terminal_message);
    BindingView {
        contact,
        listed: open.is_some() && session.contents.exports().is_some() && session.contents.schemas_listed(),
        contract: open,
        schemas: resources.map(|r| (r.clone(), schema(r))).collect(),
        unseen: session.unseen.first(),
        pretty_name: session.contents.pretty_name(),
        heartbeat: session.last_heartbeat(),
        export,
        withdrawing,
        withdrawn,
        refusal,
        session,
    }
}

/// Returns `true` if an export is terminating, and not only to be recreated.
pub fn is_withdrawing(export: &APIServiceExport) -> bool {
    export.metadata.deletion_timestamp.is_some() && !export.annotations().contains_key(ANNOTATION_REPLACED)
}

/// The CRDs that a binding has, or will have. What the Go konnector has brought lacks our label.
fn named(binding: &APIServiceBinding, provider: &ProviderSide) -> BTreeSet<String> {
    let bound = binding.status.iter().flat_map(|status| &status.bound_schemas);
    let bound = bound.map(|schema| names::crd(&schema.resource, &schema.group));
    let exported = match provider {
        ProviderSide::Session(view) => view.schemas.as_slice(),
        ProviderSide::NoAccess | ProviderSide::ClientFailed(_) => &[],
    };
    bound.chain(exported.iter().filter_map(|(_, schema)| Some(crd::name(schema.as_ref()?)))).collect()
}

async fn crds(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    provider: &ProviderSide,
) -> Result<BTreeMap<String, Arc<CrdOutline>>, WriteError> {
    let mut found: BTreeMap<_, _> = context
        .crds
        .filter(|crd| crd::is_owned_by(crd, binding))
        .into_iter()
        .map(|crd| (crd.name_any(), crd))
        .collect();
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    for name in named(binding, provider) {
        if found.contains_key(&name) {
            continue;
        }
        // One that is not ours is not in the store.
        let stored = context.crds.get(&name);
        let crd = match stored {
            Some(crd) => Some(crd),
            None => api.get_opt(&name).await?.map(Arc::new),
        };
        found.extend(crd.map(|crd| (name, crd)));
    }
    Ok(found)
}
