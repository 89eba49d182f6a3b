//! Resolves the references of a valid ClusterAccess into a target.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use portolan_core::api::gateway::{KeyReference, SecretReference};
use portolan_runtime::objects::{ObjectKey, Referred};

use super::{
    keys::{KeySearch, of_config_map, of_secret, present},
    spec::{AuthoritySource, CredentialSource, ValidatedAccess},
    target::{ClusterTarget, CredentialMaterial},
};
use crate::{context::ReconcileContext, problem::Problem};

/// The target of a ClusterAccess. None while a reference has not been read yet.
pub fn target(
    context: &ReconcileContext,
    wanted: &ValidatedAccess,
    now: Timestamp,
) -> Result<Option<ClusterTarget>, Problem> {
    let authorities = authorities(context, wanted)?;
    let material = material(context, &wanted.credential)?;
    let is_pending = wanted.authorities.is_some() && authorities.is_none();
    let Some(material) = material.filter(|_| !is_pending) else { return Ok(None) };
    ClusterTarget::new(wanted.host.as_deref(), authorities, material, now).map(Some)
}

fn authorities(context: &ReconcileContext, wanted: &ValidatedAccess) -> Result<Option<Vec<u8>>, Problem> {
    let sought = |reference| KeySearch { what: "CA", usual: &["ca.crt"], reference };
    match &wanted.authorities {
        None => Ok(None),
        Some(AuthoritySource::Secret(reference)) => {
            of_secret(&context.secrets.state(&key(reference)), sought(reference))
        }
        Some(AuthoritySource::ConfigMap(reference)) => {
            of_config_map(&context.config_maps.state(&key(reference)), sought(reference))
        }
    }
}

fn material(
    context: &ReconcileContext,
    source: &CredentialSource,
) -> Result<Option<CredentialMaterial>, Problem> {
    let secret = |reference: &KeyReference| context.secrets.state(&key(reference));
    match source {
        CredentialSource::Token(reference) => {
            let sought = KeySearch { what: "token", usual: &["token"], reference };
            Ok(of_secret(&secret(reference), sought)?.map(CredentialMaterial::Token))
        }
        CredentialSource::Kubeconfig(reference) => {
            let sought = KeySearch { what: "kubeconfig", usual: &["kubeconfig", "token"], reference };
            Ok(of_secret(&secret(reference), sought)?.map(CredentialMaterial::Kubeconfig))
        }
        CredentialSource::ClientCertificate(reference) => {
            let place = (reference.namespace.clone(), reference.name.clone());
            certificate(&context.secrets.state(&place), reference)
        }
        CredentialSource::ServiceAccount(reference) => {
            Ok(context.accounts.token(reference)?.map(CredentialMaterial::Token))
        }
    }
}

fn certificate(
    state: &Referred<Secret>,
    reference: &SecretReference,
) -> Result<Option<CredentialMaterial>, Problem> {
    let SecretReference { name, namespace } = reference;
    let Some(secret) = present(state, "Secret", namespace, name)? else { return Ok(None) };
    let content = |key: &str| {
        let found = secret.data.as_ref().and_then(|data| data.get(key));
        found.map(|bytes| bytes.0.clone()).ok_or_else(|| {
            let message = format!(
                "Secret {namespace}/{name} has no key {key:?}: a client certificate needs tls.crt and tls.key"
            );
            Problem::lasting("KeyMissing", message)
        })
    };
    Ok(Some(CredentialMaterial::ClientCertificate {
        certificate: content("tls.crt")?,
        key: content("tls.key")?,
    }))
}

fn key(reference: &KeyReference) -> ObjectKey {
    (reference.namespace.clone(), reference.name.clone())
}

/// The objects that a ClusterAccess refers to: Secrets and ConfigMaps.
pub fn referred(wanted: &ValidatedAccess) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
    let (mut secrets, mut config_maps) = (Vec::new(), Vec::new());
    match &wanted.credential {
        CredentialSource::Token(reference) | CredentialSource::Kubeconfig(reference) => {
            secrets.push(key(reference));
        }
        CredentialSource::ClientCertificate(reference) => {
            secrets.push((reference.namespace.clone(), reference.name.clone()));
        }
        CredentialSource::ServiceAccount(_) => {}
    }
    match &wanted.authorities {
        Some(AuthoritySource::Secret(reference)) => secrets.push(key(reference)),
        Some(AuthoritySource::ConfigMap(reference)) => config_maps.push(key(reference)),
        None => {}
    }
    (secrets, config_maps)
}
