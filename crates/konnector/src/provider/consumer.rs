//! Identity of the consumer cluster: the uid of its namespace `kube-system`, which a backup keeps.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use portolan_runtime::{apply::code, telemetry::ErrorChain};
use tokio::time::timeout;
use tracing::warn;

use super::contact::ANSWER_LIMIT;

const NAMESPACE: &str = "kube-system";

/// The consumer cluster.
pub struct ConsumerCluster {
    client: Client,
    uid: Mutex<Option<String>>,
}

/// Knowledge about the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClusterIdentity {
    Uid(String),
    /// It has not answered.
    NotYet,
    /// It does not let us see what it is.
    Hidden(String),
}

impl ConsumerCluster {
    pub fn new(client: Client) -> Self {
        Self { client, uid: Mutex::default() }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) async fn known(&self) -> ClusterIdentity {
        if let Some(uid) = self.uid.lock().clone() {
            return ClusterIdentity::Uid(uid);
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let Ok(answer) = timeout(ANSWER_LIMIT, api.get(NAMESPACE)).await else {
            return ClusterIdentity::NotYet;
        };
        match answer {
            Ok(namespace) => {
                let uid = namespace.uid().unwrap_or_default();
                *self.uid.lock() = Some(uid.clone());
                ClusterIdentity::Uid(uid)
            }
            Err(error) if [403, 404].contains(&code(&error)) => {
                ClusterIdentity::Hidden(ErrorChain(&error).to_string())
            }
            Err(error) => {
                warn!("cannot read namespace {NAMESPACE}: {}", ErrorChain(&error));
                ClusterIdentity::NotYet
            }
        }
    }
}
