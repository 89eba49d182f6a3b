//! Pictures of every page in both themes, which the documentation has: each run compares its own with them.
//!
//! `PORTOLAN_SCREENSHOTS=update` writes them anew.

use std::{fs, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fantoccini::error::CmdError;
use serde_json::{Value, json};

use super::{
    chromium::{ABSENCE, Browser},
    demo,
    driver::{THEMES, browse_with},
};
use crate::{
    outside::Outside,
    scene::{Place, Stage},
};

/// Part of the pixels that may differ, as edges of letters do between versions of Chromium.
const TOLERANCE: f64 = 0.01;
const FLAGS: [&str; 4] = [
    "--force-device-scale-factor=1",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
    "--font-render-hinting=none",
];
/// Nothing blinks, and what depends on the time of the run is the same in each.
const STILL: &str = r"
const sheet = new CSSStyleSheet();
sheet.replaceSync('* { caret-color: transparent !important; transition: none !important; animation: none !important; }');
document.adoptedStyleSheets = [sheet];
document.activeElement?.blur();
const months = 'Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';
const time = new RegExp(`\\b(${months}) \\d{1,2}(, \\d{4})?(, \\d{1,2}:\\d{2}\\s?[AP]M)?`, 'g');
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replace(time, 'Nov 30');
";
/// The part of the pixels in which two pictures differ by more than a shade.
const DIFFERENCE: &str = r"
const [one, other, done] = arguments;
const load = (text) => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => resolve(image);
  image.onerror = () => reject(new Error('no picture'));
  image.src = `data:image/png;base64,${text}`;
});
const pixels = (image) => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height).data;
};
Promise.all([load(one), load(other)]).then(([a, b]) => {
  if (a.width !== b.width || a.height !== b.height) return done(1);
  const [left, right] = [pixels(a), pixels(b)];
  let count = 0;
  for (let at = 0; at < left.length; at += 4) {
    const far = (part) => Math.abs(left[at + part] - right[at + part]) > 32;
    if (far(0) || far(1) || far(2)) count += 1;
  }
  done(count / (left.length / 4));
}, () => done(1));
";
const DOCUMENT: &str = "openapi: 3.0.3
info: {title: Toy store, version: 1.4.0, description: 'Every toy that the store has, and how many are left.'}
servers: [{url: 'https://api.toystore.com/v1'}]
paths:
  /toys:
    get:
      operationId: listToys
      tags: [toys]
      summary: Lists toys
      parameters:
      - {name: limit, in: query, description: How many at most, schema: {type: integer, maximum: 100}}
      responses:
        '200': {description: The toys, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Toy'}}}}}
    post: {operationId: addToy, tags: [toys], summary: Adds a toy, responses: {'201': {description: It was added}}}
  /toys/{id}:
    delete: {operationId: removeToy, tags: [toys], summary: Takes a toy away, responses: {'204': {description: It is gone}}}
  /orders: {get: {operationId: listOrders, tags: [orders], summary: Lists orders, responses: {'200': {description: The orders}}}}
components: {schemas: {Toy: {type: object, required: [name], properties: {name: {type: string}, left: {type: integer}}}}}
";

/// Products and keys that are the same each time. Gives the names of keys: pending, rejected, approved.
async fn harbour(place: &Place<'_>, document: &str) -> [String; 3] {
    let more = json!({
        "displayName": "Toy store", "description": "Every toy that the store has, and how many are left.",
        "version": "v1", "tags": ["toys", "retail"], "documentation": {"openAPISpecURL": document},
        "contact": {"team": "Toys", "email": "toys@example.com"},
    });
    place.publish("owner1", "toys", &more).await;
    for (name, title, text, status) in [
        ("charts", "Sea charts", "Soundings and coast lines, by tile.", "Published"),
        ("tides", "Tide tables", "High and low water of every harbour.", "Published"),
        ("lights", "List of lights", "What each lighthouse shows, and when.", "Draft"),
    ] {
        let more = json!({"displayName": title, "description": text, "version": "v2", "tags": ["sea"],
                          "publishStatus": status});
        place.publish("owner1", name, &more).await;
    }
    let names = [
        place.ask_as("alice", "toys", "1").await,
        place.ask_as("alice", "toys", "2").await,
        place.ask_as("alice", "toys", "3").await,
    ];
    place.decide("owner1", &names[1], "reject", &json!({"reason": "Say which program will use it"})).await;
    place.decide("owner1", &names[2], "approve", &json!({})).await;
    place.revealed("alice", &names[2]).await;
    names
}

/// Compares a picture with that of the documentation, or writes it. Gives what is wrong.
async fn compare(browser: &Browser, name: &str, taken: &[u8]) -> Result<Option<String>, CmdError> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/images/portal/{name}.png"));
    if std::env::var_os("PORTOLAN_SCREENSHOTS").is_some_and(|word| word == "update") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, taken).unwrap();
        return Ok(None);
    }
    let kept = fs::read(&path).unwrap_or_default();
    browser.client.goto("about:blank").await?;
    let pictures = [&kept[..], taken].map(|bytes| json!(BASE64_STANDARD.encode(bytes)));
    let differing = browser.client.execute_async(DIFFERENCE, pictures.to_vec()).await?;
    let differing = differing.as_f64().unwrap_or(1.0);
    if differing <= TOLERANCE {
        return Ok(None);
    }
    if let Some(folder) = std::env::var_os("PORTOLAN_PICTURES") {
        fs::write(PathBuf::from(folder).join(format!("{name}.png")), taken).unwrap();
    }
    Ok(Some(format!("{name}: {:.2} % of it", differing * 100.0)))
}

