//! `konnector plan delete BUNDLE` and `plan withdraw BUNDLE`: what would go, and where, without changing anything.

use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle};
use portolan_runtime::{client, process::ProcessFailure};

use super::{
    inventory::{BroughtCrd, bindings_of, brought},
    say,
};
use crate::{
    args::{KonnectorArgs, OnWithdraw},
    policy,
};

/// Prints what deleting a bundle would take away.
pub(super) async fn delete(args: &KonnectorArgs, name: &str) -> Result<(), ProcessFailure> {
    let client = client::connect(&args.client).await?;
    let api: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let bundle =
        api.get_opt(name).await?.ok_or_else(|| format!("there is no APIServiceBindingBundle {name}"))?;
    let bindings = bindings_of(&client, name).await?;
    say(&format!(
        "kubectl delete apiservicebindingbundle {name} removes the bundle and {} bindings:",
        bindings.len()
    ));
    for binding in &bindings {
        say(&format!("  APIServiceBinding {}", binding.name_any()));
        let keeps = keeps_copies(&bundle, binding);
        for kind in brought(&client, binding).await? {
            for line in lines(&kind, keeps) {
                say(&format!("    {line}"));
            }
        }
    }
    let secret = &bundle.spec.kubeconfig_secret_ref;
    say(&format!(
        "It keeps the Secret {}/{}, which must stay until the bundle is gone, and the namespaces on the provider.",
        secret.namespace, secret.name
    ));
    Ok(())
}

/// Prints what would become of objects and copies if the provider withdrew the exports of a bundle.
pub(super) async fn withdraw(args: &KonnectorArgs, name: &str) -> Result<(), ProcessFailure> {
    let client = client::connect(&args.client).await?;
    let api: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let bundle =
        api.get_opt(name).await?.ok_or_else(|| format!("there is no APIServiceBindingBundle {name}"))?;
    say(&format!("If the provider withdraws what bundle {name} has bound:"));
    for binding in &bindings_of(&client, name).await? {
        say(&format!("  APIServiceBinding {} is deleted", binding.name_any()));
        let deletes = policy::said_on_withdraw(binding).or_else(|| policy::said_on_withdraw(&bundle));
        let deletes = deletes.unwrap_or(args.on_withdraw) == OnWithdraw::Delete;
        for kind in brought(&client, binding).await? {
            say(&format!("    {}", fate(&kind, deletes)));
        }
    }
    Ok(())
}

fn fate(kind: &BroughtCrd, deletes: bool) -> String {
    let (crd, objects) = (kind.crd.name_any(), kind.objects);
    let copies: usize = kind.copies.values().sum();
    match (deletes, objects) {
        (true, _) => format!(
            "CustomResourceDefinition {crd} is deleted with {objects} objects, and their {copies} copies, because of \
             on-withdraw=delete"
        ),
        (false, 0) => format!("CustomResourceDefinition {crd} is deleted: it has no objects"),
        (false, _) => format!(
            "CustomResourceDefinition {crd} stays with {objects} objects that are no longer synced; {copies} copies \
             stay on the provider"
        ),
    }
}

fn keeps_copies(bundle: &APIServiceBindingBundle, binding: &APIServiceBinding) -> bool {
    policy::orphans(bundle) || policy::orphans(binding)
}

fn lines(kind: &BroughtCrd, keeps_copies: bool) -> Vec<String> {
    let copies: usize = kind.copies.values().sum();
    let places = if copies == 0 { String::new() } else { format!(": {}", kind.places()) };
    let mut lines = vec![format!(
        "deleted from this cluster: CustomResourceDefinition {} with {} objects",
        kind.crd.name_any(),
        kind.objects
    )];
    lines.push(if keeps_copies {
        format!(
            "stay on the provider, because of kube-bind.io/deletion-policy: Orphan: {copies} copies{places}"
        )
    } else {
        format!("deleted from the provider: {} copies{places}", copies.saturating_sub(kind.orphans))
    });
    if kind.orphans > 0 && !keeps_copies {
        lines.push(format!(
            "stay on the provider, because their objects have kube-bind.io/deletion-policy: Orphan: {} copies",
            kind.orphans
        ));
    }
    lines
}
