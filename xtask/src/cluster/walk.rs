//! The walk-through: users install, bind, review, exchange and upgrade.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::authentication::v1::{TokenReview, TokenReviewSpec},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::gateway::ClusterAccess, condition::ConditionStatus, names, standard_condition::find,
};
use portolan_testkit::{ServiceOptions, ServiceProcess, eventually, watch_until, watch_until_gone, workload};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    charts::{ALL, KONNECTOR, LOCAL, OTHERS, TOKEN_EXCHANGE, gateway_url},
    guests::{self, ACCOUNT, CA, CLIENTS, EXCHANGE_TOKEN, Guest, REVIEW, TARGET, TARGETS, TOKEN, USER},
    hosts,
    node::ISSUER,
    operation,
    scene::{Provider, SOON, Scene, apply, run},
};
use crate::{
    clusters,
    display::Display,
    services::RELEASE,
    toystore::{self, People, Person},
};

/// The consumer, as the provider knows it.
const CONSUMER: &str = "cluster";
/// The name of the bundle, and of the Secret with the provider's kubeconfig.
const BUNDLE: &str = "prod-services";

/// The group of the toystore's people.
const PEOPLE: &str = "people";

/// Takes every step, up to the first that fails.
pub(super) async fn walk(display: &Display, scene: &Scene, short: bool) -> Result<()> {
    display.run("namespaces, accounts and certificates", Box::pin(guests::prepare(scene))).await?;
    Box::pin(installs(display, scene)).await?;
    let Some(provider) = &scene.provider else {
        display.line("what asks from within the pods' network is left out: this cluster is not ours");
        return Ok(());
    };
    for host in hosts() {
        display.run(&format!("a review through {host}"), Box::pin(review(scene, &host))).await?;
    }
    display.run("a token is exchanged", Box::pin(exchange(scene))).await?;
    display.run("a ClusterAccess describes this cluster", Box::pin(describe(scene))).await?;
    display.run("a pod asks the gateway", Box::pin(query(scene))).await?;
    Box::pin(portal(display, scene)).await?;
    let offering = display.run("a provider cluster offers a service", Box::pin(offer(provider))).await?;
    display.run("a bundle binds it", Box::pin(bind(scene, provider))).await?;
    display
        .run("an object goes there and its status comes back", roundtrip(scene, provider, "billy"))
        .await?;
    if !short {
        Box::pin(operation::all(display, scene)).await?;
        let still = roundtrip(scene, provider, "jesse");
        display.run("after all that, an object goes there and back", still).await?;
    }
    display.run("helm uninstall of the konnector with a live bundle", uninstall(scene)).await?;
    drop(offering);
    Ok(())
}

/// Installs every chart with Helm 3, and after an uninstall with Helm 4, which applies on the server.
async fn installs(display: &Display, scene: &Scene) -> Result<()> {
    for helm in [3, 4] {
        for release in ALL {
            let step = format!("Helm {helm} installs {}, pods are Ready", release.chart);
            display.run(&step, Box::pin(release.install(scene, helm, &[]))).await?;
        }
        for release in ALL {
            let step = format!("Helm {helm} tests {}", release.chart);
            display.run(&step, release.test(scene, helm)).await?;
        }
        if helm == 3 {
            for release in ALL.iter().rev() {
                let step = format!("Helm {helm} uninstalls {}", release.chart);
                display.run(&step, release.uninstall(scene, helm)).await?;
            }
        }
    }
    Ok(())
}

/// A pod asks about its own token, under one of the service's host names.
async fn review(scene: &Scene, host: &str) -> Result<()> {
    let url = format!("https://{host}/apis/authentication.k8s.io/v1/tokenreviews");
    let arguments = ["ask", "--url", &url, "--ca", CA, "--token", TOKEN, "--body", REVIEW];
    let answer = Guest::start(scene, "asks", &arguments).await?.answer().await?;
    let review: TokenReview = serde_json::from_str(answer.trim()).with_context(|| answer.clone())?;
    let status = review.status.context("the answer has no status")?;
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    ensure!(status.authenticated == Some(true) && user == USER, "it says {answer}");
    Ok(())
}

/// A pod exchanges its token, and the API server says whose the new one is.
async fn exchange(scene: &Scene) -> Result<()> {
    let url = format!("http://{}.{OTHERS}.svc.cluster.local:443/exchangeToken", TOKEN_EXCHANGE.name);
    let body = json!({"namespace": TARGETS, "serviceAccountName": TARGET}).to_string();
    let arguments = ["ask", "--url", &url, "--bearer", EXCHANGE_TOKEN, "--body", &body];
    let answer = Guest::start(scene, "exchanges", &arguments).await?.answer().await?;
    let given: Value = serde_json::from_str(answer.trim()).with_context(|| answer.clone())?;
    let token = given["status"]["token"].as_str().context("the answer has no token")?.to_owned();
    let review = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec { token: Some(token), audiences: None },
        status: None,
    };
    let reviews: Api<TokenReview> = Api::all(scene.client.clone());
    let status = reviews.create(&PostParams::default(), &review).await?.status.context("no status")?;
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    ensure!(user == format!("system:serviceaccount:{TARGETS}:{TARGET}"), "the new token is {user:?}'s");
    Ok(())
}

/// Describes the cluster to the listener with an account that may only discover.
async fn describe(scene: &Scene) -> Result<()> {
    let access = json!({
        "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess", "metadata": {"name": LOCAL},
        "spec": {
            "host": ISSUER,
            "auth": {"serviceAccountRef": {"name": ACCOUNT, "namespace": CLIENTS}},
            "ca": {"configMapRef": {"name": "authority", "namespace": CLIENTS}},
        },
    });
    scene.apply(&[access]).await?;
    let is_ready = |access: &ClusterAccess| {
        let conditions =
            access.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        find(conditions, "Ready").is_some_and(|ready| ready.status == ConditionStatus::True)
    };
    watch_until(Api::all(scene.client.clone()), LOCAL, is_ready, SOON).await?;
    Ok(())
}

