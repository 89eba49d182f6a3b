//! Kinds of a bench's own, and the requests that yardsticks consist of: what the API servers need by themselves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, TypeMeta},
};
use portolan_testkit::{watch_until, workload};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{clusters::SOON, watching::Watching};

/// A kind of its own: `cowboys.<name>.dev`.
pub(super) fn kind(name: &str) -> CustomResourceDefinition {
    let mut crd = workload::wildwest();
    crd.spec.group = format!("{name}.dev");
    crd.metadata.name = Some(format!("{}.{}", crd.spec.names.plural, crd.spec.group));
    crd
}

/// Describes a kind to an API.
pub(super) fn kind_of(name: &str) -> ApiResource {
    let group = format!("{name}.dev");
    ApiResource { api_version: format!("{group}/v1alpha1"), group, ..workload::cowboys() }
}

/// An object as one of another kind.
pub(super) fn of(resource: &ApiResource, mut object: DynamicObject) -> DynamicObject {
    let (api_version, kind) = (resource.api_version.clone(), resource.kind.clone());
    object.types = Some(TypeMeta { api_version, kind });
    object
}

/// From creating a CRD to its watch event, established.
pub(super) async fn established(
    crds: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
) -> Result<Duration> {
    let mut watch = until_established(crds.clone(), &crd.name_any());
    tokio::time::sleep(OPEN).await;
    let start = Instant::now();
    crds.create(&PostParams::default(), crd).await.context("creating a CRD")?;
    Ok(watch.join_next().await.context("one watch was opened")??? - start)
}

/// Time for a watch to open.
const OPEN: Duration = Duration::from_millis(500);

/// Waits for the event of a CRD, established, and gives its time.
pub(super) fn until_established(crds: Api<CustomResourceDefinition>, name: &str) -> JoinSet<Result<Instant>> {
    let (mut watch, name) = (JoinSet::new(), name.to_owned());
    watch.spawn(async move {
        let seen = watch_until(crds, &name, workload::is_established, SOON).await;
        seen.map(|_| Instant::now())
    });
    watch
}

/// From sending a change of an object, or of its status, to the event that `seen` knows it by.
pub(super) async fn changed(
    api: &Api<DynamicObject>,
    name: &str,
    change: &Value,
    watching: &mut Watching,
    seen: impl Fn(&DynamicObject) -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    patch(api, name, change).await?;
    watching.until(seen).await?;
    Ok(start.elapsed())
}

/// Changes an object, or its status where that is what the change is about.
pub(super) async fn patch(api: &Api<DynamicObject>, name: &str, change: &Value) -> Result<()> {
    let (params, patch) = (PatchParams::default(), Patch::Merge(change));
    let done = match change.get("status") {
        Some(_) => api.patch_status(name, &params, &patch).await,
        None => api.patch(name, &params, &patch).await,
    };
    done.map(drop).with_context(|| format!("changing {name}"))
}

/// Writes a status to each of many objects, from several writers.
pub(super) async fn statuses(
    api: &Api<DynamicObject>,
    names: &[String],
    status: &Value,
    writers: usize,
) -> Result<()> {
    let mut writing = JoinSet::new();
    for writer in 0..writers {
        let (api, status) = (api.clone(), status.clone());
        let names: Vec<_> = names.iter().skip(writer).step_by(writers).cloned().collect();
        writing.spawn(async move {
            for name in names {
                patch(&api, &name, &status).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    Ok(())
}
