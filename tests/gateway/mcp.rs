//! Persisted documents as tools of the Model Context Protocol, as clients of both eras call them.

use portolan_testkit::{eventually, raw::RawAnswer, workdir::Workdir};
use serde_json::{Value, json};

use super::support::{Gateway, SOON, rule, world};

const NAMESPACE: &str = "mcp";
const META: &str = "io.modelcontextprotocol/protocolVersion";

/// A gateway with documents.
struct Tools {
    gateway: Gateway,
    _home: Workdir,
}

impl Tools {
    async fn start(name: &str, flags: &[&str]) -> Self {
        let world = world().await;
        world.namespace(NAMESPACE).await;
        let home = Workdir::new(&format!("mcp-{name}")).unwrap();
        for (file, text) in [
            (
                "maps.graphql",
                "# The ConfigMaps\n# of a namespace.\nquery ConfigMaps($namespace: String!, $limit: Int = 50) {\n\
                 v1 { ConfigMaps(namespace: $namespace, limit: $limit, labelselector: \"test=list\") { items { metadata { name } } } } }",
            ),
            (
                "make.graphql",
                "mutation Make($object: V1ConfigMap_Input!) { v1 { createConfigMap(namespace: \"mcp\", object: $object) { metadata { name } } } }",
            ),
            ("watch.graphql", "subscription Watch { v1_configmaps { type } }"),
            ("other.graphql", "query Other { nonsense { a } }"),
            ("the-kind.graphql", "{v1{Namespace(name:\"default\"){kind}}}"),
        ] {
            std::fs::write(home.path().join(file), text).unwrap();
        }
        let directory = format!("--persisted-documents={}", home.path().display());
        let flags = [&[directory.as_str()], flags].concat();
        let gateway = Gateway::start(&format!("mcp-{name}"), &[("a.json", &world.document)], &flags).await;
        Self { gateway, _home: home }
    }

    async fn post(&self, token: Option<&str>, headers: &str, message: &Value) -> RawAnswer {
        let headers = format!(
            "content-type: application/json\r\naccept: application/json, text/event-stream\r\n{headers}"
        );
        self.gateway.send("POST /a/mcp", token, &headers, message.to_string().as_bytes()).await
    }

    /// Asks in the older era.
    async fn ask(&self, token: &str, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let answer = self.post(Some(token), "mcp-protocol-version: 2025-11-25\r\n", &message).await;
        assert!(answer.headers.contains("content-type: application/json\r\n"), "{}", answer.headers);
        let answer = answer.json();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        answer
    }

