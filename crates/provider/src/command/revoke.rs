//! `provider revoke`: recreates the account of a consumer, so that every token that it was given is void.

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{Api, Client, ResourceExt as _};
use portolan_core::api::kubebind::{LABEL_CONSUMER, PROVIDER_KUBECONFIG};
use portolan_runtime::{
    apply::{self, WriteError},
    args::ClientArgs,
    client,
    process::ProcessFailure,
};

use crate::{BINDER, is_ours, kubeconfig::account, kubeconfig::secret};

/// Reasons why nothing was revoked, or not all of it is as it should be.
#[derive(Debug, thiserror::Error)]
enum RevokeError {
    #[error("there is no consumer {0:?}: `provider consumers` lists them")]
    NoConsumer(String),
    #[error(
        "ServiceAccount {0}/{BINDER} was not made by this provider, so it is left alone: delete it by hand, and run \
         `provider kubeconfig` for a new one"
    )]
    Foreign(String),
    #[error("failed to {action} {what}")]
    Io {
        action: &'static str,
        what: String,
        #[source]
        source: Box<WriteError>,
    },
}

fn failed(action: &'static str, what: &str) -> impl FnOnce(WriteError) -> RevokeError {
    move |source| RevokeError::Io { action, what: what.to_owned(), source: Box::new(source) }
}

/// Recreates the account, and prints a kubeconfig for the new one where the old one is known.
pub(super) async fn revoke(
    cluster: ClientArgs,
    consumer: String,
    namespace: String,
) -> Result<(), ProcessFailure> {
    let client = client::connect(&cluster).await?;
    expect(&client, &consumer, &namespace).await?;
    let known = kept(&client, &namespace).await?;
    delete(&client, &namespace).await?;
    account::ensure_account(&client, &namespace).await?;
    super::note(&format!(
        "every token of consumer {consumer} is revoked; an API server may accept one for another 10 s, and requests \
         in progress finish"
    ));
    let again = format!("for a new kubeconfig: provider kubeconfig --consumer {consumer}");
    let Some(known) = known else {
        super::note(&again);
        return Ok(());
    };
    let life = secret::TokenLife::of(&known);
    let token =
        account::token_for(&client, &namespace, life.map_or(account::SHORTEST, secret::TokenLife::seconds))
            .await?;
    match secret::with_token(&known, token.text) {
        Ok(access) => {
            // Whoever holds an old token may still read the Secret, by a watch that runs: the new one is for whoever
            // runs this, until it is renewed.
            let dated = Secret { data: known.data.clone(), ..secret::secret(&access, token.life) };
            account::keep(&client, &namespace, &dated).await?;
            super::note(&format!("this is a new kubeconfig, valid until {}", token.life.expires));
            super::print(&secret::text(&access));
        }
        Err(why) => {
            super::note(&format!("the former kubeconfig cannot be read ({why})"));
            super::note(&again);
        }
    }
    Ok(())
}

/// Makes sure that the namespace is that of the consumer.
async fn expect(client: &Client, consumer: &str, namespace: &str) -> Result<(), RevokeError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(namespace).await;
    let found = found.map_err(|error| failed("read namespace", namespace)(error.into()))?;
    let is_its = |found: &Namespace| found.labels().get(LABEL_CONSUMER).is_some_and(|name| name == consumer);
    match found.filter(is_its) {
        Some(_) => Ok(()),
        None => Err(RevokeError::NoConsumer(consumer.to_owned())),
    }
}

/// The kubeconfig that the provider keeps for a consumer.
async fn kept(client: &Client, namespace: &str) -> Result<Option<Secret>, RevokeError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(PROVIDER_KUBECONFIG).await;
    let found = found.map_err(|error| failed("read Secret kubeconfig in", namespace)(error.into()))?;
    Ok(found.filter(is_ours))
}

/// A token is bound to the uid of its account: one of the same name later is another.
async fn delete(client: &Client, namespace: &str) -> Result<(), RevokeError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let what = format!("ServiceAccount {namespace}/{BINDER}");
    let found = api.get_opt(BINDER).await.map_err(|error| failed("read", &what)(error.into()))?;
    let Some(found) = found else { return Ok(()) };
    if !is_ours(&found) {
        return Err(RevokeError::Foreign(namespace.to_owned()));
    }
    apply::delete(&api, BINDER, &found.uid().unwrap_or_default()).await.map_err(failed("delete", &what))
}