/// A picture of the page as it is now, in each theme.
async fn pictures(browser: &Browser, name: &str) -> Vec<(String, Vec<u8>)> {
    let mut taken = Vec::new();
    for theme in THEMES {
        browser.value(&format!("(document.documentElement.dataset.theme = '{theme}')")).await;
        browser.until("document.querySelector('.skeleton, [aria-busy=true]') === null && document.fonts.status === 'loaded'").await;
        browser.client.execute(STILL, Vec::<Value>::new()).await.unwrap();
        taken.push((format!("{name}-{theme}"), browser.client.screenshot().await.unwrap()));
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_looks_as_the_documentation_shows_it() {
    let stage = Box::pin(Stage::start("portal-pictures")).await;
    let place = stage.toystore("harbour").await;
    let document = Outside::start(|_| Some((200, String::new(), DOCUMENT.into()))).await;
    let [pending, _, approved] = harbour(&place, &format!("{}/openapi.yaml", document.url)).await;
    let (_home, site) = demo(&stage, &[]).await;
    let key = format!("/keys/harbour/{approved}");
    let ran = browse_with("pictures", &site, (&FLAGS, &[]), async |browser| {
        let mut taken = Vec::new();
        browser.client.goto(&format!("{}/login?next=/", browser.origin)).await.unwrap();
        taken.extend(pictures(browser, "login").await);
        for (who, path, text, name) in [
            ("alice", "/", "Tide tables", "catalog"),
            ("alice", "/products/harbour/toys", "toys@example.com", "product"),
            ("alice", "/products/harbour/toys#definition", "Lists orders", "definition"),
            ("alice", "/products/harbour/toys#policies", "gold (100 per day)", "policies"),
            ("alice", "/products/harbour/toys#keys", "••••••••••••", "product-keys"),
            ("alice", "/products/harbour/toys#try", "Nothing sent yet", "try"),
            ("alice", "/keys?sort=name", "••••••••••••", "keys"),
            ("alice", key.as_str(), "Usage examples", "key"),
            ("owner1", "/products?sort=name", "Tide tables", "products"),
            ("owner1", "/approvals?sort=name", "alice@example.com", "approvals"),
        ] {
            browser.open_as(who, path).await;
            browser.shows(text).await;
            taken.extend(pictures(browser, name).await);
        }
        browser.click("button", &format!("Approve {pending}")).await;
        browser.until("document.querySelector('dialog button[type=submit]') !== null").await;
        taken.extend(pictures(browser, "decision").await);
        let mut wrong = Vec::new();
        for (name, picture) in &taken {
            wrong.extend(compare(browser, name, picture).await.unwrap());
        }
        assert!(
            wrong.is_empty(),
            "these differ; if they are right, run with PORTOLAN_SCREENSHOTS=update: {wrong:#?}"
        );
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
