//! An OpenAPI document whose author means harm: its texts stay texts.

use serde_json::{Value, json};

use super::{chromium::ABSENCE, demo, driver::browse};
use crate::{
    outside::{self, Outside},
    scene::Stage,
};

/// What leads away, asks for a password, looks like the portal, or runs, with a word to find it by.
fn hostile(field: &str) -> String {
    format!(
        "<meta http-equiv=\"refresh\" content=\"0;url=/keys\"><form action=\"/logout\" class=\"card\"><input \
         name=\"password\"><button class=\"main\">Sign in</button></form><img src=\"x\" onerror=\"window.pwned=1\">\
         <script>window.pwned=1</script><style>main{{display:none}}</style><svg onload=\"window.pwned=1\"></svg>\
         <a href=\"javascript:window.pwned=1\">x</a> [y](javascript:window.pwned=1) seen-{field}"
    )
}

/// A schema with a text wherever it may have one.
fn schema(place: &str) -> Value {
    json!({
        "type": "object", "description": hostile(&format!("{place}-schema")), "title": hostile("title"),
        "properties": {(hostile("property")): {
            "description": hostile(&format!("{place}-property")), "type": "object",
            "properties": {"inner": {"type": "string", "format": hostile("format"), "enum": [hostile("enum")],
                                     "description": hostile(&format!("{place}-inner"))}},
        }},
        "oneOf": [{"type": "string", "description": hostile(&format!("{place}-choice"))}],
    })
}

/// The same API in two versions, and where its texts must be seen.
fn documents() -> [(&'static str, Value, Vec<&'static str>); 2] {
    let info =
        json!({"title": hostile("name"), "version": hostile("version"), "description": hostile("info")});
    let tags = json!([{"name": hostile("tag"), "description": hostile("tag-text")}]);
    let summary = json!({"operationId": "op", "summary": hostile("summary"), "description": hostile("operation"),
                         "tags": [hostile("tag")]});
    let mut three = summary.clone();
    three["parameters"] = json!([{"name": hostile("parameter"), "in": "query", "schema": schema("parameter"),
                                  "description": hostile("parameter-text")}]);
    let content = json!({"application/json": {"schema": schema("body"), "example": hostile("example")}});
    three["requestBody"] = json!({"description": hostile("body"), "content": content});
    three["responses"] = json!({"200": {"description": hostile("response"), "content": content}});
    let mut two = summary;
    two["parameters"] = json!([
        {"name": "q", "in": "query", "type": "string", "description": hostile("parameter-text")},
        {"name": "b", "in": "body", "description": hostile("body"), "schema": schema("body")},
    ]);
    two["responses"] = json!({"200": {"description": hostile("response"), "schema": schema("response")}});
    let path = |operation: Value| json!({"/toys": {"post": operation}});
    let seen =
        vec!["name", "info", "summary", "operation", "parameter-text", "body", "body-property", "response"];
    let servers = json!([{"url": hostile("server"), "description": hostile("server-text")}]);
    [
        (
            "three",
            json!({"openapi": "3.0.3", "info": info, "tags": tags, "servers": servers, "paths": path(three)}),
            seen.clone(),
        ),
        ("two", json!({"swagger": "2.0", "info": info, "tags": tags, "paths": path(two)}), seen),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_document_stay_texts() {
    let stage = Stage::shared().await;
    let place = stage.toystore("hostile").await;
    let documents = documents();
    let mut servers = Vec::new();
    for (name, document, _) in &documents {
        let document = document.clone();
        let server = Outside::start(move |_| outside::json(&document)).await;
        let more = json!({"documentation": {"openAPISpecURL": format!("{}/{name}", server.url)}});
        place.publish("owner1", name, &more).await;
        servers.push(server);
    }
    let (_home, site) = demo(stage, &[]).await;
    let panel = "document.querySelector('[role=tabpanel]')";
    // Fields for the portal's own search are in no text.
    let parts = ":is(meta, form, img, script, style, iframe, object, embed, base, link, svg[onload]), \
                 .prose :is(input, button, svg), [onerror], [onload], [href^=\"javascript:\" i]";
    let harm = format!("[...{panel}.querySelectorAll({})].map((one) => one.outerHTML)", json!(parts));
    let ran = browse("hostile", &site, async |browser| {
        for (name, _, seen) in &documents {
            let page = format!("/products/hostile/{name}#definition");
            browser.open_as("alice", &page).await;
            for field in seen {
                browser.until(&format!("({panel}?.textContent ?? '').includes('seen-{field}')")).await;
            }
            assert_eq!(browser.value(&harm).await, json!([]), "{name}");
            assert_eq!(browser.value("window.pwned ?? null").await, Value::Null, "{name}");
            let here = browser.value("location.pathname + location.hash").await;
            assert_eq!(here, json!(page), "nothing has led away");
        }
    });
    if !ran.await {
        println!("skipped: {}: {ABSENCE}", module_path!());
    }
}
