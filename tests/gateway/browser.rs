//! The start page and the console in a browser.

mod accessible;
#[path = "../browser/chromium.rs"]
mod chromium;
mod driver;

use fantoccini::key::Key;

use self::{
    chromium::{ABSENCE, Browser},
    driver::{Site, browse},
};
use super::support::{World, world};

/// Opens the console with a token, and waits for the schema.
async fn console(browser: &Browser, site: &Site, token: &str) {
    browser.open(&site.url("/a/graphql")).await;
    browser.tab_to("Token of this cluster").await;
    browser.write(token).await;
    browser.shows("In the editor, Ctrl-click opens a name here.").await;
}

/// A site with a namespace for one test.
async fn site(name: &str) -> (&'static World, Site) {
    let world = world().await;
    world.namespace(name).await;
    (world, Site::start(name, world).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_find_their_cluster_and_query_it() {
    let (world, site) = site("people").await;
    world.config_map("people", "first", &[("a", "b")]).await;
    let ran = browse("people", &site, async |browser| {
        browser.open(&site.url("/")).await;
        browser.tab_to("Token").await;
        browser.write("nonsense").await;
        browser.tap(Key::Enter).await;
        browser.shows("no cluster accepts the token").await;
        browser.press(&[Key::Control], &['a']).await;
        browser.write(&world.admin).await;
        browser.tap(Key::Enter).await;
        browser.shows("One cluster takes it").await;
        browser.click(".found button", "a").await;
        browser.shows("In the editor, Ctrl-click opens a name here.").await;

        let query = "{ v1 { ConfigMap(name: \"first\", namespace: \"people\") { data } } }";
        browser.edit("GraphQL query", query).await;
        browser.click("button", "Run").await;
        browser.shows("\"a\": \"b\"").await;
        browser.edit("GraphQL query", "{ v1 { ConfigMapp { data } } }").await;
        browser.click("button", "Run").await;
        browser.shows("GRAPHQL_VALIDATION_FAILED").await;

        browser.press(&[Key::Control], &['k']).await;
        browser.until("document.activeElement.id === 'docs-search'").await;
        browser.write("apps_v1_DeploymentSpec").await;
        browser.tab_to("io_k8s_api_apps_v1_DeploymentSpec").await;
        browser.tap(Key::Enter).await;
        browser.shows("minReadySeconds").await;

        browser.client.refresh().await.unwrap();
        browser.click("button", "History").await;
        browser.click(".past button", "{ v1 { ConfigMap(").await;
        browser.shows(query).await;
        browser.click("button", "Share").await;
        browser.until("location.hash.startsWith('#q=')").await;
        let kept = browser.value("location.href + JSON.stringify(localStorage) + document.cookie").await;
        assert!(!kept.to_string().contains(&world.admin), "the token is kept: {kept}");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_shows_events() {
    let (world, site) = site("events").await;
    let ran = browse("events", &site, async |browser| {
        console(browser, &site, &world.admin).await;
        let query = "subscription { v1_configmaps(namespace: \"events\", labelselector: \"test=list\") \
                     { type object { metadata { name namespace } } } }";
        browser.edit("GraphQL query", query).await;
        browser.press(&[Key::Control], &[char::from(Key::Enter)]).await;
        browser.shows("Following").await;
        world.config_map("events", "seen", &[]).await;
        browser.shows("events/seen").await;
        browser.click("button", "Stop").await;
        browser.shows("Ended").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() {
    let (world, site) = site("keyboard").await;
    let ran = browse("keyboard", &site, async |browser| {
        browser.open(&site.url("/")).await;
        browser.tab_to("Token").await;
        browser.write(&world.admin).await;
        browser.tap(Key::Enter).await;
        browser.shows("One cluster takes it").await;
        browser.tab_to("a").await;
        browser.tap(Key::Enter).await;
        browser.shows("In the editor, Ctrl-click opens a name here.").await;
        browser.tab_to("GraphQL query").await;
        browser.press(&[Key::Control], &['a']).await;
        browser.tap(Key::Delete).await;
        // The second word is completed from the schema.
        browser.write("query Name { v1 { Namespac").await;
        browser.press(&[Key::Control], &[' ']).await;
        browser
            .until(
                "document.querySelector('.editor').shadowRoot.querySelector('[aria-selected=true]') !== null",
            )
            .await;
        browser.tap(Key::Escape).await;
        browser.write("e(name: \"keyboard\") { metadata { name } } } }").await;
        browser.press(&[Key::Shift, Key::Alt], &['f']).await;
        browser.shows("    Namespace(name: \"keyboard\") {").await;
        browser.press(&[Key::Control], &[char::from(Key::Enter)]).await;
        browser.shows("\"name\": \"keyboard\"").await;
        browser.tab_to("Variables").await;
        browser.tap(Key::Right).await;
        browser.tab_to("Token of this cluster").await;
        browser.tab_to("Response").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
