//! OpenAPI documents: fetched by the real controller, read and shown by the portal.

use std::{fmt::Write as _, time::Instant};

use portolan_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    outside::Outside,
    scene::{Place, SOON, Stage},
    site::{Caller, Site},
};

/// One API in three spellings.
const SWAGGER: &str = "swagger: '2.0'
info: {title: Pets, version: '1', description: 'All *pets*, <script>alert(1)</script> and [one](javascript:alert(1))'}
host: api.toystore.com
basePath: /v1
schemes: [https]
paths:
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, type: string}]
    put:
      operationId: write
      tags: [pets]
      consumes: [application/json]
      parameters: [{name: pet, in: body, schema: {$ref: '#/definitions/Pet'}}]
      responses: {'200': {description: Done, schema: {$ref: '#/definitions/Pet'}}}
definitions:
  Pet: {type: object, required: [name], properties: {name: {type: string}, friend: {$ref: '#/definitions/Pet'}}}
";
const THREE: &str = "openapi: 3.0.3
info: {title: Pets, version: '1', description: 'All *pets*, <script>alert(1)</script> and [one](javascript:alert(1))'}
servers: [{url: 'https://api.toystore.com/v1'}]
paths:
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    put:
      operationId: write
      tags: [pets]
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
      responses: {'200': {description: Done, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}}
components:
  schemas:
    Pet: {type: object, required: [name], properties: {name: {type: string}, friend: {$ref: '#/components/schemas/Pet'}}}
";

/// The same as 3.1, in JSON.
fn three_one() -> String {
    let mut document: Value = serde_saphyr::from_str(THREE).unwrap();
    document["openapi"] = json!("3.1.0");
    document.to_string()
}

/// A document of at least so many bytes.
fn large(bytes: usize) -> String {
    let mut text = "openapi: 3.0.3\ninfo: {title: Large, version: '1'}\npaths:\n".to_owned();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        write!(
            text,
            "  /things-{number}/{{id}}:\n    get:\n      operationId: read-{number}\n      tags: [group-{}]\n      \
             description: |\n        {}\n      parameters:\n      - {{name: id, in: path, required: true, schema: \
             {{type: string}}}}\n      responses:\n        '200':\n          description: The thing\n          \
             content: {{application/json: {{schema: {{type: object, properties: {{id: {{type: string}}}}}}}}}}\n",
            number % 40,
            "Reads one thing, with everything that belongs to it. ".repeat(8).trim_end()
        )
        .unwrap();
    }
    text
}

/// A place on this machine with a text.
async fn served(text: &str) -> Outside {
    let text = text.to_owned();
    Outside::start(move |_| Some((200, String::new(), text.clone().into_bytes()))).await
}

/// Publishes a product with this document, and waits until the portal knows what has become of it.
async fn publish(place: &Place<'_>, name: &str, url: &str) {
    place.publish("owner1", name, &json!({"documentation": {"openAPISpecURL": url}})).await;
    let alice = place.stage.portal.by(&place.stage.login, "alice");
    let path = format!("/api/kuadrant/apiproducts/{}/{name}", place.namespace);
    let fetched = async || {
        let product = alice.get(&path).await.json();
        let conditions = product["status"]["conditions"].as_array()?.clone();
        let ready = conditions.into_iter().find(|one| one["type"] == "OpenAPISpecReady")?;
        (ready["status"] == "True").then_some(())
    };
    eventually("the document is fetched", SOON, fetched).await.unwrap();
}

