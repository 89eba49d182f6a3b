//! The check that the CRDs of a service are installed and served.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _};

use super::finding::Check;
use crate::{install::is_established, telemetry::ErrorChain};

/// Checks each CRD of a service.
pub async fn crds(
    client: &Client,
    service: &str,
    crds: &[CustomResourceDefinition],
    docs: &str,
) -> Vec<Check> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut checks = Vec::new();
    for crd in crds {
        let name = crd.name_any();
        let result = match api.get_opt(&name).await {
            Ok(Some(found)) => judge(&found, crd),
            Ok(None) => Err("it is not installed".to_owned()),
            Err(error) => Err(ErrorChain(&error).to_string()),
        };
        let cure = format!(
            "start the {service}, which installs it, or kubectl apply -f charts/{service}/files/crds"
        );
        checks.push(Check::new(format!("CRD {name}"), result, cure, docs));
    }
    checks
}

fn judge(found: &CustomResourceDefinition, wanted: &CustomResourceDefinition) -> Result<String, String> {
    let serves =
        |name: &str| found.spec.versions.iter().any(|version| version.name == name && version.served);
    let missing: Vec<_> = wanted
        .spec
        .versions
        .iter()
        .map(|version| version.name.as_str())
        .filter(|name| !serves(name))
        .collect();
    if !is_established(found) {
        Err("it is not served yet".to_owned())
    } else if !missing.is_empty() {
        Err(format!("it does not serve {}", missing.join(", ")))
    } else {
        Ok("it is served".to_owned())
    }
}
