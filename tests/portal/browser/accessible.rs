//! What axe-core has against the pages, in both themes.

use portolan_testkit::clients::{self, Toolchain};
use serde_json::{Value, json};

use super::{
    chromium::ABSENCE,
    demo,
    driver::{THEMES, browse},
};
use crate::scene::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_no_barrier() {
    let stage = Stage::shared().await;
    let place = stage.toystore("barriers").await;
    place.publish("owner1", "toys", &json!({"tags": ["sea"], "description": "Toys"})).await;
    let key = place.ask("alice", "toys").await;
    let Some(folder) = clients::build("graphql", Toolchain::Node).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Node.absence());
    };
    let axe = std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap();
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("barriers", &site, async |browser| {
        let key_page = format!("/keys/barriers/{key}");
        let pages = [
            ("alice", "/"),
            ("alice", "/products/barriers/toys"),
            ("alice", "/products/barriers/toys#definition"),
            ("alice", "/products/barriers/toys#policies"),
            ("alice", "/products/barriers/toys#keys"),
            ("alice", "/products/barriers/toys#try"),
            ("alice", "/keys"),
            ("alice", key_page.as_str()),
            ("owner1", "/products"),
            ("owner1", "/approvals"),
        ];
        for (who, path) in pages {
            browser.open_as(who, path).await;
            for theme in THEMES {
                browser.theme(theme).await;
                browser.shows("toys").await;
                assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "{path}, {theme}");
            }
        }
        // Dialogs are pages of their own.
        browser.open_as("alice", "/products/barriers/toys").await;
        browser.click("button", "Request API access").await;
        browser.shows("Submit request").await;
        assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "the request dialog");
        browser.open_as("alice", "/keys").await;
        browser.click("button", "Request API access").await;
        browser.fill("Search APIs", "toys").await;
        browser.click("dialog .options label:has(:enabled)", "toys").await;
        browser.shows("gold").await;
        assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "the dialog that picks an API");
        browser.open_as("owner1", "/products?namespace=barriers").await;
        browser.click("button", "Create API product").await;
        browser.fill("Search by name", "barriers").await;
        browser.click("[aria-label='Namespace barriers'] label", "toystore").await;
        browser.shows("HTTPRoute policies").await;
        assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "the product dialog");
        browser.click("dialog button", "Cancel").await;
        browser.click(".menu-list button", "Edit").await;
        browser.shows("Discovered PlanPolicy").await;
        assert_eq!(browser.barriers(&axe).await, Value::Array(Vec::new()), "the dialog that edits a product");
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
