//! The days of an owner, an admin and a platform engineer, and of two people who work at the same time.

use kube::api::{Patch, PatchParams};
use portolan_core::api::devportal::{APIKey, APIProduct};
use portolan_testkit::{eventually, toystore, watch_until_gone};
use serde_json::json;

use super::{
    ask,
    chromium::{ABSENCE, Browser},
    demo,
    driver::browse,
};
use crate::scene::{Place, SOON, Stage};

const PRODUCTS: &str = "/api/kuadrant/apiproducts";

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_offers_an_api_and_looks_after_its_keys() {
    let stage = Stage::shared().await;
    let (place, elsewhere) = (stage.toystore("offer-a").await, stage.namespace("offer-b").await);
    let client = stage.client();
    toystore::write(
        &client,
        "HTTPRoute",
        ("offer-b", "toystore"),
        &json!({"hostnames": ["b.example"]}),
        &json!({}),
    )
    .await
    .unwrap();
    let plans = json!({"targetRef": toystore::target("HTTPRoute", "toystore"), "plans": [{"tier": "tin"}]});
    toystore::write(&client, "PlanPolicy", ("offer-b", "plans-of-b"), &plans, &json!({})).await.unwrap();
    drop(elsewhere);
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("owner", &site, async |browser| {
        create(browser).await;
        let made = place.api::<APIProduct>().get("toys").await.unwrap();
        assert_eq!(made.metadata.annotations.unwrap()["backstage.io/owner"], "owner1");
        let alice = stage.portal.by(&stage.login, "alice");
        let catalog = async || {
            let names = alice.names(&format!("{PRODUCTS}?catalog=true&namespace=offer-a")).await;
            (names == ["toys"]).then_some(())
        };
        eventually("it is in the catalog", SOON, catalog).await.unwrap();
        let planned = async || {
            let status = place.api::<APIProduct>().get("toys").await.unwrap().status?;
            (status.discovered_plans.len() == 3).then_some(())
        };
        eventually("its plans are found", SOON, planned).await.unwrap();

        browser.open_as("owner1", "/products/offer-a/toys").await;
        browser.click("button", "Edit").await;
        browser.fill("Description", "All toys, by mail and by ship").await;
        browser.click("dialog button[type=submit]", "Save").await;
        browser.shows("by mail and by ship").await;
        look_after(browser, &place).await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

/// Creates the product `toys` in the dialog, where each route has the plans of its own namespace.
async fn create(browser: &Browser) {
    browser.open_as("owner1", "/products?namespace=offer-a").await;
    browser.click("button", "Create API product").await;
    browser.fill("API product name", "Toys by mail").await;
    browser.fill("Kubernetes resource name", "toys").await;
    browser.fill("Description", "All toys, by mail").await;
    browser.fill("Search by name", "offer-").await;
    let offered = |namespace: &str| {
        format!("document.querySelector('[aria-label=\"Namespace {namespace}\"]')?.innerText ?? ''")
    };
    browser
        .until(&format!("({}).includes('toystore-plans (gold, silver, bronze)')", offered("offer-a")))
        .await;
    browser.until(&format!("({}).includes('plans-of-b (tin)')", offered("offer-b"))).await;
    for (namespace, other) in [("offer-a", "plans-of-b"), ("offer-b", "toystore-plans")] {
        let text = browser.value(&offered(namespace)).await;
        assert!(!text.as_str().unwrap().contains(other), "{namespace}: {text}");
    }
    browser.click("[aria-label='Namespace offer-a'] label", "toystore").await;
    browser.until("!document.querySelector('dialog button[type=submit]').disabled").await;
    browser.enters_in_vain("Search by name").await;
    browser.click("dialog button[type=submit]", "Create").await;
    browser.shows("API product “Toys by mail” created").await;
}

/// Approves two requests at once, and takes one key back.
async fn look_after(browser: &Browser, place: &Place<'_>) {
    let keys = [place.ask("alice", "toys").await, place.ask("bob", "toys").await];
    browser.open_as("owner1", "/approvals?namespace=offer-a").await;
    browser.click("input[type=checkbox]", "Select all pending requests").await;
    browser.shows("2 requests selected").await;
    browser.click("button", "Approve selected").await;
    browser.click("dialog button[type=submit]", "Approve all").await;
    browser.shows("2 requests approved").await;
    for key in &keys {
        assert_eq!(place.phase(key).await.as_deref(), Some("Approved"), "{key}");
    }
    browser.click("button", &format!("Revoke {}", keys[0])).await;
    browser.fill("Reason", "it leaked").await;
    browser.click("dialog button[type=submit]", "Revoke").await;
    browser.shows("Key revoked").await;
    assert_eq!(place.phase(&keys[0]).await.as_deref(), Some("Rejected"));
    assert_eq!(place.phase(&keys[1]).await.as_deref(), Some("Approved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_acts_for_an_owner_who_is_away() {
    let stage = Stage::shared().await;
    let place = stage.toystore("away").await;
    place.publish("owner1", "toys", &json!({"displayName": "Toys away"})).await;
    let key = place.ask("alice", "toys").await;
    let (_home, site) = demo(stage, &[]).await;
    let catalog = async || {
        let path = format!("{PRODUCTS}?catalog=true&namespace=away");
        site.by(&stage.login, "alice").names(&path).await
    };
    let ran = browse("admin", &site, async |browser| {
        browser.open_as("admin1", "/approvals?namespace=away").await;
        browser.click("button", &format!("Approve {key}")).await;
        browser.click("dialog button[type=submit]", "Approve").await;
        browser.shows("Request approved").await;
        place.value(&key).await;
        browser.open_as("admin1", "/products?namespace=away").await;
        browser.click(".menu-list button", "Unpublish").await;
        browser.click("dialog button[type=submit]", "Unpublish").await;
        browser.shows("“Toys away” is a draft again").await;
        assert!(catalog().await.is_empty());
        browser.click(".menu-list button", "Publish").await;
        browser.click("dialog button[type=submit]", "Publish").await;
        browser.shows("“Toys away” is published").await;
        assert_eq!(catalog().await, ["toys"]);
        browser.click(".menu-list button", "Delete").await;
        browser.shows("1 API key(s)").await;
        browser.shows("1 API key Secret(s)").await;
        let button = "document.querySelector('dialog button[type=submit]').disabled";
        browser.fill("Type toys to confirm", "toy").await;
        browser.until(button).await;
        browser.fill("Type toys to confirm", "toys").await;
        browser.click("dialog button[type=submit]", "Delete").await;
        browser.shows("API product “Toys away” deleted").await;
        assert!(catalog().await.is_empty());
        watch_until_gone(place.api::<APIKey>(), &key, SOON).await.unwrap();
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_changes_plans_with_kubectl_and_sees_them_arrive() {
    let stage = Stage::shared().await;
    let place = stage.toystore("plans").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("engineer", &site, async |browser| {
        browser.open_as("eng", "/products/plans/toys#policies").await;
        browser.shows("gold (100 per day)").await;
        browser.shows("Discovered PlanPolicy toystore-plans targeting HTTPRoute toystore").await;
        let policies = toystore::foreign(&stage.kubectl("eng").await, "PlanPolicy", "plans");
        let plans = json!([{"tier": "free", "limits": {"monthly": 7}}]);
        let change = Patch::Merge(json!({"spec": {"plans": plans}}));
        policies.patch("toystore-plans", &PatchParams::default(), &change).await.unwrap();
        browser.shows("free (7 per month)").await;
        browser.hides("gold (100 per day)").await;
        // What an engineer may not do is not offered.
        let text = browser.value("document.body.innerText").await;
        for never in ["Approvals", "Request API access"] {
            assert!(!text.as_str().unwrap().contains(never), "{never}: {text}");
        }
        let menus = browser.value("document.querySelectorAll('[aria-label^=\"Actions for\"]').length").await;
        assert_eq!(menus, 0);
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_browsers_see_what_the_other_does() {
    let stage = Stage::shared().await;
    let place = stage.toystore("both").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("both-owner", &site, async |owner| {
        owner.open_as("owner1", "/approvals?namespace=both").await;
        owner.shows("No API keys match the selected filters.").await;
        let other = browse("both-consumer", &site, async |consumer| {
            ask(consumer, "both/toys").await;
            consumer.click("[role=tab]", "API keys").await;
            consumer.shows("Pending Requests").await;
            // Nobody loads a page from here on.
            owner.shows("alice@example.com").await;
            owner.click("button", "Approve alice").await;
            owner.click("dialog button[type=submit]", "Approve").await;
            owner.shows("Request approved").await;
            consumer.shows("••••••••••••").await;
            consumer.hides("Pending Requests").await;
            consumer.click(".menu-list button", "Delete").await;
            consumer.click("dialog button[type=submit]", "Delete").await;
            consumer.shows("No API keys yet").await;
            owner.hides("alice@example.com").await;
        });
        assert!(other.await, "there was one browser");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
