//! `provider consumers`: who there is, when each was heard of last, what it has bound, and until when it may.

mod rows;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::ListParams};
use portolan_core::api::kubebind::{APIServiceExport, ClusterBinding, LABEL_CONSUMER, PROVIDER_KUBECONFIG};
use portolan_runtime::{args::ClientArgs, client, clock, process::ProcessFailure};

pub(super) use self::rows::{Row, rows as summarize};
use self::rows::{Seen, rows, table};
use crate::args::TableOrJson;

/// A part that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to list {what}: this command needs the right to list them in all namespaces")]
struct Unreadable {
    what: &'static str,
    #[source]
    source: kube::Error,
}

/// Lists the consumers.
pub(super) async fn list(cluster: ClientArgs, output: TableOrJson) -> Result<(), ProcessFailure> {
    let rows = rows(&see(&client::connect(&cluster).await?).await?);
    match output {
        TableOrJson::Json => super::print(&format!("{}\n", serde_json::to_string_pretty(&rows)?)),
        TableOrJson::Table => super::print(&table(&rows, clock::now())),
    }
    Ok(())
}

/// Everything about consumers that the cluster has.
pub(super) async fn see(client: &Client) -> Result<Seen, ProcessFailure> {
    let failed = |what| move |source| Unreadable { what, source };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let contracts = namespaces.list(&ListParams::default().labels(LABEL_CONSUMER)).await;
    let bindings: Api<ClusterBinding> = Api::all(client.clone());
    let exports: Api<APIServiceExport> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::all(client.clone());
    let named = ListParams::default().fields(&format!("metadata.name={PROVIDER_KUBECONFIG}"));
    Ok(Seen {
        contracts: contracts.map_err(failed("namespaces"))?.items,
        bindings: bindings.list(&ListParams::default()).await.map_err(failed("ClusterBindings"))?.items,
        exports: exports.list(&ListParams::default()).await.map_err(failed("APIServiceExports"))?.items,
        kubeconfigs: secrets.list(&named).await.map_err(failed("Secrets named kubeconfig"))?.items,
    })
}
