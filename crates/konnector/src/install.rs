//! The konnector's own CRDs, brought up to date when it starts.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::PatchParams};
use portolan_core::crds;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::crd::is_established;

const MANAGER: &str = "portolan-konnector";
/// How long an API server may take to serve a new CRD.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);

/// Why the CRDs are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("failed to install CRD {name}: apply charts/konnector/crds by hand, or let the konnector create and patch CRDs")]
    Apply {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("CRD {name} was not served within {} seconds", ESTABLISH_LIMIT.as_secs())]
    NotEstablished { name: String },
}

/// Applies the CRDs and waits until they are served.
pub(crate) async fn crds(client: &Client) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::konnector() {
        let name = crd.name_any();
        let mut desired = json!(crd);
        desired.as_object_mut().map(|fields| fields.remove("status"));
        let failed = |source| InstallError::Apply { name: name.clone(), source };
        let params = PatchParams::apply(MANAGER).force();
        let mut applied = api.patch(&name, &params, &kube::api::Patch::Apply(&desired)).await.map_err(failed)?;
        let deadline = Instant::now() + ESTABLISH_LIMIT;
        while !is_established(&applied) {
            if Instant::now() > deadline {
                return Err(InstallError::NotEstablished { name });
            }
            sleep(Duration::from_millis(50)).await;
            applied = api.get(&name).await.map_err(failed)?;
        }
        info!(crd = name, "CRD is served");
    }
    Ok(())
}
