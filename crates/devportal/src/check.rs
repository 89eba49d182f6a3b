//! `devportal check`: this cluster, our rights in it, the foreign kinds, the Lease, and every APIProduct.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use portolan_core::{
    api::devportal::{ANNOTATION_OWNER, APIProduct},
    condition::ConditionStatus,
    standard_condition::StandardCondition,
};
use portolan_runtime::{
    check::{self, Check, CheckArgs},
    telemetry::ErrorChain,
};

use crate::{NAME, args::ControllerArgs};

const RULES: &str = include_str!("../../../charts/devportal/files/rbac.yaml");
/// Kinds of others that are read.
const FOREIGN: [&str; 3] = [
    "httproutes.gateway.networking.k8s.io",
    "authpolicies.kuadrant.io",
    "planpolicies.extensions.kuadrant.io",
];

fn docs(place: &str) -> String {
    format!("docs/devportal.md#{place}")
}

/// Runs the command.
pub fn run(args: &ControllerArgs, check: &CheckArgs) -> std::process::ExitCode {
    check::run(&args.log, check, || checks(args))
}

/// All checks, each after those that it depends on.
async fn checks(args: &ControllerArgs) -> Vec<Check> {
    let (client, mut checks) = match check::own_cluster(&args.client, "devportal", &docs("flags")).await {
        Ok(reached) => reached,
        Err(checks) => return checks,
    };
    checks
        .extend(check::crds(&client, "devportal", &portolan_core::crds::devportal(), &docs("install")).await);
    checks.extend(foreign(&client).await);
    checks.extend(rights(args, &client).await);
    let cure = "start the controller; where it runs elsewhere, give --lease-namespace and --lease-name";
    let settings = args.lease.settings(&args.pod, NAME);
    checks.push(check::lease(&client, &settings, "running controller", cure, &docs("install")).await);
    checks.extend(products(args, &client).await);
    checks
}

/// Each kind of others that is read.
async fn foreign(client: &Client) -> Vec<Check> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut checks = Vec::new();
    for name in FOREIGN {
        let title = format!("kind {name}");
        let cure = "install the Gateway API and Kuadrant; until then, nothing of this kind is found";
        checks.push(match api.get_metadata_opt(name).await {
            Ok(Some(_)) => Check::new(title, Ok("it is installed".to_owned()), cure, docs("install")),
            Ok(None) => Check::new(title, Err("it is not installed".to_owned()), cure, docs("install")),
            Err(error) => Check::skipped(title, ErrorChain(&error).to_string(), docs("install")),
        });
    }
    checks
}

async fn rights(args: &ControllerArgs, client: &Client) -> Vec<Check> {
    let release = args.lease.settings(&args.pod, NAME).namespace;
    let cure = "give the controller's account the rules of charts/devportal/files/rbac.yaml";
    check::chart_rights(client, RULES, |rules| rules.rights(&release, &[]), cure, &docs("install")).await
}

/// The conditions of each APIProduct.
async fn products(args: &ControllerArgs, client: &Client) -> Vec<Check> {
    let apis: Vec<Api<APIProduct>> = if args.namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        args.namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    };
    let mut checks = Vec::new();
    for api in apis {
        match api.list(&ListParams::default()).await {
            Ok(found) => checks.extend(found.items.iter().flat_map(of_product)),
            Err(error) => {
                checks.push(Check::skipped("products", ErrorChain(&error).to_string(), docs("conditions")));
            }
        }
    }
    if checks.is_empty() {
        checks.push(Check::skipped("products", "there is no APIProduct yet", docs("quick-start")));
    }
    checks
}

fn of_product(product: &APIProduct) -> Vec<Check> {
    let name = format!("{}/{}", product.namespace().unwrap_or_default(), product.name_any());
    let conditions = product.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let cure = "do what the message says; the page lists every reason";
    let of = |said: &StandardCondition| {
        Check::new(format!("{} of product {name}", said.r#type), verdict(said), cure, docs("conditions"))
    };
    let mut checks: Vec<_> = conditions.iter().filter(|said| said.reason != "NoOIDCAuth").map(of).collect();
    if checks.is_empty() {
        let why = "the controller has said nothing of it";
        checks.push(Check::skipped(format!("product {name}"), why, docs("conditions")));
    }
    if !product.annotations().contains_key(ANNOTATION_OWNER) {
        let why = format!("it has no annotation {ANNOTATION_OWNER}");
        let cure =
            "annotate it with the name of its owner; until then only administrators decide about its keys";
        checks.push(Check::new(format!("owner of product {name}"), Err(why), cure, docs("owners")));
    }
    checks
}

fn verdict(said: &StandardCondition) -> Result<String, String> {
    let text = format!("{}: {}", said.reason, said.message);
    if said.status == ConditionStatus::True { Ok(text) } else { Err(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_condition_is_a_check() {
        let condition = |r#type: &str, status: &str, reason: &str| json!({"type": r#type, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let product = json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"displayName": "A", "targetRef": {"group": "g", "kind": "k", "name": "n"}},
            "status": {"conditions": [condition("Ready", "True", "R"), condition("PlanPolicyDiscovered", "False", "R"), condition("OIDCDiscovered", "False", "NoOIDCAuth")]},
        });
        let checks = of_product(&serde_json::from_value(product).unwrap());
        assert_eq!(
            checks.iter().map(|check| check.ok).collect::<Vec<_>>(),
            [Some(true), Some(false), Some(false)]
        );
        assert_eq!(checks[1].detail, "R: m");
    }
}