#[tokio::test]
async fn documents_of_every_version_look_the_same() {
    let stage = Stage::shared().await;
    let place = stage.toystore("documents").await;
    let alice = stage.portal.by(&stage.login, "alice");
    let api = served("done").await;
    let gateway = format!("--try-gateway={}", api.url);
    let flags = [gateway.as_str(), "--try-allowed-cidrs=127.0.0.0/8"];
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &flags).await;
    for (name, text) in [("two", SWAGGER.to_owned()), ("three", THREE.to_owned()), ("new", three_one())] {
        let server = served(&text).await;
        publish(&place, name, &format!("{}/openapi", server.url)).await;
        let path = format!("/api/kuadrant/apiproducts/documents/{name}/openapi");
        let answer = alice.get(&path).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        let index = answer.json();
        assert_eq!((&index["title"], &index["version"]), (&json!("Pets"), &json!("1")), "{name}: {index}");
        assert_eq!(index["servers"], json!(["https://api.toystore.com/v1"]), "{name}");
        let line =
            json!({"id": "write", "method": "PUT", "path": "/pets/{id}", "summary": "", "deprecated": false});
        assert_eq!(index["tags"][0]["operations"], json!([line]), "{name}");
        let said = index["description"].as_str().unwrap();
        assert!(said.contains("<em>pets</em>") && said.contains("&lt;script&gt;"), "{name}: {said}");
        assert!(!said.contains("<script") && !said.contains("javascript:"), "{name}: {said}");
        let operation = alice.get(&format!("{path}/operations/write")).await.json();
        assert_eq!(operation["parameters"][0]["name"], "id", "{name}: {operation}");
        assert_eq!(operation["parameters"][0]["schema"]["type"], "string", "{name}: {operation}");
        for schema in [
            &operation["requestBody"]["content"][0]["schema"],
            &operation["responses"][0]["content"][0]["schema"],
        ] {
            let property = |name: &str| {
                let all = schema["properties"].as_array().unwrap();
                all.iter().find(|one| one["name"] == name).unwrap()["schema"].clone()
            };
            assert_eq!(property("name"), json!({"type": "string"}), "{name}: {schema}");
            assert_eq!(property("friend"), json!({"ref": "Pet"}), "a circle ends: {schema}");
        }
        Caller::is_problem(&alice.get(&format!("{path}/operations/none")).await, 404);
        let raw = alice.get(&format!("{path}/raw")).await;
        assert_eq!(raw.text, text, "{name}");
        assert_eq!(raw.values("content-type"), ["text/plain; charset=utf-8"], "never a page");
        // What is tried is one of its operations.
        let trial = |method: &str, path: &str| json!({"namespace": "documents", "name": name, "method": method, "path": path});
        let tries = site.by(&stage.login, "alice");
        for (method, path) in [("DELETE", "/pets/7"), ("PUT", "/toys/7"), ("PUT", "/pets/7/x")] {
            let refused = tries.post("/api/kuadrant/try", &trial(method, path)).await;
            Caller::is_problem(&refused, 422);
            assert!(refused.text.contains("no such operation"), "{}", refused.text);
        }
        for path in ["/pets/7", "/v1/pets/7"] {
            let answer = tries.post("/api/kuadrant/try", &trial("PUT", path)).await;
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(200)), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_large_document_opens_soon() {
    let stage = Stage::shared().await;
    let place = stage.toystore("large").await;
    let text = large(950_000);
    let server = served(&text).await;
    publish(&place, "large", &format!("{}/openapi", server.url)).await;
    let alice = stage.portal.by(&stage.login, "alice");
    let path = "/api/kuadrant/apiproducts/large/large/openapi";
    let begun = Instant::now();
    let index = alice.get(path).await;
    let operation = alice.get(&format!("{path}/operations/read-7")).await.json();
    let took = begun.elapsed();
    assert_eq!((index.status, &operation["path"]), (200, &json!("/things-7/{id}")), "{operation}");
    // Half a second is promised; this build is not optimised.
    assert!(took.as_secs_f64() < 2.5, "{took:?}");
    let list = alice.get("/api/kuadrant/apiproducts?namespace=large").await;
    assert!(list.text.len() < 20_000, "the text is in no list: {}", list.text.len());
    // Backstage gets it whole, although it is not in the status.
    let entities = alice.get("/api/catalog/entities").await.json();
    let is_it = |entity: &&Value| entity["metadata"]["namespace"] == "large";
    let entity = entities.as_array().unwrap().iter().find(is_it).unwrap();
    assert!(entity["spec"]["definition"] == text, "{}", entity["spec"]["definition"].to_string().len());
}

#[tokio::test]
async fn what_is_no_document_says_so() {
    let stage = Stage::shared().await;
    let place = stage.toystore("nonsense").await;
    let alice = stage.portal.by(&stage.login, "alice");
    for (name, text) in
        [("text", "hello"), ("broken", "openapi: [3.0"), ("older", "swagger: '1.2'\npaths: {}")]
    {
        let server = served(text).await;
        publish(&place, name, &format!("{}/openapi", server.url)).await;
        let path = format!("/api/kuadrant/apiproducts/nonsense/{name}/openapi");
        Caller::is_problem(&alice.get(&path).await, 422);
        assert_eq!(alice.get(&format!("{path}/raw")).await.text, text);
    }
    place.publish("owner1", "without", &json!({})).await;
    Caller::is_problem(&alice.get("/api/kuadrant/apiproducts/nonsense/without/openapi").await, 404);
}
