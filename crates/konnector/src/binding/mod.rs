//! Reconciles bindings: CRDs for the export's schemas, engines that keep their objects in sync, and an
//! orderly end.

mod apply;
mod claims;
mod cleanup;
mod conclude;
pub mod consent;
pub mod failure;
mod hold;
mod install;
mod marks;
pub mod objection;
pub mod observe;
mod outcome;
mod report;
mod taken;
mod termination;

pub use self::{
    marks::{
        ANNOTATION_BUNDLE, ANNOTATION_EXPORT_UID, ANNOTATION_RESOURCES, FINALIZER, FOREIGN_CRD, resources_of,
    },
    report::{report_drained, report_unbound},
};

use std::sync::Arc;

use kube::ResourceExt as _;
use portolan_runtime::{
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use crate::{context::KonnectorContext, crd, policy};

const WORKERS: usize = 8;

pub fn run(tasks: &Tasks, context: &Arc<KonnectorContext>) {
    let reconcile =
        |context: Arc<KonnectorContext>, name: String| async move { reconcile(&context, &name).await };
    Controller {
        name: "binding",
        workers: WORKERS,
        queue: &context.triggers().bindings,
        metrics: &context.metrics.controllers,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &KonnectorContext, name: &str) -> Result<Action, ReconcileError> {
    let Some(binding) = context.binding(name) else {
        context.metrics.forget_binding(name);
        context.sync.stop(name, &[]);
        context.claims.stop(name, &[]);
        context.failed_writes.forget(name, &[]);
        context.claims.resync();
        context.tidy_up();
        // Those of one that was torn out are left behind.
        for crd in context.crds.filter(|crd| crd::owner_name(crd) == Some(name)) {
            context.triggers().leftovers.add(crd.name_any());
        }
        return Ok(Action::AwaitChange);
    };
    let failed =
        |action| move |source| ReconcileError::new(action, format_args!("for binding {name:?}"), source);
    if policy::is_released(&*binding) {
        context.sync.stop(name, &[]);
        context.claims.stop(name, &[]);
        return Ok(Action::AwaitChange);
    }
    if binding.metadata.deletion_timestamp.is_none() && context.is_stray(&binding) {
        // Whatever it took now, it would take along when the garbage collector comes before its bundle does.
        return Ok(Action::RequeueAfter(context.poll_interval));
    }
    let observed = observe::observe(context, binding).await.map_err(failed("read"))?;
    let is_terminating = observed.binding.metadata.deletion_timestamp.is_some();
    // What ends while another cluster has the contract takes its own marks off, and nothing else.
    if observed.closed().is_some() && !(is_terminating && observed.is_in_use_elsewhere()) {
        context.sync.stop(name, &[]);
        context.claims.stop(name, &[]);
    }
    let next = cleanup::clean_up(context, &observed).await.map_err(failed("end what is bound"))?;
    if is_terminating {
        return Ok(next.unwrap_or(Action::AwaitChange));
    }
    let applied = apply::apply(context, &observed).await.map_err(failed("apply the CRDs"))?;
    // Called when its turn has come.
    let Some(mut applied) = applied else { return Ok(Action::RequeueAfter(context.poll_interval)) };
    applied.claims = claims::meet(context, &observed);
    let beginning = context.beginning.left();
    let status = conclude::conclude(&observed, &applied, clock::now(), beginning.is_some());
    let reported = report::report(context, &observed, &applied, &status).await;
    reported.map_err(failed("write the status"))?;
    // What stands in the way on the consumer (a foreign CRD, rights) is not watched.
    let unsettled = applied.look_again(context.poll_interval).or(beginning);
    Ok(next.unwrap_or_else(|| unsettled.map_or(Action::AwaitChange, Action::RequeueAfter)))
}
