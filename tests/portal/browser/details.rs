//! What pages show of keys, plans and ways to authenticate.

use portolan_testkit::toystore::{self, api_keys};
use serde_json::{Value, json};

use super::{chromium::ABSENCE, demo, driver::browse};
use crate::{
    outside::{self, Outside},
    scene::Stage,
};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_in_three_groups_and_hidden() {
    let stage = Stage::shared().await;
    let place = stage.toystore("groups").await;
    place.publish("owner1", "toys", &json!({})).await;
    let pending = place.ask("alice", "toys").await;
    let (rejected, approved) = (place.ask("alice", "toys").await, place.ask("alice", "toys").await);
    place.decide("owner1", &rejected, "reject", &json!({"reason": "say what for"})).await;
    place.decide("owner1", &approved, "approve", &json!({})).await;
    let value = place.revealed("alice", &approved).await;
    // Somebody else's keys of the same product are not hers.
    place.ask("bob", "toys").await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("groups", &site, async |browser| {
        browser.open_as("alice", "/products/groups/toys#keys").await;
        browser.shows("••••••••••••").await;
        for (group, own) in
            [("Pending Requests", &pending), ("Rejected Requests", &rejected), ("API Keys", &approved)]
        {
            let rows =
                format!("document.querySelectorAll('section[aria-label=\"{group}\"] tbody tr').length");
            assert_eq!(browser.value(&rows).await, 1, "{group}");
            let labels = format!(
                "[...document.querySelectorAll('section[aria-label=\"{group}\"] [aria-label^=\"Actions for\"]')]\
                 .map((one) => one.getAttribute('aria-label'))"
            );
            let labels = browser.value(&labels).await;
            let expected =
                if group == "Rejected Requests" { json!([]) } else { json!([format!("Actions for {own}")]) };
            assert_eq!(labels, expected, "{group}");
        }
        browser.shows("say what for").await;
        let shown = format!("document.documentElement.outerHTML.includes({})", json!(value));
        assert_eq!(browser.value(&shown).await, false, "it is nowhere in the page");
        let reveals =
            "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/secret')).length";
        assert_eq!(browser.value(reveals).await, 0, "it was not asked for");
        for round in 1..=2 {
            browser.click("button", "Reveal API key").await;
            browser.shows(&value).await;
            browser.click("button", "Hide API key").await;
            browser.hides(&value).await;
            assert_eq!(browser.value(reveals).await, round, "each reveal asks anew");
        }
        // Who decides about a key is not offered its value.
        browser.open_as("owner1", &format!("/keys/groups/{approved}")).await;
        browser.shows("Only who asked for this key sees its value.").await;
        let offered = "document.querySelector('[aria-label=\"Reveal API key\"]') !== null";
        assert_eq!(browser.value(offered).await, false);
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_offered_in_their_order_or_it_is_said_why_not() {
    let stage = Stage::shared().await;
    let place = stage.toystore("tiers").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("tiers", &site, async |browser| {
        browser.open_as("alice", "/products/tiers/toys").await;
        browser.click("button", "Request API access").await;
        let tiers = "[...[...document.querySelectorAll('dialog fieldset')].find((one) => one.innerText.startsWith('Tier'))\
                     .querySelectorAll('label')].map((one) => one.innerText.replace(/\\s+/g, ' '))";
        let expected = json!(["gold 100 per day", "silver 50 per day", "bronze 10 per day"]);
        browser.until(&format!("JSON.stringify({tiers}) === {}", json!(expected.to_string()))).await;
        let submit = "document.querySelector('dialog button[type=submit]').disabled";
        assert_eq!(browser.value(submit).await, true, "a tier is to be chosen");
        browser.click("dialog button", "Cancel").await;
        let policies = toystore::foreign(&stage.client(), "PlanPolicy", "tiers");
        policies.delete("toystore-plans", &kube::api::DeleteParams::default()).await.unwrap();
        browser.shows("No plans discovered: PlanPolicy not found").await;
        let button = "[...document.querySelectorAll('button')].find((one) => one.innerText.includes('Request API access')).disabled";
        assert_eq!(browser.value(button).await, true);
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn products_with_a_login_say_where_tokens_come_from() {
    let stage = Stage::shared().await;
    let place = stage.toystore("tokens").await;
    place.publish("owner1", "toys", &json!({})).await;
    let address = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&address);
    let issuer = Outside::start(move |_| {
        let url = known.get()?;
        outside::json(&json!({"issuer": url, "token_endpoint": format!("{url}/token")}))
    })
    .await;
    address.set(issuer.url.clone()).unwrap();
    let (_home, site) = demo(stage, &[]).await;
    let with_login = |methods: &mut Value| {
        methods["z-users"] = json!({"jwt": {"issuerUrl": issuer.url}});
    };
    let card = "document.querySelector('section[aria-labelledby=oidc]')";
    let ran = browse("tokens", &site, async |browser| {
        browser.open_as("alice", "/products/tokens/toys").await;
        browser.shows("gold").await;
        assert_eq!(browser.value(&format!("{card} === null")).await, true, "keys only");
        // The way with a token comes second.
        let mut methods = api_keys(&json!({"app": "my-api-product"}));
        with_login(&mut methods);
        toystore::authentication(&stage.client(), "tokens", &methods).await.unwrap();
        browser.until(&format!("({card}?.innerText ?? '').includes('{}/token')", issuer.url)).await;
        let links = format!("[...{card}.querySelectorAll('a')].map((one) => one.getAttribute('href'))");
        assert_eq!(browser.value(&links).await, json!([issuer.url, format!("{}/token", issuer.url)]));
        let text = browser.value(&format!("{card}.innerText")).await;
        let text = text.as_str().unwrap();
        assert!(text.contains("grant_type=client_credentials"), "{text}");
        browser.click("[role=tab]", "API keys").await;
        browser.shows("No API keys yet").await;
        browser.click("[role=tab]", "Overview").await;
        let mut methods = json!({});
        with_login(&mut methods);
        toystore::authentication(&stage.client(), "tokens", &methods).await.unwrap();
        browser.hides("API keys").await;
        browser.hides("Request API access").await;
        browser.shows("OIDC Provider Discovery").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_with_a_sort_button_is_sorted() {
    let stage = Stage::shared().await;
    let place = stage.toystore("sorts").await;
    place.publish("owner1", "toys", &json!({})).await;
    place.ask("owner1", "toys").await;
    place.ask("alice", "toys").await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("sorts", &site, async |browser| {
        for (path, columns) in [("/products", 2), ("/keys", 3), ("/approvals", 3)] {
            browser.open_as("owner1", &format!("{path}?namespace=sorts")).await;
            let buttons = "document.querySelectorAll('th button.sort')";
            assert_eq!(browser.value(&format!("{buttons}.length")).await, columns, "{path}");
            for column in 0..columns {
                for direction in ["ascending", "descending"] {
                    browser.value(&format!("{buttons}[{column}].click()")).await;
                    let is_sorted = format!(
                        "{buttons}[{column}]?.closest('th').getAttribute('aria-sort') === '{direction}' && \
                         document.querySelector('table[aria-busy=false]') !== null"
                    );
                    browser.until(&is_sorted).await;
                    browser.hides("This may be out of date").await;
                }
            }
        }
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
