//! A service's own CRDs, brought up to date when it starts.

use std::time::Duration;

use clap::{Args, ValueEnum};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use portolan_core::digest::sha256_hex;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::apply::code;

/// Annotation on our own CRDs: which text of ours they were made of.
const ANNOTATION_HASH: &str = "kube-bind.io/crd-hash";
/// Limit for an API server to serve a new CRD.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);

/// Flags for the installation of CRDs.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Installation")]
pub struct InstallArgs {
    /// Choice at the start: bring our own CRDs up to date, make only those that are missing, or leave them to whoever
    /// installs us.
    #[arg(long, default_value = "always", value_enum, value_name = "WHEN")]
    pub install_crds: InstallCrds,
}

/// When a service installs its CRDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InstallCrds {
    /// At each start, so that they follow our version.
    Always,
    /// Only those that are not there.
    IfMissing,
    /// Somebody else does.
    Never,
}

/// Reasons why the CRDs could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The API server refuses it, or does not answer.
    #[error(
        "failed to install CRD {name}: apply charts/{chart}/files/crds by hand, or let the {chart} create and patch \
         CRDs"
    )]
    Apply {
        /// The CRD.
        name: String,
        /// The service, which is also its chart.
        chart: String,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
    /// Somebody else was to install it.
    #[error(
        "CRD {name} is not installed, and --install-crds=never does not install it: kubectl apply -f \
         charts/{chart}/files/crds"
    )]
    Missing {
        /// The CRD.
        name: String,
        /// The service, which is also its chart.
        chart: String,
    },
    /// It was installed, but its kind is not served.
    #[error("CRD {name} was not served within {} seconds", ESTABLISH_LIMIT.as_secs())]
    NotEstablished {
        /// The CRD.
        name: String,
    },
}

/// Brings the CRDs of a service to the cluster as `portolan-<service>` and waits until they are served.
///
/// # Errors
/// Names the CRD that is missing, and the remedy.
pub async fn crds(
    client: &Client,
    service: &str,
    crds: Vec<CustomResourceDefinition>,
    when: InstallCrds,
) -> Result<(), InstallError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds {
        let name = crd.name_any();
        let failed = |source| InstallError::Apply { name: name.clone(), chart: service.to_owned(), source };
        let mut found = match when {
            InstallCrds::Always => apply(&api, service, &crd).await.map_err(failed)?,
            InstallCrds::IfMissing => match api.get_opt(&name).await.map_err(failed)? {
                Some(found) => found,
                None => create(&api, service, &crd).await.map_err(failed)?,
            },
            InstallCrds::Never => api
                .get_opt(&name)
                .await
                .map_err(failed)?
                .ok_or_else(|| InstallError::Missing { name: name.clone(), chart: service.to_owned() })?,
        };
        let deadline = Instant::now() + ESTABLISH_LIMIT;
        while !is_established(&found) {
            if Instant::now() > deadline {
                return Err(InstallError::NotEstablished { name });
            }
            sleep(Duration::from_millis(50)).await;
            found = api.get(&name).await.map_err(failed)?;
        }
        info!(crd = name, "CRD is served");
    }
    Ok(())
}

async fn apply(
    api: &Api<CustomResourceDefinition>,
    service: &str,
    crd: &CustomResourceDefinition,
) -> Result<CustomResourceDefinition, kube::Error> {
    let mut desired = json!(crd);
    desired.as_object_mut().map(|fields| fields.remove("status"));
    // What the API server has tells nothing of what is no longer in ours.
    let hash = sha256_hex(desired.to_string().as_bytes());
    desired["metadata"]["annotations"][ANNOTATION_HASH] = hash.into();
    if let Some(found) = api.get_opt(&crd.name_any()).await?
        && covers(&json!(found), &desired)
    {
        return Ok(found);
    }
    let params = PatchParams::apply(&format!("portolan-{service}")).force();
    api.patch(&crd.name_any(), &params, &Patch::Apply(&desired)).await
}

/// Makes a CRD that was not there; one that somebody else made meanwhile is as good.
async fn create(
    api: &Api<CustomResourceDefinition>,
    service: &str,
    crd: &CustomResourceDefinition,
) -> Result<CustomResourceDefinition, kube::Error> {
    let params = PostParams { field_manager: Some(format!("portolan-{service}")), dry_run: false };
    match api.create(&params, crd).await {
        Err(error) if code(&error) == 409 => api.get(&crd.name_any()).await,
        other => other,
    }
}

/// Returns `true` if the API server serves a CRD.
pub fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
}

/// Returns `true` if `observed` has everything that `wanted` has. The API server adds defaults and drops what is
/// empty, which makes no difference.
pub fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => {
            wanted.iter().all(|(field, value)| covers(observed.get(field).unwrap_or(&Value::Null), value))
        }
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len() && observed.iter().zip(wanted).all(|(o, w)| covers(o, w))
        }
        (Value::Null, wanted) => is_empty(wanted),
        (observed, wanted) => observed == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => Map::is_empty(map),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
