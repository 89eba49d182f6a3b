//! Bindings that could not be created or deleted, and how a bundle says so.

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::{
    api::kubebind::{APIServiceBindingBundle, APIServiceBindingBundleStatus},
    condition,
};
use portolan_runtime::{
    apply::{self, WriteError},
    clock,
    telemetry::brief,
};

use super::plan;
use crate::{context::KonnectorContext, news::news};

/// Bindings that could not be created or deleted. The others do not wait for them.
#[derive(Default)]
pub(super) struct BindingFailures {
    said: Vec<String>,
    pub(super) last: Option<WriteError>,
}

impl BindingFailures {
    pub(super) fn said(&self) -> &[String] {
        &self.said
    }

    pub(super) fn take_in(&mut self, action: &str, binding: &str, error: WriteError) {
        // Somebody else has just made, changed or deleted it: its watch event brings us back.
        if error.is_conflict() {
            return;
        }
        let why = brief(error.cause());
        self.said.push(format!("cannot {action} APIServiceBinding {binding}: {}", why.trim_end_matches('.')));
        self.last = Some(error);
    }

    /// Says them on a bundle that is terminating, or that there are none any more, and gives the last one.
    pub(super) async fn tell(
        self,
        context: &KonnectorContext,
        bundle: &APIServiceBindingBundle,
    ) -> Result<(), WriteError> {
        let (status, now) = (bundle.status.clone().unwrap_or_default(), clock::now());
        let Some(error) = self.last else {
            let Some(mended) = plan::mended(status, now) else { return Ok(()) };
            return say(context, bundle, &mended).await;
        };
        let status = plan::with_failures(status, &self.said, None, bundle.status.as_ref(), now);
        say(context, bundle, &status).await?;
        Err(error)
    }
}

/// Writes the status where it differs, tells what is new in it, and counts.
pub(super) async fn say(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    status: &APIServiceBindingBundleStatus,
) -> Result<(), WriteError> {
    let ready = condition::find(&status.conditions, condition::READY);
    context.metrics.saw_bundle(&bundle.name_any(), ready, status.conflicts.unwrap_or_default());
    if bundle.status.as_ref() == Some(status) {
        return Ok(());
    }
    let bundles: Api<APIServiceBindingBundle> = Api::all(context.consumer.clone());
    let written = apply::replace_status(&bundles, &bundle.metadata, true, status).await?;
    context.bundles.wrote(written);
    let before = bundle.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for said in news(before, &status.conditions) {
        context.reporter.warn(&bundle.object_ref(&()), &said.reason, "Bind", &said.message).await;
    }
    Ok(())
}
