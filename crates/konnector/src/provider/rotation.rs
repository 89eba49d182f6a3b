//! Takes the kubeconfig that the provider renews over into the consumer's Secret, where that Secret has the label for
//! it.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::{Api, Client};
use portolan_core::{
    api::kubebind::{ClusterSecretKeyRef, LABEL_PROVIDER_KUBECONFIG, PROVIDER_KUBECONFIG},
    auth::{TokenClaims, UnverifiedToken},
    digest::sha256_hex,
    kubeconfig::{self, KubeconfigCredentials, RestrictedKubeconfig},
};
use portolan_runtime::{
    apply::{self, WriteError},
    backoff::Backoff,
    events::EventReporter,
    telemetry::ErrorChain,
    watch::follow_object,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{offered::OfferedKubeconfig, session::Session};
use crate::secrets::ProviderAccess;

/// The first and the longest delay between attempts to write the consumer's Secret.
const RETRY: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_secs(1), std::time::Duration::from_secs(60));

impl Session {
    /// Takes over what the provider renews.
    pub(super) fn spawn_rotation(
        self: &Arc<Self>,
        rotation: RotationContext,
        reference: &ClusterSecretKeyRef,
        access: &Arc<ProviderAccess>,
    ) {
        let run = rotation.run(Arc::clone(self), reference.clone(), Arc::clone(access));
        let gate = self.gate.clone();
        self.tasks.spawn("rotation", async move {
            // What another contract offers is not for this consumer.
            gate.opened().await;
            run.await;
        });
    }
}

/// The parts of the consumer that the rotation needs.
#[derive(Clone)]
pub struct RotationContext {
    pub consumer: Client,
    pub reporter: EventReporter,
}

impl RotationContext {
    /// Follows the provider's Secret for as long as the session lasts. A new content makes a new session.
    pub(super) async fn run(
        self,
        session: Arc<Session>,
        reference: ClusterSecretKeyRef,
        access: Arc<ProviderAccess>,
    ) {
        let (name, key) = session.kubeconfig_secret().await;
        let api: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
        let (sender, mut offered) = watch::channel(None);
        let following = follow_object(api, &name, |event| {
            let Ok(secret) = event else { return };
            let content = secret.and_then(|secret| secret.data?.remove(&key));
            session.reports.set_offered(OfferedKubeconfig::of(
                content.as_ref().map(|content| &*content.0),
                &name,
                &key,
            ));
            sender.send_replace(content);
        });
        let taking = async {
            while offered.changed().await.is_ok() {
                let content = offered.borrow_and_update().clone();
                session.gate.opened().await;
                if let Some(content) = content.filter(|content| is_wanted(&content.0, &access)) {
                    self.take(&reference, &access, &content.0).await;
                }
            }
        };
        tokio::join!(following, taking);
    }

    /// Writes the Secret until that has worked, or it is not the one any more that was seen.
    async fn take(&self, reference: &ClusterSecretKeyRef, access: &ProviderAccess, content: &[u8]) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            match self.write(reference, access, content).await {
                Ok(()) => {
                    info!(secret = reference.name, "took over the kubeconfig that the provider has renewed");
                    return;
                }
                // Its owner has changed it: what follows from that is decided again.
                Err(WriteError::Conflict(_) | WriteError::Invalid(_)) => return,
                Err(WriteError::Forbidden(_)) => self.say_forbidden(reference).await,
                Err(error) => {
                    warn!(secret = reference.name, "cannot renew the kubeconfig: {}", ErrorChain(&error));
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn write(
        &self,
        reference: &ClusterSecretKeyRef,
        access: &ProviderAccess,
        content: &[u8],
    ) -> Result<(), WriteError> {
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": access.renewed},
            {"op": "test", "path": format!("/metadata/labels/{}", apply::escaped(LABEL_PROVIDER_KUBECONFIG)), "value": "true"},
            {
                "op": "replace", "path": format!("/data/{}", apply::escaped(&reference.key)),
                "value": BASE64_STANDARD.encode(content),
            },
        ]);
        let api: Api<Secret> = Api::namespaced(self.consumer.clone(), &reference.namespace);
        apply::json_patch::<Secret>(&api, &reference.name, None, operations).await.map(|_| ())
    }

