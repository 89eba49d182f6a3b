//! A scene with a real service: cert-manager on the provider, certificates on the consumer.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
};
use portolan_core::api::kubebind::APIServiceBindingBundle;
use portolan_testkit::{
    PlainLines,
    cert_manager::{self, CertManager, GROUP},
    eventually, watch_until,
};
use serde_json::json;

use super::{walk::Step, world::World};
use crate::clusters::{self, SOON};

/// Argument with which people see it.
pub(super) const NAME: &str = "cert-manager";
/// The bundle of the scene before.
const BUNDLE: &str = "prod-services";

pub(super) const STEPS: &[Step] = &[
    Step { name: "cert-manager: its controllers run on the provider", run: |world| Box::pin(start(world)) },
    Step {
        name: "provider: Issuers and Certificates are offered, with a claim",
        run: |world| Box::pin(offer(world)),
    },
    Step { name: "consumer: agrees to the claim, and both are bound", run: |world| Box::pin(agree(world)) },
    Step {
        name: "an authority and a certificate made on the consumer are Ready",
        run: |world| Box::pin(certificate(world)),
    },
    Step {
        name: "the key and the certificate are in a Secret of the consumer",
        run: |world| Box::pin(secret(world)),
    },
];

async fn start(world: &mut World) -> Result<String> {
    let program = CertManager::locate(&PlainLines::new()).await?;
    world.cert_manager = Some(program.start(&world.clusters.provider).await?);
    Ok("the real one, built from its Go module".to_owned())
}

async fn offer(world: &mut World) -> Result<String> {
    cert_manager::apply(&world.provider(), "provider-offer.yaml").await?;
    Ok("kubectl apply --server-side -f docs/examples/cert-manager/provider-offer.yaml".to_owned())
}

async fn agree(world: &mut World) -> Result<String> {
    let consumer = world.consumer();
    cert_manager::apply(&consumer, "consumer-rights.yaml").await?;
    let bundles: Api<APIServiceBindingBundle> = Api::all(consumer.clone());
    let consent = json!({"metadata": {"annotations": {"kube-bind.io/accept-claims": "secrets"}}});
    bundles.patch(BUNDLE, &PatchParams::default(), &Patch::Merge(&consent)).await.context("agreeing")?;
    for kind in ["issuers", "certificates"] {
        clusters::binding_ready(&consumer, &format!("{kind}.{GROUP}")).await?;
    }
    Ok(format!("bundle {BUNDLE}, annotation kube-bind.io/accept-claims=secrets"))
}

async fn certificate(world: &mut World) -> Result<String> {
    let consumer = world.consumer();
    // A kind that is seconds old may be served, and then not for a moment.
    eventually("the example is taken", SOON, async || {
        cert_manager::apply(&consumer, "consumer-certificate.yaml").await.map(Some)
    })
    .await?;
    for name in ["authority", "shop"] {
        watch_until(certificates(&consumer), name, is_ready, SOON).await?;
    }
    Ok("kubectl apply --server-side -f docs/examples/cert-manager/consumer-certificate.yaml".to_owned())
}

async fn secret(world: &mut World) -> Result<String> {
    let secrets: Api<Secret> = Api::namespaced(world.consumer(), "default");
    let has_key = |secret: &Secret| secret.data.as_ref().is_some_and(|data| data.contains_key("tls.key"));
    watch_until(secrets, "shop-tls", has_key, SOON).await?;
    Ok("kubectl get secret shop-tls".to_owned())
}

fn certificates(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &cert_manager::resource("Certificate"))
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
