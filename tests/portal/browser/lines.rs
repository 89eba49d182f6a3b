//! The kubectl lines that pages show, run by the people who read them: with a real kubectl, and with no rights but theirs.

use std::time::Duration;

use portolan_core::api::devportal::{
    ANNOTATION_OWNER, ANNOTATION_ROTATE_OVERLAP, APIKey, APIProduct, PublishStatus,
};
use portolan_testkit::{command::Line, eventually, watch_until_gone, workdir::Workdir};
use serde_json::json;

use super::{
    chromium::{ABSENCE, Browser},
    demo,
    driver::browse,
};
use crate::scene::{Place, SOON, Stage};

/// Where people type what they have read.
struct Terminal<'a> {
    stage: &'a Stage,
    home: Workdir,
}

impl Terminal<'_> {
    /// What a line says that somebody runs.
    async fn run(&self, person: &str, line: &str) -> String {
        let text = self.stage.plane.kubeconfig_for_token(&self.stage.login.token(person), "default");
        let file = self.home.write_private(&format!("{person}.kubeconfig"), &text).unwrap();
        let script = Line::script(self.home.path(), &self.stage.plane, line).unwrap();
        let ran = script.env("KUBECONFIG", file).run().await.unwrap();
        assert_eq!(ran.code, 0, "{person} ran\n{line}\n{}", ran.stderr);
        ran.stdout
    }

    /// Runs what the page shows, once it has this in it.
    async fn repeat(&self, browser: &Browser, person: &str, part: &str) -> String {
        let shown = "((document.querySelector('dialog') ?? document).querySelector('.kubectl code')?.textContent ?? '')";
        browser.until(&format!("{shown}.includes({})", json!(part))).await;
        // However long it is, the rest of its dialog stays within it.
        let open = "document.querySelectorAll('.kubectl').forEach((one) => (one.open = true))";
        browser.value(open).await;
        let overflow =
            "[...document.querySelectorAll('.dialog-body')].some((one) => one.scrollWidth > one.clientWidth)";
        assert_eq!(browser.value(overflow).await, json!(false), "{part}");
        self.run(person, browser.value(shown).await.as_str().unwrap()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_does_what_its_page_does() {
    let stage = Stage::shared().await;
    if stage.plane.kubectl().is_none() {
        return println!("skipped: {}: there is no kubectl: unset KUBEBUILDER_ASSETS", module_path!());
    }
    let place = stage.toystore("lines").await;
    let terminal = Terminal { stage, home: Workdir::new("portal-lines").unwrap() };
    let (_home, site) = demo(stage, &[]).await;
    let ran = browse("lines", &site, async |browser| {
        create(browser, &terminal, &place).await;
        change(browser, &terminal, &place).await;
        let key = request(browser, &terminal, &place).await;
        use_it(browser, &terminal, &place, &key).await;
        decide(browser, &terminal, &place, &key).await;
        browser.open_as("owner1", "/products?namespace=lines").await;
        browser.click(".menu-list button", "Delete").await;
        terminal.repeat(browser, "owner1", "kubectl delete apiproduct").await;
        watch_until_gone(place.api::<APIProduct>(), "toys", SOON).await.unwrap();
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}

/// An owner makes a product.
async fn create(browser: &Browser, terminal: &Terminal<'_>, place: &Place<'_>) {
    browser.open_as("owner1", "/products?namespace=lines").await;
    browser.click("button", "Create API product").await;
    browser.fill("API product name", "It's \"toys\": $HOME").await;
    browser.fill("Kubernetes resource name", "toys").await;
    browser.fill("Description", "EOF\n- one\n- two").await;
    browser.fill("Documentation URL", "https://docs.example/?a=b#c").await;
    browser.fill("Search by name", "lines").await;
    browser.click("[aria-label='Namespace lines'] label", "toystore").await;
    terminal.repeat(browser, "owner1", "lifecycle: production").await;
    let planned = async || {
        let product = place.api::<APIProduct>().get("toys").await.ok()?;
        (product.status.as_ref()?.discovered_plans.len() == 3).then_some(product)
    };
    let product = eventually("its plans are found", SOON, planned).await.unwrap();
    let text = serde_json::to_value(&product.spec).unwrap();
    assert_eq!(text["displayName"], "It's \"toys\": $HOME");
    assert_eq!(text["description"], "EOF\n- one\n- two");
    assert_eq!(product.metadata.annotations.unwrap()[ANNOTATION_OWNER], "owner1");
}

/// The owner changes it, and takes it from the catalog and back.
async fn change(browser: &Browser, terminal: &Terminal<'_>, place: &Place<'_>) {
    let page = "/products/lines/toys";
    browser.open_as("owner1", page).await;
    browser.click(".menu-list button", "Edit").await;
    browser.fill("Description", "It's all toys").await;
    browser.fill("Documentation URL", "").await;
    terminal.repeat(browser, "owner1", "\"docsURL\":null").await;
    let spec = serde_json::to_value(place.api::<APIProduct>().get("toys").await.unwrap().spec).unwrap();
    assert_eq!((&spec["description"], spec["documentation"].get("docsURL")), (&json!("It's all toys"), None));
    for (verb, status) in [("Unpublish", PublishStatus::Draft), ("Publish", PublishStatus::Published)] {
        browser.open_as("owner1", page).await;
        browser.click(".menu-list button", verb).await;
        terminal.repeat(browser, "owner1", "publishStatus").await;
        let product = place.api::<APIProduct>().get("toys").await.unwrap();
        assert_eq!(product.spec.publish_status, status);
    }
}

/// A consumer asks for a key, and thinks again. Gives its name.
async fn request(browser: &Browser, terminal: &Terminal<'_>, place: &Place<'_>) -> String {
    browser.open_as("alice", "/products/lines/toys").await;
    browser.click("button", "Request API access").await;
    browser.click("dialog label", "gold").await;
    browser.fill("Use case", "it's for \"$HOME\"").await;
    browser.choose("Expiration", "30").await;
    terminal.repeat(browser, "alice", "expiresAt").await;
    let keys = place.api::<APIKey>();
    let asked = async || {
        let key = keys.list(&kube::api::ListParams::default()).await.unwrap().items.pop()?;
        (key.status.as_ref()?.product_owner.as_deref() == Some("owner1")).then_some(key)
    };
    let key = eventually("the request is seen", SOON, asked).await.unwrap();
    assert_eq!(key.spec.use_case.as_deref(), Some("it's for \"$HOME\""));
    assert!(key.spec.expires_at.is_some());
    let name = key.metadata.name.unwrap();
    browser.open_as("alice", "/keys?namespace=lines").await;
    browser.click(".menu-list button", "Edit").await;
    browser.until("document.querySelectorAll('dialog select option[value=silver]').length === 1").await;
    browser.choose("Tier", "silver").await;
    browser.choose("Expiration", "none").await;
    terminal.repeat(browser, "alice", "\"expiresAt\":null").await;
    let spec = keys.get(&name).await.unwrap().spec;
    assert_eq!((spec.plan_tier.as_str(), spec.expires_at), ("silver", None));
    name
}

/// The owner approves the request, and the consumer reads the key and gets another value.
async fn use_it(browser: &Browser, terminal: &Terminal<'_>, place: &Place<'_>, key: &str) {
    browser.open_as("owner1", "/approvals?namespace=lines").await;
    browser.click("button", &format!("Approve {key}")).await;
    browser.fill("Comment", "it's \"fine\"").await;
    terminal.repeat(browser, "owner1", "fine").await;
    assert_eq!(place.phase(key).await.as_deref(), Some("Approved"));
    let page = format!("/keys/lines/{key}");
    let mut value = place.revealed("alice", key).await;
    browser.open_as("alice", &page).await;
    assert_eq!(terminal.repeat(browser, "alice", "get secret").await, value);
    for (choice, overlap) in [("It stops at once", Some("0")), ("It keeps working", None)] {
        // Two rotations of one second are one: the line says no more of the time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        browser.open_as("alice", &page).await;
        browser.click("button", "Rotate").await;
        browser.click("dialog label", choice).await;
        let part = overlap.map_or("rotate-overlap\":null", |_| "rotate-overlap\":\"0\"");
        terminal.repeat(browser, "alice", part).await;
        let rotated = async || {
            let next = place.value(key).await;
            let found = place.api::<APIKey>().get(key).await.unwrap();
            let has_previous = found.status.as_ref()?.previous_secret_ref.is_some();
            let said = found.metadata.annotations?.get(ANNOTATION_ROTATE_OVERLAP).cloned();
            assert_eq!(said.as_deref(), overlap);
            (next != value && has_previous == overlap.is_none()).then_some(next)
        };
        value = eventually("the key has another value", SOON, rotated).await.unwrap();
    }
}

/// The owner takes one key back, an admin grants two others, and the consumer deletes one.
async fn decide(browser: &Browser, terminal: &Terminal<'_>, place: &Place<'_>, key: &str) {
    browser.open_as("owner1", "/approvals?namespace=lines").await;
    browser.click("button", &format!("Revoke {key}")).await;
    browser.fill("Reason", "it's leaked").await;
    terminal.repeat(browser, "owner1", "leaked").await;
    assert_eq!(place.phase(key).await.as_deref(), Some("Rejected"));
    let keys = [place.ask("alice", "toys").await, place.ask("bob", "toys").await];
    browser.open_as("admin1", "/approvals?namespace=lines").await;
    browser.click("input[type=checkbox]", "Select all pending requests").await;
    browser.click("button", "Approve selected").await;
    terminal.repeat(browser, "admin1", &keys[1]).await;
    for key in &keys {
        assert_eq!(place.phase(key).await.as_deref(), Some("Approved"), "{key}");
    }
    browser.open_as("alice", &format!("/keys/lines/{}", keys[0])).await;
    browser.click(".menu-list button", "Delete").await;
    terminal.repeat(browser, "alice", "kubectl delete apikey").await;
    watch_until_gone(place.api::<APIKey>(), &keys[0], SOON).await.unwrap();
}
