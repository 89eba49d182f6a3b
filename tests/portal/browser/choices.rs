//! What can be chosen: hosts to try, routes with their policies, an API to ask for, and what becomes of an old value.

use kube::api::{Patch, PatchParams};
use portolan_core::api::devportal::{ANNOTATION_ROTATE_OVERLAP, APIKey};
use portolan_testkit::{eventually, toystore};
use serde_json::json;

use super::{chromium::ABSENCE, demo, driver::browse};
use crate::{
    outside::{self, Outside},
    scene::{SOON, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_tried_at_any_host_of_the_route() {
    let stage = Stage::shared().await;
    let place = stage.toystore("hosts").await;
    let routes = toystore::foreign(&stage.client(), "HTTPRoute", "hosts");
    let names = json!({"spec": {"hostnames": ["*.toystore.com", "shop.example.com"]}});
    routes.patch("toystore", &PatchParams::default(), &Patch::Merge(names)).await.unwrap();
    place.publish("owner1", "toys", &json!({})).await;
    let api = Outside::start(|_| outside::json(&json!({"toys": 7}))).await;
    let gateway = format!("--try-gateway={}", api.url);
    let (_home, site) = demo(stage, &[&gateway, "--try-allowed-cidrs=127.0.0.0/8"]).await;
    let asked = || api.asked().iter().map(|one| one.header("host").unwrap().to_owned()).collect::<Vec<_>>();
    let ran = browse("hosts", &site, async |browser| {
        browser.open_as("alice", "/products/hosts/toys").await;
        browser.shows("*.toystore.com").await;
        browser.click("[role=tab]", "Try it").await;
        browser.click("button[type=submit]", "Send request").await;
        browser.shows("\"toys\": 7").await;
        assert_eq!(asked(), ["shop.example.com"], "by default, a name of one host");
        browser.choose("Host", "*.toystore.com").await;
        browser.fill("Host name", "evil.example").await;
        browser.until("document.querySelector('button[type=submit]').disabled").await;
        browser.fill("Host name", "pets.toystore.com").await;
        browser.click("button[type=submit]", "Send request").await;
        let sent = async || (asked().len() == 2).then_some(());
        eventually("it is sent", SOON, sent).await.unwrap();
        assert_eq!(asked()[1], "pets.toystore.com");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_show_the_policies_of_a_route() {
    let stage = Stage::shared().await;
    let place = stage.toystore("forms").await;
    place.publish("owner1", "toys", &json!({"displayName": "Toys in a form"})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("forms", &site, async |browser| {
        browser.open_as("owner1", "/products?namespace=forms").await;
        browser.click("button", "Create API product").await;
        browser.fill("Search by name", "forms").await;
        browser.click("[aria-label='Namespace forms'] label", "toystore").await;
        let found = "(document.querySelector('dialog [aria-label=\"HTTPRoute policies\"]')?.innerText ?? '')";
        for part in ["forms/toystore-plans", "gold (100 per day)", "forms/toystore", "Enforced"] {
            browser.until(&format!("{found}.includes({})", json!(part))).await;
        }
        // A route that nobody protects says so.
        let auths = toystore::foreign(&stage.client(), "AuthPolicy", "forms");
        auths.delete("toystore", &kube::api::DeleteParams::default()).await.unwrap();
        browser.open_as("owner1", "/products?namespace=forms").await;
        browser.click("button", "Create API product").await;
        browser.fill("Search by name", "forms").await;
        browser.click("[aria-label='Namespace forms'] label", "toystore").await;
        browser.until(&format!("{found}.includes('NotFound')")).await;
        browser.click("dialog button", "Cancel").await;
        browser.click(".menu-list button", "Edit").await;
        let found = "(document.querySelector('dialog')?.innerText ?? '')";
        let discovered = "Discovered PlanPolicy toystore-plans targeting HTTPRoute toystore";
        browser.until(&format!("{found}.includes('{discovered}')")).await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_picked_where_keys_are_and_a_leaked_value_ends_at_once() {
    let stage = Stage::shared().await;
    let place = stage.toystore("picked").await;
    let automatic = json!({"displayName": "Toys to pick", "approvalMode": "automatic"});
    place.publish("owner1", "toys", &automatic).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("picked", &site, async |browser| {
        browser.open_as("bob", "/keys?namespace=picked").await;
        browser.click("button", "Request API access").await;
        let submit = "document.querySelector('dialog button[type=submit]').disabled";
        browser.fill("Search APIs", "toys to pick").await;
        browser.click("dialog .options label", "Toys to pick").await;
        assert_eq!(browser.value(submit).await, true, "a tier is to be chosen");
        browser.click("dialog label", "gold").await;
        browser.until(&format!("!{submit}")).await;
        browser.shows("Request access to Toys to pick").await;
        browser.enters_in_vain("Search APIs").await;
        browser.click("dialog button[type=submit]", "Submit request").await;
        browser.shows("Your key is being made").await;
        let found = async || {
            stage
                .portal
                .by(&stage.login, "bob")
                .names("/api/kuadrant/requests/my?namespace=picked")
                .await
                .pop()
        };
        let key = eventually("the key", SOON, found).await.unwrap();
        let before = place.value(&key).await;
        browser.shows("••••••••••••").await;

        browser.click(".menu-list button", "Rotate").await;
        browser.click("dialog label", "It stops at once").await;
        browser.click("dialog button[type=submit]", "Rotate").await;
        browser.shows("The key gets a new value").await;
        let rotated = async || {
            let found = place.api::<APIKey>().get(&key).await.unwrap();
            let is_gone = found.status.as_ref()?.previous_secret_ref.is_none();
            assert_eq!(found.metadata.annotations?[ANNOTATION_ROTATE_OVERLAP], "0");
            (is_gone && place.value(&key).await != before).then_some(())
        };
        eventually("the old value is gone", SOON, rotated).await.unwrap();
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
