//! The contract namespace with its account, and a token for it.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, Secret, ServiceAccount},
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{Api, Client, Resource, ResourceExt as _, api::PostParams};
use portolan_core::api::kubebind::{
    ANNOTATION_EXPORTS, LABEL_CONSUMER, LABEL_MANAGED_BY, PROVIDER_KUBECONFIG,
};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{options::KubeconfigOptions, secret::TokenLife};
use crate::{BINDER, FIELD_MANAGER, MANAGED_BY, is_ours};

/// Seconds by which a token may be shorter than asked without a notice.
const TOLERANCE_SECONDS: i64 = 60;
/// The API server issues no token for less, in seconds.
pub const SHORTEST: i64 = 600;

/// Reasons why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("failed to {action} {what}")]
    Io {
        action: &'static str,
        what: String,
        #[source]
        source: Box<WriteError>,
    },
    #[error(
        "namespace {namespace} exists and is not for consumer {consumer}: choose another --consumer, or if it is \
         meant: kubectl label namespace {namespace} {LABEL_CONSUMER}={consumer}"
    )]
    ForeignNamespace { namespace: String, consumer: String },
    #[error("namespace {0} is terminating: run this again once it is deleted")]
    Terminating(String),
    #[error("the API server answered the token request without a token")]
    NoToken,
}

fn failed(action: &'static str, what: &str) -> impl FnOnce(WriteError) -> AccountError {
    move |source| AccountError::Io { action, what: what.to_owned(), source: Box::new(source) }
}

/// Makes what is missing.
pub(super) async fn ensure(client: &Client, options: &KubeconfigOptions) -> Result<(), AccountError> {
    ensure_namespace(client, options).await?;
    ensure_account(client, &options.namespace).await
}

/// Makes what is missing of the account in a contract namespace.
pub async fn ensure_account(client: &Client, namespace: &str) -> Result<(), AccountError> {
    let labels = json!({LABEL_MANAGED_BY: MANAGED_BY});
    let metadata = json!({"name": BINDER, "labels": labels});
    ensure_object::<ServiceAccount>(client, namespace, &json!({"metadata": metadata}), |_| true).await?;
    let role = json!({"metadata": metadata, "rules": rules()});
    ensure_object::<Role>(client, namespace, &role, |seen| json!(seen.rules) == rules()).await?;
    ensure_object::<RoleBinding>(client, namespace, &binding(&metadata, namespace), |_| true).await
}

async fn ensure_namespace(client: &Client, options: &KubeconfigOptions) -> Result<(), AccountError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let name = &options.namespace;
    let found = api.get_opt(name).await.map_err(|error| failed("read namespace", name)(error.into()))?;
    if let Some(found) = &found {
        check(found, options)?;
        let exports = found.annotations().get(ANNOTATION_EXPORTS);
        if options.exports.is_none() || options.exports.as_ref() == exports {
            return Ok(());
        }
    }
    let seen = Precondition::of(found.as_ref().map(|found| &found.metadata), FIELD_MANAGER);
    let written = apply::apply::<Namespace>(&api, FIELD_MANAGER, &namespace(options), &seen).await;
    written.map(|_| ()).map_err(failed("write namespace", name))
}

fn check(found: &Namespace, options: &KubeconfigOptions) -> Result<(), AccountError> {
    let namespace = options.namespace.clone();
    if found.labels().get(LABEL_CONSUMER) != Some(&options.consumer) {
        return Err(AccountError::ForeignNamespace { namespace, consumer: options.consumer.clone() });
    }
    if found.metadata.deletion_timestamp.is_some() {
        Err(AccountError::Terminating(namespace))
    } else {
        Ok(())
    }
}

