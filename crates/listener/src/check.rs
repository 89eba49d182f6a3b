//! `listener check`: the management cluster, our rights in it, the Lease, and every ClusterAccess.

use std::path::Path;

use kube::{Api, Client, ResourceExt as _, api::ListParams};
use portolan_core::{
    api::gateway::{CONDITION_COMPLETE, CONDITION_READY, CONDITION_WATCHED, ClusterAccess},
    condition::ConditionStatus,
    standard_condition::{StandardCondition, find},
};
use portolan_runtime::{
    check::{self, Check, CheckArgs, RbacRules},
    tasks::Tasks,
    telemetry::ErrorChain,
};

use crate::{args::ListenerArgs, single};

const RULES: &str = include_str!("../../../charts/listener/files/rbac.yaml");

fn docs(place: &str) -> String {
    format!("docs/listener.md#{place}")
}

/// Runs the command.
pub fn run(args: &ListenerArgs, check: &CheckArgs) -> std::process::ExitCode {
    check::run(&args.log, check, || checks(args))
}

/// All checks, each after those that it depends on.
async fn checks(args: &ListenerArgs) -> Vec<Check> {
    let (client, mut checks) = match check::own_cluster(&args.client, "listener", &docs("flags")).await {
        Ok(reached) => reached,
        Err(checks) => return checks,
    };
    checks.extend(if args.multicluster {
        management(args, &client).await
    } else {
        vec![credential(args).await]
    });
    if args.stream.stream_address.is_some() {
        checks.push(check::tls(&args.tls, args.stream.plain_http, &Tasks::default(), &docs("stream")).await);
    }
    if let Some(directory) = args.directory() {
        let cure = "let the listener's user write there, or set --definitions-dir";
        let title = format!("directory {}", directory.display());
        checks.push(Check::new(title, writable(&directory), cure, docs("files")));
    }
    if args.multicluster {
        checks.extend(clusters(&client).await);
    }
    checks
}

/// The listener's place in the management cluster.
async fn management(args: &ListenerArgs, client: &Client) -> Vec<Check> {
    let mut checks =
        check::crds(client, "listener", &portolan_core::crds::listener(), &docs("install")).await;
    checks.extend(rights(args, client).await);
    let cure = "start the listener; where it runs elsewhere, give --lease-namespace and --lease-name";
    let settings = args.lease.settings(&args.pod, "portolan-listener");
    checks.push(check::lease(client, &settings, "running listener", cure, &docs("install")).await);
    checks
}

/// The credential of the single cluster: only this, and nothing else of the cluster, is needed.
async fn credential(args: &ListenerArgs) -> Check {
    let found = single::target(&args.client).await;
    let found = found.map(|target| target.connection.server).map_err(|problem| problem.to_string());
    let cure = "give a kubeconfig with a token or a client certificate";
    Check::new("credential for gateways", found, cure, docs("serve-a-single-cluster"))
}

/// Tries to write a file, whose name the listener removes if we cannot.
fn writable(directory: &Path) -> Result<String, String> {
    let file = directory.join(".portolan-check.tmp");
    let tried = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&file, b""));
    let tried = tried.and_then(|()| std::fs::remove_file(&file));
    tried.map(|()| "can be written to".to_owned()).map_err(|error| error.to_string())
}

async fn rights(args: &ListenerArgs, client: &Client) -> Vec<Check> {
    let release = args.lease.settings(&args.pod, "portolan-listener").namespace;
    let namespaces: Vec<_> = args.allowed_namespaces().into_iter().collect();
    let cure = "give the listener's account the rules of charts/listener/files/rbac.yaml";
    let needed = |rules: &RbacRules| rules.rights(&release, &namespaces);
    check::chart_rights(client, RULES, needed, cure, &docs("install")).await
}

/// The conditions of each ClusterAccess.
async fn clusters(client: &Client) -> Vec<Check> {
    let api: Api<ClusterAccess> = Api::all(client.clone());
    match api.list(&ListParams::default()).await {
        Ok(found) if found.items.is_empty() => {
            let why = "there is no ClusterAccess yet";
            vec![Check::skipped("clusters", why, docs("clusteraccess"))]
        }
        Ok(found) => found.items.iter().flat_map(of_cluster).collect(),
        Err(error) => vec![Check::skipped("clusters", ErrorChain(&error).to_string(), docs("clusteraccess"))],
    }
}

fn of_cluster(access: &ClusterAccess) -> Vec<Check> {
    let name = access.name_any();
    let conditions = access.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let check = |aspect: &str, r#type: &str, cure: &str| {
        let title = format!("{aspect} of cluster {name}");
        match find(conditions, r#type) {
            Some(said) => Check::new(title, verdict(said), cure, docs("troubleshooting")),
            None => Check::skipped(title, "the listener has said nothing of it", docs("troubleshooting")),
        }
    };
    vec![
        check("document", CONDITION_READY, "do what the message says; the page lists every reason"),
        check("APIs", CONDITION_COMPLETE, "see the extension API servers of that cluster"),
        check("watches", CONDITION_WATCHED, "give the credential the rights that the page lists"),
    ]
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
        let condition = |r#type: &str, status: &str| json!({"type": r#type, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let access = json!({
            "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess",
            "metadata": {"name": "a"}, "spec": {},
            "status": {"conditions": [condition("Ready", "True"), condition("Watched", "False")]},
        });
        let checks = of_cluster(&serde_json::from_value(access).unwrap());
        assert_eq!(checks.iter().map(|check| check.ok).collect::<Vec<_>>(), [Some(true), None, Some(false)]);
        assert_eq!(checks[2].detail, "R: m");
    }

    #[test]
    fn a_directory_is_tried() {
        let home = tempfile::tempdir().unwrap();
        assert!(writable(&home.path().join("new")).is_ok());
        assert_eq!(std::fs::read_dir(home.path().join("new")).unwrap().count(), 0, "nothing is left");
        std::fs::write(home.path().join("file"), "").unwrap();
        assert!(writable(&home.path().join("file")).is_err());
    }
}
