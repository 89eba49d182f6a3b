//! What is fetched from elsewhere, and what is told to a webhook. The stage has shorter times than the others.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use portolan_core::api::devportal::{APIProduct, KeyPhase};
use portolan_testkit::{
    ServiceProcess, eventually,
    toystore::{self, api_keys},
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    scene::{SOON, Stage, options, said},
    stub::Stub,
};

const LOCATION: &str = "/realms/r/.well-known/openid-configuration";

/// A stage that may fetch from this machine, and that notifies a stub.
struct Outside {
    stage: Stage,
    webhook: Stub,
    _key: Workdir,
}

async fn outside() -> &'static Outside {
    static SHARED: OnceCell<Outside> = OnceCell::const_new();
    let outside = SHARED
        .get_or_init(|| async {
            let (webhook, directory) = (Stub::start().await, Workdir::new("signing").unwrap());
            webhook.answers("/hook", &[(500, ""), (204, "")]);
            let key = directory.write_private("key", "signing key").unwrap().display().to_string();
            let url = format!("{}/hook", webhook.url);
            let flags = [
                "--fetch-allowed-cidrs=127.0.0.0/8",
                "--fetch-timeout=2s",
                "--fetch-refresh=2s",
                "--notify-url",
                &url,
                "--notify-key-file",
                &key,
            ];
            Outside { stage: Stage::start("devportal-outside", &flags).await, webhook, _key: directory }
        })
        .await;
    outside.stage.service.keep();
    outside
}

fn jwt(issuer: &str) -> Value {
    json!({"oidc-users": {"jwt": {"issuerUrl": issuer}, "credentials": {"authorizationHeader": {"prefix": "Bearer"}}}})
}

fn endpoint(product: &APIProduct) -> Option<String> {
    product.status.as_ref()?.oidc_discovery.as_ref().map(|found| found.token_endpoint.clone())
}

#[tokio::test]
async fn the_token_endpoint_is_found_and_failures_are_named_and_heal() {
    let Outside { stage, .. } = outside().await;
    let (place, idp) = (stage.toystore("oidc").await, Stub::start().await);
    let client = stage.client();
    let document =
        json!({"issuer": format!("{}/realms/r", idp.url), "token_endpoint": format!("{}/token", idp.url)})
            .to_string();
    idp.answer(LOCATION, 200, &document);
    place.product("p", None).await;
    place.product_says("p", "OIDCDiscovered", "NoOIDCAuth").await;
    assert!(idp.asked().is_empty());
    toystore::authentication(&client, "oidc", &jwt(&format!("{}/realms/r/", idp.url))).await.unwrap();
    let product = place.product_says("p", "OIDCDiscovered", "Discovered").await;
    assert_eq!(endpoint(&product), Some(format!("{}/token", idp.url)));
    assert!(
        idp.asked_for(LOCATION) >= 1
            && idp.asked().iter().all(|asked| asked.head.starts_with(&format!("GET {LOCATION} ")))
    );
    assert!(
        said(&product, "OIDCDiscovered")
            .unwrap()
            .message
            .contains(&format!("fetched from {}{LOCATION}", idp.url))
    );

    let lying = json!({"issuer": "https://other", "token_endpoint": "https://other/token"}).to_string();
    let empty = json!({"issuer": format!("{}/realms/x", idp.url)}).to_string();
    let other = LOCATION.replace("/r/", "/x/");
    for (status, body, expected) in [
        (404, "", "unexpected status code: 404"),
        (200, "<html>", "failed to decode discovery document"),
        (200, empty.as_str(), "token_endpoint not found in discovery document"),
        (200, lying.as_str(), "another issuer"),
    ] {
        idp.answer(&other, status, body);
        toystore::authentication(&client, "oidc", &jwt(&format!("{}/realms/x", idp.url))).await.unwrap();
        let product = place
            .product_when("p", |product| {
                said(product, "OIDCDiscovered").is_some_and(|said| said.message.contains(expected))
            })
            .await;
        assert_eq!(
            (said(&product, "OIDCDiscovered").unwrap().reason.as_str(), endpoint(&product)),
            ("DiscoveryFailed", None)
        );
    }
    let good = json!({"token_endpoint": "https://x/token"}).to_string();
    idp.answer(&other, 200, &good);
    let product = place.product_says("p", "OIDCDiscovered", "Discovered").await;
    assert_eq!(endpoint(&product).as_deref(), Some("https://x/token"));
    toystore::authentication(&client, "oidc", &api_keys(&json!({"app": "p"}))).await.unwrap();
    let product = place.product_says("p", "OIDCDiscovered", "NoOIDCAuth").await;
    assert_eq!(endpoint(&product), None);
}

