//! Rows that go while somebody is at them: where the focus goes, and the page that has none left.

use portolan_testkit::toystore;
use serde_json::{Value, json};

use super::{
    chromium::{ABSENCE, Browser},
    demo,
    driver::browse,
};
use crate::scene::{Place, Stage};

/// Opens the dialog that deletes a row, from the menu in it, as the keyboard would.
async fn delete(browser: &Browser, row: &str) {
    let label = format!("Actions for {row}");
    browser.press(".menu > button", &label).await;
    let menu = format!("document.querySelector('.menu:has(> [aria-label=\"{label}\"])')");
    browser
        .value(&format!("((one) => {{ one.focus(); one.click(); }})({menu}.querySelector('.bad-text'))"))
        .await;
}

/// Waits until the row is gone, and something else has the focus.
async fn goes(browser: &Browser, row: &str, next: &str) {
    browser.click("dialog button[type=submit]", "Delete").await;
    browser.until(&format!("!document.body.innerHTML.includes('Actions for {row}')")).await;
    browser.focuses(next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_focus_goes_on_to_the_next_row() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rows").await;
    for (name, title) in [("first", "Toys one"), ("second", "Toys two")] {
        place.publish("owner1", name, &json!({"displayName": title})).await;
    }
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("rows", &site, async |browser| {
        for page in ["/keys?namespace=rows&sort=name", "/products/rows/first#keys"] {
            let mut keys = [place.ask("alice", "first").await, place.ask("alice", "first").await];
            keys.sort();
            browser.open_as("alice", page).await;
            let rows = "document.querySelectorAll('tr[data-uid] .menu').length";
            browser.until(&format!("{rows} === 2")).await;
            // Their order is that of the page.
            let first = "document.querySelector('tr[data-uid] .menu > button').getAttribute('aria-label')";
            let first = browser.value(first).await.as_str().unwrap().replace("Actions for ", "");
            let last = keys.iter().find(|key| **key != first).unwrap();
            delete(browser, &first).await;
            goes(browser, &first, &format!("Actions for {last}")).await;
            let heading = if page.starts_with("/keys") { "My API keys" } else { "Toys one" };
            delete(browser, last).await;
            goes(browser, last, heading).await;
        }
        decided_elsewhere(browser, &place).await;
        browser.open_as("owner1", "/products?namespace=rows&sort=name").await;
        browser.shows("Toys two").await;
        delete(browser, "Toys one").await;
        browser.fill("Type first to confirm", "first").await;
        goes(browser, "Toys one", "Actions for Toys two").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

/// Somebody else decides about the request at which an owner is, and about the last one.
async fn decided_elsewhere(browser: &Browser, place: &Place<'_>) {
    let mut keys = [place.ask("alice", "first").await, place.ask("alice", "first").await];
    keys.sort();
    browser.open_as("owner1", "/approvals?namespace=rows&status=Pending&sort=name").await;
    let button = format!("Reject {}", keys[0]);
    browser.until(&format!("document.querySelector('[aria-label=\"{button}\"]') !== null")).await;
    browser.value(&format!("document.querySelector('[aria-label=\"{button}\"]').focus()")).await;
    place.decide("admin1", &keys[0], "approve", &json!({})).await;
    browser.focuses(&format!("Reject {}", keys[1])).await;
    place.decide("admin1", &keys[1], "approve", &json!({})).await;
    browser.focuses("API key approval").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_rows_gives_way_to_the_last_one() {
    let stage = Stage::shared().await;
    let place = stage.toystore("last-page").await;
    place.publish("owner1", "toys", &json!({})).await;
    let key = place.ask("alice", "toys").await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("last-page", &site, async |browser| {
        browser.open_as("alice", "/keys?namespace=last-page").await;
        browser.shows(&key).await;
        browser.client.goto(&format!("{}/keys?namespace=last-page&page=3", browser.origin)).await.unwrap();
        browser.shows(&key).await;
        assert_eq!(browser.value("location.search").await, "?namespace=last-page");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_that_is_shown_can_be_chosen() {
    let stage = Stage::shared().await;
    let place = stage.toystore("filters").await;
    place.publish("owner1", "toys", &json!({"tags": ["sea"]})).await;
    // A product without plans has nothing by which to filter them.
    let plans = toystore::foreign(&stage.client(), "PlanPolicy", "filters");
    plans.delete("toystore-plans", &kube::api::DeleteParams::default()).await.unwrap();
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("filters", &site, async |browser| {
        browser.open_as("owner1", "/products?namespace=filters").await;
        browser.shows("N/A").await;
        let boxes = "[...document.querySelectorAll('.facet label')].filter((one) => \
                     one.closest('.facet').innerText.split('\\n')[0] !== 'Namespace')";
        let name = "((one) => [one.closest('.facet').querySelector('legend').innerText, \
                    one.querySelector('.grow').innerText].join(': '))";
        let names = browser.value(&format!("{boxes}.map({name})")).await;
        let names: Vec<_> = names.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(names.len() >= 5, "{names:?}");
        for wanted in names {
            let input = format!("{boxes}.find((one) => {name}(one) === {})?.control", json!(wanted));
            for is_chosen in [true, false] {
                browser.until(&format!("!!{input}")).await;
                browser.value(&format!("{input}.click()")).await;
                browser.until(&format!("{input}?.checked === {is_chosen}")).await;
                browser.until("document.querySelector('table[aria-busy=false] tbody tr') !== null").await;
            }
        }
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
