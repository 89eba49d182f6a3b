//! The real cert-manager as a provider's service, bound with the manifests of `docs/examples/cert-manager`: people make
//! Issuers and Certificates on the consumer, and find Secrets there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scene;

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_testkit::eventually::{eventually, watch_until, watch_until_gone};
use serde_json::{Value, json};

use self::scene::{SOON, Scene, scene};

/// Number of certificates that are asked for at the same time.
const MANY: usize = 30;

type Data = BTreeMap<String, ByteString>;

/// Waits until an object of the consumer says Ready, for the generation that it has.
async fn ready(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    eventually(&format!("{name} is Ready"), SOON, async || {
        let object = api.get(name).await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let is_now = ready.is_some_and(|condition| {
            condition["status"] == "True"
                && condition["observedGeneration"] == json!(object.metadata.generation)
        });
        anyhow::ensure!(is_now, "{}: {conditions:?}", json!(object.metadata.generation));
        Ok(Some(object))
    })
    .await
    .unwrap()
}

fn has_certificate(secret: &Secret) -> bool {
    let has = |key: &str| {
        secret.data.as_ref().is_some_and(|data| data.get(key).is_some_and(|value| !value.0.is_empty()))
    };
    ["tls.crt", "tls.key", "ca.crt"].into_iter().all(has)
}

async fn secret_of(scene: &Scene, name: &str) -> Data {
    let secret = watch_until(scene.secrets(), name, has_certificate, SOON).await.unwrap();
    secret.data.unwrap()
}

/// Asks for a certificate that the authority of the example signs.
async fn ask(scene: &Scene, name: &str) -> DynamicObject {
    let mut certificate = scene.certificates().get("shop").await.unwrap();
    let spec = &mut certificate.data["spec"];
    (spec["secretName"], spec["dnsNames"]) =
        (json!(format!("{name}-tls")), json!([format!("{name}.acme.example")]));
    let mut asked = DynamicObject::new(name, &portolan_testkit::cert_manager::resource("Certificate"));
    asked.data = json!({"spec": spec});
    scene.certificates().create(&PostParams::default(), &asked).await.unwrap()
}

async fn both_secrets(scene: &Scene, name: &str) -> Data {
    eventually(&format!("{name} is the same on both sides"), SOON, async || {
        let (here, there) = (scene.secrets().get(name).await?, scene.copied_secrets().get(name).await?);
        anyhow::ensure!(has_certificate(&here) && here.data == there.data, "it differs");
        Ok(here.data)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_is_asked_for_on_the_consumer_is_ready_there_and_comes_as_a_secret() {
    let Some(scene) = scene(module_path!()).await else { return };
    for issuer in ["self-signed", "authority"] {
        ready(&scene.issuers(), issuer).await;
    }
    for (certificate, secret) in [("authority", "authority-keys"), ("shop", "shop-tls")] {
        ready(&scene.certificates(), certificate).await;
        secret_of(&scene, secret).await;
        both_secrets(&scene, secret).await;
    }
    let shop = scene.secrets().get("shop-tls").await.unwrap();
    assert_eq!(shop.labels()["kube-bind.io/owner"], "provider");
    // How it is made stays on the provider.
    let requests: Api<DynamicObject> = Api::all_with(
        scene.provider.client(),
        &portolan_testkit::cert_manager::resource("CertificateRequest"),
    );
    assert!(!requests.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert!(!scene.consumer_has_crd("certificaterequests").await);

    // With everything done, nobody of ours writes.
    let late = scene.writes_at_rest().await;
    assert!(late.is_empty(), "{late:#?}");
}

#[tokio::test]
async fn another_wish_of_its_user_and_another_turn_of_the_provider_renew_the_secret() {
    let Some(scene) = scene(module_path!()).await else { return };
    let asked = ask(&scene, "renewed").await;
    ready(&scene.certificates(), "renewed").await;
    let first = both_secrets(&scene, "renewed-tls").await;

    let wish = json!({"spec": {"dnsNames": ["renewed.acme.example", "www.renewed.acme.example"]}});
    scene.certificates().patch("renewed", &PatchParams::default(), &Patch::Merge(wish)).await.unwrap();
    let is_new =
        |secret: &Secret| secret.data.as_ref().is_some_and(|data| data["tls.crt"] != first["tls.crt"]);
    watch_until(scene.secrets(), "renewed-tls", is_new, SOON).await.unwrap();
    let now = ready(&scene.certificates(), "renewed").await;
    assert!(now.metadata.generation > asked.metadata.generation);

    // What cert-manager's own command line does when it is told to renew.
    let second = both_secrets(&scene, "renewed-tls").await;
    let copies = scene.copied_certificates();
    let mut copy = copies.get("renewed").await.unwrap();
    let issuing = json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by hand",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": copy.metadata.generation,
    });
    copy.data["status"]["conditions"].as_array_mut().unwrap().push(issuing);
    let status: Value = json!({"status": copy.data["status"]});
    copies.patch_status("renewed", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let is_newer =
        |secret: &Secret| secret.data.as_ref().is_some_and(|data| data["tls.crt"] != second["tls.crt"]);
    watch_until(scene.secrets(), "renewed-tls", is_newer, SOON).await.unwrap();
    let revision = eventually("the third revision is told", SOON, async || {
        let revision = scene.certificates().get("renewed").await?.data["status"]["revision"].clone();
        anyhow::ensure!(revision == 3, "it is {revision}");
        Ok(Some(revision))
    });
    revision.await.unwrap();
}

#[tokio::test]
async fn a_secret_that_is_deleted_on_either_side_comes_back() {
    let Some(scene) = scene(module_path!()).await else { return };
    ask(&scene, "deleted").await;
    let first = {
        ready(&scene.certificates(), "deleted").await;
        both_secrets(&scene, "deleted-tls").await
    };
    // The consumer has a copy; the certificate stays the same.
    let uid = scene.secrets().get("deleted-tls").await.unwrap().uid();
    scene.secrets().delete("deleted-tls", &DeleteParams::default()).await.unwrap();
    let is_another = |secret: &Secret| secret.uid() != uid && has_certificate(secret);
    let again = watch_until(scene.secrets(), "deleted-tls", is_another, SOON).await.unwrap();
    assert_eq!(again.data, Some(first.clone()));

    // The provider has the original; cert-manager makes another one.
    scene.copied_secrets().delete("deleted-tls", &DeleteParams::default()).await.unwrap();
    let is_new = |secret: &Secret| {
        has_certificate(secret)
            && secret.data.as_ref().is_some_and(|data| data["tls.crt"] != first["tls.crt"])
    };
    watch_until(scene.secrets(), "deleted-tls", is_new, SOON).await.unwrap();
    ready(&scene.certificates(), "deleted").await;

    // With the Certificate goes the copy of its Secret: nothing names it any more.
    scene.certificates().delete("deleted", &DeleteParams::default()).await.unwrap();
    watch_until_gone(scene.secrets(), "deleted-tls", SOON).await.unwrap();
    assert!(scene.copied_secrets().get_opt("deleted-tls").await.unwrap().is_some(), "cert-manager keeps it");
}

#[tokio::test]
async fn thirty_more_at_once_are_all_ready_with_their_secrets() {
    let Some(scene) = scene(module_path!()).await else { return };
    let names: Vec<_> = (0..MANY).map(|number| format!("many-{number:02}")).collect();
    for name in &names {
        ask(&scene, name).await;
    }
    for name in &names {
        ready(&scene.certificates(), name).await;
        both_secrets(&scene, &format!("{name}-tls")).await;
    }
}
