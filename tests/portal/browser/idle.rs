//! A browser that nobody uses: a warning, a way to stay, and an empty page at the end.

use serde_json::json;

use super::{chromium::ABSENCE, demo, driver::browse_with};
use crate::scene::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_is_warned_and_then_leaves_nothing_behind() {
    let stage = Stage::shared().await;
    let place = stage.toystore("idle").await;
    place.publish("owner1", "toys", &json!({"displayName": "Toys for nobody"})).await;
    let (_home, site) = demo(stage, &["--session-idle=18s"]).await;
    // The last question is refused, and that is how the page knows.
    let refusals = (&[][..], &["401"][..]);
    let ran = browse_with("idle", &site, refusals, async |browser| {
        browser.open_as("alice", "/products/idle/toys").await;
        browser.shows("Toys for nobody").await;
        browser.shows("Are you still there?").await;
        browser.click("dialog button[type=submit]", "Stay signed in").await;
        browser.hides("Are you still there?").await;
        browser.shows("Toys for nobody").await;
        browser.shows("Are you still there?").await;
        browser.hides("Toys for nobody").await;
        browser.shows("Sign in").await;
        assert_eq!(browser.value("document.querySelector('dialog') === null").await, true);
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