#[tokio::test]
async fn an_issuer_that_hangs_delays_nobody() {
    let Outside { stage, .. } = outside().await;
    let (slow, idp) = (stage.toystore("slow").await, Stub::start().await);
    toystore::authentication(&stage.client(), "slow", &jwt(&format!("{}/realms/never", idp.url)))
        .await
        .unwrap();
    slow.product("p", None).await;
    let quick = stage.toystore("quick").await;
    quick.product("p", Some("automatic")).await;
    quick.ask("k1", "p", "alice").await;
    quick.key_says("k1", "SecretCreated").await;
    let waiting = slow.api::<APIProduct>().get("p").await.unwrap();
    assert!(said(&waiting, "OIDCDiscovered").is_none_or(|said| said.reason != "Discovered"));
    let product = slow.product_says("p", "OIDCDiscovered", "DiscoveryFailed").await;
    assert!(said(&product, "OIDCDiscovered").unwrap().message.contains("no complete answer in time"));
}

async fn document(place: &crate::scene::Place<'_>, url: &str) {
    let patch = json!({"spec": {"documentation": {"openAPISpecURL": url}}});
    place.api::<APIProduct>().patch("p", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn openapi_texts_are_kept_where_they_fit() {
    let Outside { stage, .. } = outside().await;
    let (place, web) = (stage.toystore("openapi").await, Stub::start().await);
    place.product("p", None).await;
    let small = r#"{"openapi": "3.0.0"}"#;
    web.answer("/small", 200, small);
    document(&place, &format!("{}/small", web.url)).await;
    let product = place.product_says("p", "OpenAPISpecReady", "SpecFetched").await;
    let kept = product.status.unwrap().openapi.unwrap();
    assert_eq!((kept.raw.as_str(), kept.bytes, kept.sha256.len()), (small, 20, 64));
    // A text that changes is read again by its age.
    web.answer("/small", 200, r#"{"openapi": "3.1.0"}"#);
    place
        .product_when("p", |product| {
            product.status.as_ref().unwrap().openapi.as_ref().is_some_and(|text| text.raw.contains("3.1.0"))
        })
        .await;

    let large = format!("{{\"openapi\": \"{}\"}}", "x".repeat(100_000));
    web.answer("/large", 200, &large);
    document(&place, &format!("{}/large", web.url)).await;
    let product = place
        .product_when("p", |product| {
            product
                .status
                .as_ref()
                .unwrap()
                .openapi
                .as_ref()
                .is_some_and(|text| text.config_map_ref.is_some())
        })
        .await;
    let kept = product.status.unwrap().openapi.unwrap();
    assert_eq!((kept.raw.as_str(), kept.bytes), ("", i64::try_from(large.len()).unwrap()));
    let map = place.api::<ConfigMap>().get("p-openapi").await.unwrap();
    let packed = &map.binary_data.unwrap()["openapi.gz"];
    assert!(packed.0.starts_with(&[0x1f, 0x8b]) && packed.0.len() < 5000);
    document(&place, &format!("{}/small", web.url)).await;
    place
        .product_when("p", |product| {
            product.status.as_ref().unwrap().openapi.as_ref().is_some_and(|text| !text.raw.is_empty())
        })
        .await;
    let gone = async || {
        place.api::<ConfigMap>().get_opt("p-openapi").await.map(|found| found.is_none().then_some(()))
    };
    eventually("the ConfigMap is gone", SOON, gone).await.unwrap();
}

#[tokio::test]
async fn a_text_that_is_kept_survives_a_restart() {
    let flags = [
        "--fetch-allowed-cidrs=127.0.0.0/8",
        "--fetch-timeout=2s",
        "--fetch-refresh=1s",
        "--openapi-spec-max-size=110000",
    ];
    let stage = Stage::start("devportal-kept", &flags).await;
    let (place, web) = (stage.toystore("kept").await, Stub::start().await);
    web.answer("/large", 200, &"x".repeat(100_000));
    // The limit on OpenAPI texts is none on what issuers say.
    let said_by_issuer = json!({"token_endpoint": "http://a/token", "more": "x".repeat(120_000)});
    web.answer(LOCATION, 200, &said_by_issuer.to_string());
    toystore::authentication(&stage.client(), "kept", &jwt(&format!("{}/realms/r", web.url))).await.unwrap();
    place.product("p", None).await;
    place.product_says("p", "OIDCDiscovered", "Discovered").await;
    document(&place, &format!("{}/large", web.url)).await;
    place.product_says("p", "OpenAPISpecReady", "SpecFetched").await;
    web.answer("/large", 503, "");
    let failed = place.product_says("p", "OpenAPISpecReady", "FetchFailed").await;
    assert!(said(&failed, "OpenAPISpecReady").unwrap().message.contains("The last text is kept"));
    stage.service.terminate(SOON).await.unwrap();
    let asked = web.asked_for("/large");
    let again = ServiceProcess::start(options(&stage.kubeconfig, &flags)).await.unwrap();
    let twice = async || (web.asked_for("/large") >= asked + 2).then_some(());
    eventually("it is fetched again, in vain", SOON, twice).await.unwrap();
    let product = place.api::<APIProduct>().get("p").await.unwrap();
    assert_eq!(said(&product, "OpenAPISpecReady").unwrap().reason, "FetchFailed");
    assert!(product.status.unwrap().openapi.is_some_and(|text| text.config_map_ref.is_some()));
    assert!(place.api::<ConfigMap>().get_opt("p-openapi").await.unwrap().is_some());
    again.terminate(SOON).await.unwrap();
}

#[tokio::test]
async fn texts_that_cannot_be_kept_say_why() {
    let Outside { stage, .. } = outside().await;
    let (place, web) = (stage.toystore("texts").await, Stub::start().await);
    place.product("p", None).await;
    let huge = "x".repeat(600_000);
    web.answer("/large", 200, &"x".repeat(100_000));
    web.answer("/huge", 200, &huge);
    web.answer("/page", 200, "<!doctype html>");
    web.answer("/down", 503, "");
    for (url, reason) in [
        (format!("{}/huge", web.url), "SpecSizeTooLarge"),
        (format!("{}/page", web.url), "ReadFailed"),
        (format!("{}/down", web.url), "FetchFailed"),
        ("ftp://a/b".to_owned(), "RequestCreationFailed"),
    ] {
        document(&place, &url).await;
        place.product_says("p", "OpenAPISpecReady", reason).await;
    }
    let foreign: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "p-openapi"}, "data": {"a": "b"}})).unwrap();
    place.api::<ConfigMap>().create(&PostParams::default(), &foreign).await.unwrap();
    document(&place, &format!("{}/large", web.url)).await;
    place.product_says("p", "OpenAPISpecReady", "ConfigMapConflict").await;
    assert!(place.api::<ConfigMap>().get("p-openapi").await.unwrap().data.is_some());
    let none = json!({"spec": {"documentation": null}});
    place.api::<APIProduct>().patch("p", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    place
        .product_when("p", |product| {
            said(product, "OpenAPISpecReady").is_none() && product.status.as_ref().unwrap().openapi.is_none()
        })
        .await;
}

