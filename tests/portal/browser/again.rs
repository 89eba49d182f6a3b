//! A session that ends while somebody fills in a form: the way back in leaves the page as it is.

use serde_json::json;

use super::{chromium::ABSENCE, demo, driver::browse_with};
use crate::scene::Stage;

const TYPED: &str = "toys for the winter";

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_again_finds_what_was_typed() {
    let stage = Stage::shared().await;
    let place = stage.toystore("again").await;
    place.publish("owner1", "toys", &json!({"displayName": "Toys once more"})).await;
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse_with("again", &site, (&[], &["401"]), async |browser| {
        browser.open_as("alice", "/products/again/toys").await;
        browser.click("button", "Request API access").await;
        browser.click("dialog input[type=radio], dialog label", "gold").await;
        browser.fill("Use case", TYPED).await;
        let page = browser.client.window().await.unwrap();
        browser.client.delete_all_cookies().await.unwrap();
        browser.click("dialog button[type=submit]", "Submit request").await;
        browser.shows("Your session has ended").await;

        // What is behind the dialog cannot be reached, so the dialog itself has the way.
        browser.click("dialog a", "Sign in again").await;
        browser.opens_another_window(&page).await;
        browser.click("button[value=alice]", "").await;
        // That tab closes itself.
        browser.client.switch_to_window(page).await.unwrap();
        browser.until("document.querySelector('.banner') === null").await;
        assert_eq!(browser.client.windows().await.unwrap().len(), 1);
        assert_eq!(browser.value("document.querySelector('dialog textarea').value").await, TYPED);
        browser.click("dialog button[type=submit]", "Submit request").await;
        browser.shows("Pending API owner approval").await;
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
