//! A service's own CRDs, brought up to date when it starts.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::info;

/// How long an API server may take to serve a new CRD.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);

/// Why the CRDs are not there.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The API server refuses it, or does not answer.
    #[error(
        "failed to install CRD {name}: apply charts/{chart}/crds by hand, or let the {chart} create and patch CRDs"
    )]
    Apply {
        /// The CRD.
        name: String,
        /// The service, which is also its chart.
        chart: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// It was installed, but its kind is not there.
    #[error("CRD {name} was not served within {} seconds", ESTABLISH_LIMIT.as_secs())]
    NotEstablished {
        /// The CRD.
        name: String,
    },
}

/// Applies the CRDs of a service as `portolan-<service>` and waits until they are served.
///
/// # Errors
/// Names the CRD that is not there, and what to do about it.
pub async fn crds(
    client: &Client,
    service: &str,
    crds: Vec<CustomResourceDefinition>,
) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(&format!("portolan-{service}")).force();
    for crd in crds {
        let name = crd.name_any();
        let mut desired = json!(crd);
        desired.as_object_mut().map(|fields| fields.remove("status"));
        let failed = |source| InstallError::Apply { name: name.clone(), chart: service.to_owned(), source };
        let mut applied = api.patch(&name, &params, &Patch::Apply(&desired)).await.map_err(failed)?;
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

/// Whether the API server serves a CRD.
pub fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
}