/// A pod asks the gateway for what it may list, and for what it may not.
async fn query(scene: &Scene) -> Result<()> {
    let query = json!({"query": format!(
        "{{v1{{ConfigMaps(namespace:\"{CLIENTS}\"){{items{{metadata{{name}}}}}} Secrets(namespace:\"{CLIENTS}\"){{items{{kind}}}}}}}}"
    )});
    let answer = eventually("the gateway knows the cluster", SOON, async || -> Result<Option<Value>> {
        let arguments = ["ask", "--url", &gateway_url(), "--bearer", TOKEN, "--body", &query.to_string()];
        let answer = Guest::start(scene, "queries", &arguments).await?.answer().await?;
        Ok(Some(serde_json::from_str(answer.trim()).with_context(|| answer.clone())?))
    })
    .await?;
    let items = answer["data"]["v1"]["ConfigMaps"]["items"].as_array().cloned().unwrap_or_default();
    ensure!(items.iter().any(|item| item["metadata"]["name"] == "authority"), "it says {answer}");
    let code = &answer["errors"][0]["extensions"]["code"];
    ensure!(code == "FORBIDDEN", "Secrets are answered without a right: {answer}");
    Ok(())
}

/// People offer an API and use it.
async fn portal(display: &Display, scene: &Scene) -> Result<()> {
    display.run("a toystore and its people", Box::pin(toystore::prepare(&scene.client, PEOPLE))).await?;
    let person = async |user: &str| -> Result<Person> {
        Ok(Person { user: user.to_owned(), client: scene.person(user, PEOPLE).await? })
    };
    let people =
        People { owner: person(toystore::OWNER).await?, consumer: person(toystore::CONSUMER).await? };
    display.run("a product finds its plans", Box::pin(toystore::product(&people))).await?;
    display.run("a request for a key is approved", Box::pin(toystore::key(&people))).await?;
    display.run("the key is read by who asked for it", Box::pin(toystore::reveal(&people))).await?;
    Ok(())
}

/// Starts the provider for the other cluster, which has no node for its pods, and offers a CRD.
async fn offer(provider: &Provider) -> Result<ServiceProcess> {
    // The namespace of its Lease.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE}});
    apply(&provider.client, &namespace).await?;
    let mut options = ServiceOptions::new("provider", std::fs::read_to_string(&provider.kubeconfig)?);
    options.program = Some(provider.binaries.path("provider"));
    RELEASE.clone_into(&mut options.pod_namespace);
    let process = ServiceProcess::start(options).await?;
    clusters::offer(&provider.client, &workload::wildwest()).await?;
    Ok(process)
}

/// Writes the kubeconfig of the other side into a Secret, and creates a bundle that names it.
async fn bind(scene: &Scene, provider: &Provider) -> Result<()> {
    let mut command = Command::new(provider.binaries.path("provider"));
    command.args(["kubeconfig", "--consumer", CONSUMER, "--server", &provider.url]);
    let given = run(command.env("KUBECONFIG", &provider.kubeconfig)).await?;
    scene.secret((CLIENTS, BUNDLE), "Opaque", &[("kubeconfig", &given)]).await?;
    let reference = json!({"name": BUNDLE, "namespace": CLIENTS, "key": "kubeconfig"});
    let bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": BUNDLE}, "spec": {"kubeconfigSecretRef": reference},
    });
    scene.apply(&[bundle]).await?;
    clusters::bundle_ready(&scene.client, BUNDLE).await?;
    clusters::binding_ready(&scene.client, &workload::wildwest().name_any()).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
    watch_until(crds, &workload::wildwest().name_any(), workload::is_established, SOON).await?;
    Ok(())
}

async fn roundtrip(scene: &Scene, provider: &Provider, name: &str) -> Result<()> {
    let origins: Api<DynamicObject> =
        Api::namespaced_with(scene.client.clone(), "default", &workload::cowboys());
    let cowboy = workload::cowboy("default", name, "ride");
    origins.create(&PostParams::default(), &cowboy).await.context("creating the object")?;
    let namespace = names::mapped_namespace(&names::contract_namespace(CONSUMER)?, "default", false);
    let copies: Api<DynamicObject> =
        Api::namespaced_with(provider.client.clone(), &namespace, &workload::cowboys());
    eventually("the copy is on the provider", SOON, async || copies.get_opt(name).await).await?;
    let change = json!({"status": {"result": "rested"}});
    copies.patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await?;
    watch_until(origins, name, |origin| origin.data["status"]["result"] == "rested", SOON).await?;
    Ok(())
}

/// Uninstalls the konnector, whose hook drains first: nothing may wait for it afterwards.
async fn uninstall(scene: &Scene) -> Result<()> {
    KONNECTOR.uninstall(scene, 4).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
    let origins: Api<DynamicObject> =
        Api::namespaced_with(scene.client.clone(), "default", &workload::cowboys());
    if crds.get_opt(&workload::wildwest().name_any()).await?.is_some() {
        origins.delete("billy", &kube::api::DeleteParams::default()).await?;
        watch_until_gone(origins, "billy", SOON)
            .await
            .context("the object of a user waits for a konnector")?;
    }
    let namespaces =
        ["get", "namespace", "-o", "jsonpath={.items[?(@.status.phase=='Terminating')].metadata.name}"];
    let stuck = scene.kubectl(&namespaces).await?;
    ensure!(stuck.trim().is_empty(), "namespaces are Terminating: {stuck}");
    Ok(())
}