    /// Calls a tool, and reads its text.
    async fn call(&self, token: &str, name: &str, arguments: Value) -> (bool, String) {
        let answer = self.ask(token, "tools/call", json!({"name": name, "arguments": arguments})).await;
        let result = &answer["result"];
        assert!(result["content"][0]["text"].is_string(), "{answer}");
        let text = result["content"][0]["text"].as_str().unwrap();
        (result["isError"].as_bool().unwrap(), text.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, from the first message to the last refusal")]
async fn documents_are_tools() {
    let (world, tools) = (world().await, Tools::start("tools", &["--persisted-only"]).await);
    let admin = world.admin.as_str();
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let hello = tools.ask(admin, "initialize", hello).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(hello["result"]["capabilities"], json!({"tools": {}}));
    assert_eq!(hello["result"]["serverInfo"]["name"], "portolan-gateway");
    let newer = tools.ask(admin, "initialize", json!({"protocolVersion": "2099-01-01"})).await;
    assert_eq!(newer["result"]["protocolVersion"], "2025-11-25");
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let done = tools.post(Some(admin), "", &done).await;
    assert_eq!((done.status, done.text.as_str()), (202, ""));
    assert_eq!(tools.ask(admin, "ping", json!({})).await["result"], json!({}));

    let listed = tools.ask(admin, "tools/list", json!({})).await;
    let listed = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Make", "ConfigMaps", "the-kind"], "neither what is followed nor what does not fit");
    let inputs = json!({
        "type": "object", "additionalProperties": false, "required": ["namespace"],
        "properties": {"namespace": {"type": "string"}, "limit": {"type": "integer", "default": 50}},
    });
    assert_eq!(
        listed[1],
        json!({
            "name": "ConfigMaps", "description": "The ConfigMaps of a namespace.", "inputSchema": inputs,
            "annotations": {"readOnlyHint": true},
        })
    );
    assert_eq!(listed[0]["annotations"], json!({"readOnlyHint": false}));
    let object = &listed[0]["inputSchema"]["properties"]["object"]["properties"];
    assert_eq!(object["metadata"]["properties"]["name"], json!({"type": "string"}), "{object}");
    assert_eq!(object["data"], json!({"type": "object", "additionalProperties": {"type": "string"}}));

    let object = json!({"metadata": {"name": "made", "labels": {"test": "list"}}, "data": {"k": "v"}});
    let (is_error, text) = tools.call(admin, "Make", json!({"object": object})).await;
    assert!(
        !is_error && text == r#"{"data":{"v1":{"createConfigMap":{"metadata":{"name":"made"}}}}}"#,
        "{text}"
    );
    let (is_error, text) = tools.call(admin, "ConfigMaps", json!({"namespace": NAMESPACE})).await;
    assert!(!is_error && text.contains("made"), "{text}");
    assert_eq!(
        tools.call(admin, "the-kind", json!({})).await.1,
        r#"{"data":{"v1":{"Namespace":{"kind":"Namespace"}}}}"#
    );
    for (arguments, expected) in [
        (json!({}), "namespace"),
        (json!({"namespace": 3}), "namespace"),
        (json!({"namespace": "mcp", "nonsense": 1}), "no argument \"nonsense\""),
    ] {
        let (is_error, text) = tools.call(admin, "ConfigMaps", arguments).await;
        assert!(is_error && text.contains(expected), "{text}");
    }
    for (method, params, code) in [
        ("tools/call", json!({"name": "Watch"}), -32602),
        ("tools/call", json!({"name": "ConfigMaps", "arguments": []}), -32602),
        ("tools/list", json!({"cursor": "x"}), -32602),
        ("resources/list", json!({}), -32601),
        ("server/discover", json!({}), -32601),
    ] {
        let answer = tools.ask(admin, method, params).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_have_the_rights_of_who_calls_them() {
    let listed = "--cors-allowed-origins=http://pages.example";
    let (world, tools) = (world().await, Tools::start("rights", &[listed]).await);
    let rules = vec![rule("", &["configmaps"], &["list"])];
    let limited = world.limited(NAMESPACE, "mcp-reader", rules).await;
    eventually("the right is known", SOON, async || {
        let (is_error, _) = tools.call(&limited, "ConfigMaps", json!({"namespace": NAMESPACE})).await;
        (!is_error).then_some(())
    })
    .await
    .unwrap();
    let (is_error, text) = tools.call(&limited, "ConfigMaps", json!({"namespace": "default"})).await;
    assert!(is_error && text.contains("FORBIDDEN"), "{text}");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for token in [None, Some("nonsense")] {
        let answer = tools.post(token, "", &ping).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(answer.headers.contains("www-authenticate: bearer"), "{}", answer.headers);
    }
    let admin = Some(world.admin.as_str());
    let stream = tools.gateway.send("GET /a/mcp", admin, "accept: text/event-stream\r\n", b"").await;
    assert!(stream.status == 405 && stream.headers.contains("allow: post"), "{}", stream.headers);
    for (headers, status) in [
        ("origin: http://elsewhere.example\r\n", 403),
        // The host of the request: so says whoever makes a name of its own lead here.
        ("origin: http://x\r\n", 403),
        ("origin: http://pages.example\r\n", 200),
        ("mcp-protocol-version: 1999-01-01\r\n", 400),
        ("mcp-protocol-version: 2025-03-26\r\n", 400),
    ] {
        assert_eq!(tools.post(admin, headers, &ping).await.status, status, "{headers}");
    }
    for message in [
        json!([ping]),
        json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
        json!({"jsonrpc": "2.0", "id": 1}),
    ] {
        let answer = tools.post(admin, "", &message).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32600)), "{message}");
    }
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let taken = tools.post(admin, "", &response).await;
    assert_eq!((taken.status, taken.text.as_str()), (202, ""), "a response is not answered");
    let known = tools
        .gateway
        .send(
            "POST /api/clusters/a/mcp",
            admin,
            "content-type: application/json\r\n",
            ping.to_string().as_bytes(),
        )
        .await;
    assert_eq!(known.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_of_the_newer_era_stands_alone() {
    let (world, tools) = (world().await, Tools::start("modern", &[]).await);
    let admin = Some(world.admin.as_str());
    let ask = async |method: &str, name: &str, mut params: Value| {
        params["_meta"] = json!({META: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
        let message = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": params});
        let headers =
            format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {name}\r\n");
        tools.post(admin, &headers, &message).await
    };
    let discovered = ask("server/discover", "-", json!({})).await.json();
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    assert_eq!(versions[0], "2026-07-28", "{discovered}");
    let listed = ask("tools/list", "-", json!({})).await.json();
    let result = &listed["result"];
    assert_eq!(
        (&result["resultType"], &result["cacheScope"]),
        (&json!("complete"), &json!("private")),
        "{listed}"
    );
    assert_eq!(result["tools"].as_array().unwrap().len(), 3);
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "portolan-gateway");
    let called = ask("tools/call", "the-kind", json!({"name": "the-kind"})).await.json();
    assert_eq!(
        (&called["result"]["isError"], &called["result"]["resultType"]),
        (&json!(false), &json!("complete")),
        "{called}"
    );
    let mismatch = ask("tools/call", "ConfigMaps", json!({"name": "the-kind"})).await;
    assert_eq!((mismatch.status, &mismatch.json()["error"]["code"]), (400, &json!(-32020)));
    let unknown = ask("ping", "-", json!({})).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!(-32601)));
}
