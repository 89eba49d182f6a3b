//! Kubeconfigs from Secrets: one watch on one object per reference, only in namespaces that are allowed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use portolan_core::{
    api::kubebind::{ClusterSecretKeyRef, LABEL_PROVIDER_KUBECONFIG},
    condition::Verdict,
    digest::sha256_hex,
    kubeconfig::{self, KubeconfigError, RestrictedKubeconfig},
};
use portolan_runtime::{tasks::Tasks, telemetry::ErrorChain, watch::follow_object};

/// A kubeconfig that can be used.
#[derive(Debug)]
pub struct ProviderAccess {
    pub kubeconfig: RestrictedKubeconfig,
    /// A hash of the content: another content is another access.
    pub fingerprint: String,
    /// Uid of the Secret, where it says that the provider renews it.
    pub renewed: Option<String>,
}

/// The target of a reference to a Secret.
#[derive(Clone, Debug)]
pub enum SecretState {
    /// Not read yet.
    Pending,
    /// In a namespace whose Secrets we do not read.
    NamespaceNotAllowed { allowed: String },
    /// The API server does not let us read it.
    Unreadable(String),
    /// It does not exist.
    NotFound,
    /// It lacks the key.
    KeyMissing,
    /// The key's content is not a kubeconfig that we use.
    Invalid(KubeconfigError),
    /// A kubeconfig.
    Valid(Arc<ProviderAccess>),
}

impl SecretState {
    /// The condition `SecretValid`.
    pub fn verdict(&self, reference: &ClusterSecretKeyRef) -> Verdict {
        let ClusterSecretKeyRef { name, namespace, key } = reference;
        let secret = format!("Kubeconfig secret {namespace}/{name}");
        let invalid = |message: String| Verdict::error("KubeconfigSecretInvalid", message);
        match self {
            Self::Pending => {
                Verdict::pending("KubeconfigSecretPending", format!("{secret} has not been read yet."))
            }
            Self::NamespaceNotAllowed { allowed } => Verdict::error(
                "SecretNamespaceNotAllowed",
                format!(
                    "{secret} is not read: Secrets are read in these namespaces: {allowed}. Move it, or add its namespace to --secret-namespaces."
                ),
            ),
            Self::Unreadable(why) => {
                Verdict::error("KubeconfigSecretForbidden", format!("{secret} cannot be read: {why}"))
            }
            Self::NotFound => Verdict::error("KubeconfigSecretNotFound", format!("{secret} not found.")),
            Self::KeyMissing => invalid(format!("{secret} is missing {key:?} string key.")),
            Self::Invalid(why) => invalid(format!("{secret} has an invalid kubeconfig: {why}")),
            Self::Valid(_) => Verdict::holds(),
        }
    }
}

/// All Secrets that are watched.
pub struct SecretWatches {
    client: Client,
    tasks: Tasks,
    allowed: BTreeSet<String>,
    watched: Mutex<HashMap<ClusterSecretKeyRef, WatchedSecret>>,
    notify: Arc<dyn Fn(&ClusterSecretKeyRef) + Send + Sync>,
}

struct WatchedSecret {
    tasks: Tasks,
    state: SecretState,
}

impl SecretWatches {
    pub fn new(
        client: Client,
        tasks: &Tasks,
        allowed: BTreeSet<String>,
        notify: Arc<dyn Fn(&ClusterSecretKeyRef) + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self { client, tasks: tasks.clone(), allowed, watched: Mutex::default(), notify })
    }

    /// Resolves a reference as of now. The first time it is asked for, a watch begins.
    pub fn state(self: &Arc<Self>, reference: &ClusterSecretKeyRef) -> SecretState {
        if !self.allowed.contains(&reference.namespace) {
            let allowed = self.allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return SecretState::NamespaceNotAllowed { allowed };
        }
        let mut watched = self.watched.lock();
        if let Some(known) = watched.get(reference) {
            return known.state.clone();
        }
        let tasks = self.tasks.child();
        self.spawn_watch(&tasks, reference);
        watched.insert(reference.clone(), WatchedSecret { tasks, state: SecretState::Pending });
        SecretState::Pending
    }

    /// Ends the watches that nobody refers to any more.
    pub fn retain(&self, is_referenced: impl Fn(&ClusterSecretKeyRef) -> bool) {
        self.watched.lock().retain(|reference, watched| {
            let keep = is_referenced(reference);
            if !keep {
                watched.tasks.cancel();
            }
            keep
        });
    }

    fn spawn_watch(self: &Arc<Self>, tasks: &Tasks, reference: &ClusterSecretKeyRef) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &reference.namespace);
        let (watches, reference) = (Arc::clone(self), reference.clone());
        tasks.spawn("secret", async move {
            let name = reference.name.clone();
            follow_object(api, &name, |event| {
                let state = match event {
                    Ok(secret) => state_of(secret.as_ref(), &reference.key),
                    Err(error) => SecretState::Unreadable(ErrorChain(&error).to_string()),
                };
                watches.update(&reference, state);
            })
            .await;
        });
    }

    fn update(&self, reference: &ClusterSecretKeyRef, state: SecretState) {
        let mut watched = self.watched.lock();
        let Some(known) = watched.get_mut(reference) else { return };
        let passing_fault =
            matches!((&known.state, &state), (SecretState::Valid(_), SecretState::Unreadable(_)));
        if passing_fault {
            return;
        }
        known.state = state;
        drop(watched);
        (self.notify)(reference);
    }
}

/// Judges a Secret, if there is one.
pub fn state_of(secret: Option<&Secret>, key: &str) -> SecretState {
    let Some(secret) = secret else { return SecretState::NotFound };
    let Some(content) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return SecretState::KeyMissing;
    };
    match kubeconfig::parse(&content.0) {
        Ok(kubeconfig) => {
            let said = secret.labels().get(LABEL_PROVIDER_KUBECONFIG).is_some_and(|said| said == "true");
            let renewed = secret.uid().filter(|_| said);
            let fingerprint = sha256_hex(&content.0);
            SecretState::Valid(Arc::new(ProviderAccess { kubeconfig, fingerprint, renewed }))
        }
        Err(error) => SecretState::Invalid(error),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn message(secret: Option<&Secret>) -> (String, String) {
        let reference = ClusterSecretKeyRef {
            name: "s".to_owned(),
            namespace: "default".to_owned(),
            key: "kubeconfig".to_owned(),
        };
        let verdict = state_of(secret, &reference.key).verdict(&reference);
        (verdict.reason, verdict.message)
    }

    fn secret(key: &str, content: &str) -> Secret {
        let data = [(key.to_owned(), ByteString(content.as_bytes().to_vec()))];
        Secret { data: Some(data.into()), ..Secret::default() }
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_in_the_words_of_the_contract() {
        let table = [
            (None, "KubeconfigSecretNotFound", "Kubeconfig secret default/s not found."),
            (
                Some(secret("config", "")),
                "KubeconfigSecretInvalid",
                "Kubeconfig secret default/s is missing \"kubeconfig\" string key.",
            ),
            (
                Some(secret("kubeconfig", "current-context: x\n")),
                "KubeconfigSecretInvalid",
                "Kubeconfig secret default/s has an invalid kubeconfig: current context \"x\" not found",
            ),
        ];
        for (secret, reason, text) in table {
            assert_eq!(message(secret.as_ref()), (reason.to_owned(), text.to_owned()));
        }
    }
}
