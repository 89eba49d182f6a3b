//! Mistakes of users: the condition that names each, nothing lost meanwhile, and recovery without a restart.

use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle};
use portolan_testkit::ports::free_port;
use serde_json::json;

use crate::support::{
    RELEASE, Service, binding_condition, bundle_condition, clusters, create_bundle, create_namespace,
    object_with, write_secret,
};

/// The first line that holds `from`, replaced.
fn edited(kubeconfig: &str, from: &str, to: &str) -> String {
    assert!(kubeconfig.contains(from), "{from:?} is not in the kubeconfig");
    kubeconfig.replacen(from, to, 1)
}

fn line_with<'a>(kubeconfig: &'a str, word: &str) -> &'a str {
    kubeconfig.lines().find(|line| line.trim_start().trim_start_matches("- ").starts_with(word)).unwrap()
}

#[tokio::test]
async fn every_mistake_in_a_secret_is_named_and_mended_in_place() {
    let service = Service::offer(clusters().await, "mistakes").await;
    let (consumer, good) = (&service.consumer, &service.kubeconfig);
    create_bundle(consumer, "mistakes", "mistakes").await;
    let said = async |reason: &str| {
        bundle_condition(consumer, "mistakes", "SecretValid", ("False", reason)).await.message
    };
    assert_eq!(said("KubeconfigSecretNotFound").await, "Kubeconfig secret default/mistakes not found.");

    write_secret(consumer, "mistakes", "config", good).await;
    assert_eq!(
        said("KubeconfigSecretInvalid").await,
        "Kubeconfig secret default/mistakes is missing \"kubeconfig\" string key."
    );

    let context = line_with(good, "current-context:");
    let namespace = line_with(good, "namespace:");
    let token = line_with(good, "token:");
    let server = line_with(good, "server:");
    let cases = [
        ("{not yaml".to_owned(), "it is not YAML"),
        ("just a word".to_owned(), "it is not a kubeconfig"),
        (edited(good, context, ""), "current context \"\" not found"),
        (edited(good, context, "current-context: other"), "current context \"other\" not found"),
        (edited(good, namespace, ""), "has no namespace set"),
        (edited(good, token, &token.replace(token.trim_start(), "exec: {command: sh}")), "field \"exec\""),
        (
            edited(good, token, &token.replace(token.trim_start(), "tokenFile: /etc/passwd")),
            "field \"tokenFile\"",
        ),
        (
            edited(
                good,
                server,
                &format!(
                    "{server}\n{}",
                    server.replace(server.trim_start(), "insecure-skip-tls-verify: true")
                ),
            ),
            "field \"insecure-skip-tls-verify\"",
        ),
    ];
    for (content, expected) in cases {
        write_secret(consumer, "mistakes", "kubeconfig", &content).await;
        portolan_testkit::eventually::eventually(expected, crate::support::SOON, async || {
            let message = said("KubeconfigSecretInvalid").await;
            if message.contains(expected) { Ok(Some(())) } else { Err(anyhow::anyhow!(message)) }
        })
        .await
        .unwrap();
        bundle_condition(consumer, "mistakes", "Ready", ("False", "KubeconfigSecretInvalid")).await;
    }
    write_secret(consumer, "mistakes", "kubeconfig", good).await;
    bundle_condition(consumer, "mistakes", "Ready", ("True", "")).await;
    binding_condition(consumer, &service.export(), "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_never_ready_and_works_when_it_can_be_reached() {
    let service = Service::offer(clusters().await, "unreachable").await;
    let (consumer, good) = (&service.consumer, &service.kubeconfig);
    let server = line_with(good, "server:");
    let nobody = free_port().unwrap();
    let elsewhere = server.replace(server.trim_start(), &format!("server: https://127.0.0.1:{nobody}"));
    write_secret(consumer, "unreachable", "kubeconfig", &edited(good, server, &elsewhere)).await;
    create_bundle(consumer, "unreachable", "unreachable").await;
    let condition = bundle_condition(consumer, "unreachable", "Synced", ("False", "ListExportsFailed")).await;
    assert!(
        condition.message.starts_with("Failed to list APIServiceExports from provider cluster: "),
        "{}",
        condition.message
    );
    bundle_condition(consumer, "unreachable", "Ready", ("False", "ListExportsFailed")).await;

    write_secret(consumer, "unreachable", "kubeconfig", good).await;
    bundle_condition(consumer, "unreachable", "Ready", ("True", "")).await;
}

#[tokio::test]
async fn a_refused_token_takes_nothing_away_and_a_new_one_is_picked_up() {
    let service = Service::bind(clusters().await, "refused").await;
    let (consumer, good) = (&service.consumer, &service.kubeconfig);
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let token = line_with(good, "token:");
    let wrong = edited(good, token, &token.replace(token.trim_start(), "token: not-a-token"));
    write_secret(consumer, "refused", "kubeconfig", &wrong).await;
    bundle_condition(consumer, "refused", "Ready", ("False", "ListExportsFailed")).await;
    binding_condition(consumer, &service.export(), "Ready", ("False", "ProviderUnreachable")).await;

    // Written while nobody listens on the provider's side.
    service.create("clara", &json!({"intent": "wait"})).await;
    write_secret(consumer, "refused", "kubeconfig", good).await;
    bundle_condition(consumer, "refused", "Ready", ("True", "")).await;
    service.arrives("clara").await;
    assert!(service.there().get_opt("billy").await.unwrap().is_some());
}

#[tokio::test]
async fn a_secret_that_turns_bad_leaves_bindings_and_objects_alone() {
    let service = Service::bind(clusters().await, "turns-bad").await;
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let before = bindings.get(&service.export()).await.unwrap().uid();
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    write_secret(&service.consumer, "turns-bad", "kubeconfig", "rubbish").await;
    bundle_condition(&service.consumer, "turns-bad", "Ready", ("False", "KubeconfigSecretInvalid")).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("False", "KubeconfigSecretInvalid"))
        .await;
    assert_eq!(bindings.get(&service.export()).await.unwrap().uid(), before);
    assert!(service.there().get_opt("billy").await.unwrap().is_some());
    write_secret(&service.consumer, "turns-bad", "kubeconfig", &service.kubeconfig).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    object_with(&service.here(), "billy", "is still there", |o| o.metadata.deletion_timestamp.is_none())
        .await;
}

#[tokio::test]
async fn secrets_of_other_namespaces_are_not_read() {
    let clusters = clusters().await;
    let consumer = clusters.consumer.client();
    create_namespace(&consumer, "private").await;
    let bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle", "metadata": {"name": "private"},
        "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "private", "key": "kubeconfig"}},
    });
    let bundles: Api<APIServiceBindingBundle> = Api::all(consumer.clone());
    bundles
        .create(&kube::api::PostParams::default(), &serde_json::from_value(bundle).unwrap())
        .await
        .unwrap();
    let condition =
        bundle_condition(&consumer, "private", "Ready", ("False", "SecretNamespaceNotAllowed")).await;
    assert!(
        condition.message.contains(RELEASE) && condition.message.contains("default"),
        "{}",
        condition.message
    );
    let reads = clusters.consumer.audit().entries_since(portolan_testkit::audit::Mark::default()).unwrap();
    let secret_read = reads.iter().any(|e| {
        e.user.username.ends_with(":konnector")
            && e.object_ref.as_ref().is_some_and(|o| o.resource == "secrets" && o.namespace == "private")
    });
    assert!(!secret_read, "a Secret outside the allowed namespaces was asked for");
}