fn namespace(options: &KubeconfigOptions) -> Value {
    let mut metadata = json!({"name": options.namespace, "labels": {LABEL_CONSUMER: options.consumer}});
    if let Some(exports) = &options.exports {
        metadata["annotations"] = json!({ANNOTATION_EXPORTS: exports});
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

/// Makes an object, or brings one of ours up to date. One of somebody else is kept as it is.
async fn ensure_object<K>(
    client: &Client,
    namespace: &str,
    desired: &Value,
    is_current: impl Fn(&K) -> bool,
) -> Result<(), AccountError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let what = format!("{} {namespace}/{BINDER}", K::kind(&()));
    let found = api.get_opt(BINDER).await.map_err(|error| failed("read", &what)(error.into()))?;
    if found.as_ref().is_some_and(|seen| !is_ours(seen) || is_current(seen)) {
        return Ok(());
    }
    let mut desired = desired.clone();
    desired["apiVersion"] = K::api_version(&()).into();
    desired["kind"] = K::kind(&()).into();
    let seen = Precondition::of(found.as_ref().map(Resource::meta), FIELD_MANAGER);
    match apply::apply::<K>(&api, FIELD_MANAGER, &desired, &seen).await {
        // The same command, run twice at once.
        Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
        Err(error) => Err(failed("write", &what)(error)),
    }
}

/// Rules of a konnector's work in the contract namespace, and nothing else.
fn rules() -> Value {
    let rule = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": ["kube-bind.io"], "resources": resources, "verbs": verbs});
    json!([
        // Copies that stand in no namespace are owned by the contract namespace.
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        // From here it renews its kubeconfig, where the consumer agrees.
        {
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": [PROVIDER_KUBECONFIG],
            "verbs": ["get", "list", "watch"],
        },
        rule(
            &["apiserviceexportrequests", "apiserviceexports", "boundschemas", "clusterbindings"],
            &["get", "list", "watch"],
        ),
        rule(&["apiservicenamespaces"], &["get", "list", "watch", "create", "delete"]),
        rule(&["apiserviceexports/status", "boundschemas/status", "clusterbindings/status"], &["patch"]),
    ])
}

fn binding(metadata: &Value, namespace: &str) -> Value {
    json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": BINDER},
        "subjects": [{"kind": "ServiceAccount", "name": BINDER, "namespace": namespace}],
    })
}

/// Keeps the kubeconfig where the provider renews it. False where somebody else has a Secret of that name.
pub async fn keep(client: &Client, namespace: &str, secret: &Secret) -> Result<bool, AccountError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let what = format!("Secret {namespace}/{PROVIDER_KUBECONFIG}");
    let found = api.get_opt(PROVIDER_KUBECONFIG).await;
    let found = found.map_err(|error| failed("read", &what)(error.into()))?;
    if found.as_ref().is_some_and(|found| !is_ours(found)) {
        return Ok(false);
    }
    match apply::apply_over(&api, FIELD_MANAGER, secret, found.as_ref()).await {
        // The same command, run twice at once.
        Ok(_) | Err(WriteError::Conflict(_)) => Ok(true),
        Err(error) => Err(failed("write", &what)(error)),
    }
}

/// A token of the account.
pub struct Token {
    pub text: String,
    pub life: TokenLife,
    /// Notice to print when the token is valid for less than was asked.
    pub(super) shortened: Option<String>,
}

pub(super) async fn token(client: &Client, options: &KubeconfigOptions) -> Result<Token, AccountError> {
    let asked = i64::try_from(options.token_duration.as_secs()).unwrap_or(i64::MAX);
    token_for(client, &options.namespace, asked).await
}

/// A token that is valid for so many seconds.
pub async fn token_for(client: &Client, namespace: &str, asked: i64) -> Result<Token, AccountError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let asked = asked.max(SHORTEST);
    let spec = TokenRequestSpec { expiration_seconds: Some(asked), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = api.create_token_request(BINDER, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| failed("get a token for ServiceAccount", BINDER)(error.into()))?;
    let status = answer.status.filter(|status| !status.token.is_empty()).ok_or(AccountError::NoToken)?;
    let expires = status.expiration_timestamp.0;
    let life = TokenLife { issued: clock::now(), expires };
    let granted = life.seconds();
    let is_short = granted + TOLERANCE_SECONDS < asked;
    let note = format!("the API server grants less time than requested: the token is valid until {expires}");
    Ok(Token { text: status.token, life, shortened: is_short.then_some(note) })
}