    async fn say_forbidden(&self, reference: &ClusterSecretKeyRef) {
        let ClusterSecretKeyRef { name, namespace, .. } = reference;
        let note = format!(
            "The provider has renewed its kubeconfig, and the konnector may not write it to this Secret. Give its \
             ServiceAccount the Role: {{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"Role\",\"metadata\":\
             {{\"name\":\"kube-bind-{name}\",\"namespace\":\"{namespace}\"}},\"rules\":[{{\"apiGroups\":[\"\"],\
             \"resources\":[\"secrets\"],\"resourceNames\":[\"{name}\"],\"verbs\":[\"patch\"]}}]}}"
        );
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            ..ObjectReference::default()
        };
        self.reporter.warn(&on, "RenewalForbidden", "Renew", &note).await;
    }
}

/// The name and the key of the provider's Secret that a session follows.
impl Session {
    async fn kubeconfig_secret(&self) -> (String, String) {
        let named = self
            .contents
            .cluster_binding_listed()
            .await
            .map(|binding| binding.spec.kubeconfig_secret_ref.clone());
        named.map_or_else(
            || (PROVIDER_KUBECONFIG.to_owned(), PROVIDER_KUBECONFIG.to_owned()),
            |named| (named.name, named.key),
        )
    }
}

/// Returns `true` if the offered kubeconfig can be used and is not the one in use. A token that ends sooner is an
/// older one.
fn is_wanted(offered: &[u8], used: &ProviderAccess) -> bool {
    let Ok(new) = kubeconfig::parse(offered) else { return false };
    let ends_sooner = expiry(&new).zip(expiry(&used.kubeconfig)).is_some_and(|(new, used)| new < used);
    !ends_sooner && sha256_hex(offered) != used.fingerprint
}

/// When the token of a kubeconfig expires, in seconds since 1970.
fn expiry(kubeconfig: &RestrictedKubeconfig) -> Option<i64> {
    let KubeconfigCredentials::Token(token) = &kubeconfig.credentials else { return None };
    let claims = TokenClaims::unverified(&UnverifiedToken::parse(token.expose_secret()).ok()?).ok()?;
    claims.exp.map(|exp| exp.0)
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn kubeconfig(token: &str) -> Vec<u8> {
        kubeconfig_for("https://a", token)
    }

    fn kubeconfig_for(server: &str, token: &str) -> Vec<u8> {
        let value = json!({
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
        });
        value.to_string().into_bytes()
    }

    fn token(exp: i64) -> String {
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "https://kubernetes.default.svc", "exp": exp});
        format!("{}.{}.AAAA", part(json!({"alg": "RS256", "kid": "k"})), part(claims))
    }

    #[test]
    fn what_differs_is_taken_over_unless_it_ends_sooner() {
        let access = |content: &[u8]| ProviderAccess {
            kubeconfig: kubeconfig::parse(content).unwrap(),
            fingerprint: sha256_hex(content),
            renewed: None,
        };
        let (expiring, opaque) = (kubeconfig(&token(2000)), kubeconfig("opaque"));
        for (used, offered, expected) in [
            (&expiring, kubeconfig(&token(3000)), true),
            (&expiring, expiring.clone(), false),
            (&expiring, kubeconfig_for("https://b", &token(2000)), true),
            (&expiring, kubeconfig_for("https://b", &token(1000)), false),
            (&expiring, opaque.clone(), true),
            (&opaque, kubeconfig("another"), true),
            (&opaque, opaque.clone(), false),
            (&opaque, b"nonsense".to_vec(), false),
        ] {
            let said = String::from_utf8_lossy(&offered).into_owned();
            assert_eq!(is_wanted(&offered, &access(used)), expected, "{said}");
        }
    }
}
