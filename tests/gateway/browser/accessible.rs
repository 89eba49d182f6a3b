//! Both pages in both themes, as axe-core judges them, and their pictures.

use fantoccini::key::Key;
use portolan_testkit::clients::{self, Toolchain};
use serde_json::Value;

use super::{
    chromium::{ABSENCE, Browser},
    console,
    driver::browse,
    site,
};

/// What axe-core finds that is serious or worse.
async fn barriers(browser: &Browser, axe: &str) -> Vec<Value> {
    let run = "const done = arguments[arguments.length - 1]; axe.run(document).then((found) => done(found.violations\
               .filter(({impact}) => impact === 'serious' || impact === 'critical')\
               .map(({id, help, nodes}) => ({id, help, nodes: nodes.map(({target, html, any}) => \
               [target, html.slice(0, 200), any.map(({message}) => message)])}))))";
    browser.client.execute(axe, Vec::new()).await.unwrap();
    browser.client.execute_async(run, Vec::new()).await.unwrap().as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious() {
    let (world, site) = site("shop").await;
    for (name, language) in [("catalogue", "de"), ("checkout", "en"), ("payments", "fr")] {
        world.config_map("shop", name, &[("language", language)]).await;
    }
    let Some(folder) = clients::build("graphql", Toolchain::Node).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Node.absence());
    };
    let axe = std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap();
    let ran = browse("axe", &site, async |browser| {
        let look = async |what: &str, picture: &str| {
            let root = "document.documentElement.dataset.theme";
            for _ in 0..2 {
                let theme = browser.value(root).await;
                let found = barriers(browser, &axe).await;
                assert!(found.is_empty(), "{what}, {theme}: {found:#?}");
                keep_picture(browser, &format!("{picture}-{}", theme.as_str().unwrap())).await;
                browser.click("button", "Switch to the").await;
                browser.until(&format!("{root} !== {theme}")).await;
            }
        };
        browser.open(&site.url("/")).await;
        browser.tab_to("Token").await;
        browser.write(&world.admin).await;
        browser.tap(Key::Enter).await;
        browser.shows("One cluster takes it").await;
        look("start page", "start").await;
        console(browser, &site, &world.admin).await;
        look("console", "empty").await;
        let query = "query ConfigMaps { v1 { ConfigMaps(namespace: \"shop\", labelselector: \"test=list\") \
                     { resourceVersion items { metadata { name creationTimestamp } data } } } }";
        browser.edit("GraphQL query", query).await;
        browser.press(&[Key::Shift, Key::Alt], &['f']).await;
        browser.press(&[Key::Control], &[char::from(Key::Enter)]).await;
        browser.shows("\"language\": \"fr\"").await;
        browser.press(&[Key::Control], &['k']).await;
        browser.until("document.activeElement.id === 'docs-search'").await;
        browser.write("Container").await;
        browser.shows("of ").await;
        look("results and an answer", "results").await;
        browser.click(".results button", "io_k8s").await;
        browser.until("document.querySelector('.doc h3') !== null").await;
        look("docs and an answer", "console").await;
        browser
            .edit(
                "GraphQL query",
                "subscription { v1_configmaps { type object { metadata { name namespace } } } }",
            )
            .await;
        browser.press(&[Key::Control], &[char::from(Key::Enter)]).await;
        browser.shows("shop/checkout").await;
        browser.click("button", "History").await;
        look("events and history", "events").await;
        browser.click("button", "Keyboard shortcuts").await;
        let found = barriers(browser, &axe).await;
        assert!(found.is_empty(), "shortcuts: {found:#?}");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

/// Writes a screenshot into the folder that `PORTOLAN_PICTURES` names, if it does: docs/images has two of them.
async fn keep_picture(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("PORTOLAN_PICTURES") {
        let png = browser.client.screenshot().await.unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), png).unwrap();
    }
}