#[tokio::test]
async fn private_addresses_are_refused_unless_they_are_named() {
    let stage = Stage::shared().await;
    let (place, web) = (stage.toystore("private").await, Stub::start().await);
    web.answer("/spec", 200, "{}");
    place.product("p", None).await;
    document(&place, &format!("{}/spec", web.url)).await;
    let product = place.product_says("p", "OpenAPISpecReady", "FetchFailed").await;
    let message = &said(&product, "OpenAPISpecReady").unwrap().message;
    assert!(message.contains("a loopback address is refused"), "{message}");
    assert!(web.asked().is_empty());
}

#[tokio::test]
async fn a_webhook_is_told_what_happens_to_keys() {
    let Outside { stage, webhook, .. } = outside().await;
    let place = stage.toystore("notified").await;
    place.product("p", None).await;
    place.ready("p").await;
    place.ask("k1", "p", "alice").await;
    place.key_says("k1", "NotApproved").await;
    place.decide("k1", "Approved", None).await.unwrap();
    let value = place.value("k1").await;
    place.key_says("k1", "SecretCreated").await;
    place.decide("k1", "Rejected", Some(&format!("leaked {value}"))).await.unwrap();
    assert_eq!(place.key_says("k1", "Rejected").await.phase(), KeyPhase::Rejected);
    let told = || -> Vec<(String, Value, String)> {
        let of_place = |asked: crate::stub::Asked| {
            let event: Value = serde_json::from_str(&asked.body).ok()?;
            (event["subject"] == "notified/k1")
                .then(|| (event["type"].as_str().unwrap().to_owned(), event, asked.head))
        };
        webhook.asked().into_iter().filter_map(of_place).collect()
    };
    let all = async || told().iter().any(|(kind, ..)| kind.ends_with("rejected")).then_some(());
    eventually("the last notice", SOON, all).await.unwrap();
    let mut kinds: Vec<_> = told().into_iter().map(|(kind, ..)| kind).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        ["requested", "approved", "rejected"].map(|kind| format!("io.kuadrant.devportal.apikey.{kind}"))
    );
    for (_, event, head) in told() {
        let text = event.to_string();
        assert!(!text.contains(&value) && !text.contains("alice@"), "{text}");
        let head = head.to_lowercase();
        assert!(
            head.contains("content-type: application/cloudevents+json")
                && head.contains("portolan-signature: t="),
            "{head}"
        );
    }
}
