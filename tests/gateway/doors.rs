//! Authentication, and the forms of answers.

use serde_json::json;

use super::support::world;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_without_a_token() {
    let world = world().await;
    for (line, body) in [
        ("POST /a/graphql", r#"{"query":"{__schema{types{name}}}"}"#),
        ("GET /a/graphql?query=%7B__typename%7D", ""),
        ("GET /a/schema.graphql", ""),
        ("POST /api/clusters/a/graphql", r#"{"query":"{__typename}"}"#),
    ] {
        for token in [None, Some("nonsense")] {
            let answer =
                world.gateway.send(line, token, "content-type: application/json\r\n", body.as_bytes()).await;
            assert_eq!(
                (answer.status, answer.json()["errors"][0]["extensions"]["code"].as_str()),
                (401, Some("UNAUTHENTICATED")),
                "{line}: {}",
                answer.text
            );
            assert!(answer.headers.contains("www-authenticate: bearer"), "{}", answer.headers);
        }
    }
    let unknown = world.gateway.post("nowhere", Some("nonsense"), &json!({"query": "{__typename}"})).await;
    let known = world.gateway.post("a", Some("nonsense"), &json!({"query": "{__typename}"})).await;
    assert_eq!(
        (unknown.status, unknown.text),
        (known.status, known.text),
        "nobody learns which clusters there are"
    );
    let pretending = world
        .gateway
        .post_with(
            "a",
            Some(&world.admin),
            "impersonate-user: system:admin\r\n",
            r#"{"query":"{__typename}"}"#,
        )
        .await;
    assert_eq!(pretending.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_paths_lead_to_the_cluster() {
    let world = world().await;
    for path in ["/a/graphql", "/api/clusters/a/graphql"] {
        let answer = world
            .gateway
            .send(
                &format!("POST {path}"),
                Some(&world.admin),
                "content-type: application/json\r\n",
                br#"{"query":"{__typename}"}"#,
            )
            .await;
        assert_eq!(answer.json(), json!({"data": {"__typename": "Query"}}));
    }
    let sdl = world.gateway.send("GET /a/schema.graphql", Some(&world.admin), "", b"").await;
    assert!(sdl.text.contains("type V1ConfigMapList"), "{}", sdl.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_as_graphql_over_http_says() {
    let world = world().await;
    let typename = r#"{"query":"{__typename}"}"#;
    let json_type = "content-type: application/json\r\n";
    let modern = "content-type: application/json\r\naccept: application/graphql-response+json\r\n";
    let table = [
        ("POST", json_type, typename, 200, "application/json; charset=utf-8"),
        ("POST", modern, typename, 200, "application/graphql-response+json; charset=utf-8"),
        ("POST", modern, r#"{"query":"{"}"#, 400, "application/graphql-response+json; charset=utf-8"),
        ("POST", json_type, r#"{"query":"{"}"#, 200, "application/json; charset=utf-8"),
        ("POST", json_type, "{", 400, "application/json; charset=utf-8"),
        ("POST", "content-type: text/plain\r\n", typename, 415, "application/json; charset=utf-8"),
        ("PUT", json_type, typename, 405, "application/json; charset=utf-8"),
        (
            "POST",
            "content-type: application/json\r\naccept: text/html\r\n",
            typename,
            406,
            "application/json; charset=utf-8",
        ),
    ];
    for (method, headers, body, status, content_type) in table {
        let answer = world
            .gateway
            .send(&format!("{method} /a/graphql"), Some(&world.admin), headers, body.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{method} {headers} {body}");
        assert!(
            answer.headers.contains(&format!("content-type: {content_type}")),
            "{headers} {body}: {}",
            answer.headers
        );
    }
    let put = world.gateway.send("PUT /a/graphql", Some(&world.admin), json_type, typename.as_bytes()).await;
    assert!(put.headers.contains("allow: get, post"), "{}", put.headers);
    // Some clients offer HTTP/2 with whatever they send.
    let offer = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let offered = world.gateway.post_with("a", Some(&world.admin), offer, typename).await;
    assert_eq!((offered.status, offered.json()), (200, json!({"data": {"__typename": "Query"}})));
    let get = world.gateway.send("GET /a/graphql?query=%7B__typename%7D", Some(&world.admin), "", b"").await;
    assert_eq!(get.json(), json!({"data": {"__typename": "Query"}}));
    let write = world
        .gateway
        .send("GET /a/graphql?query=mutation%7B__typename%7D", Some(&world.admin), "", b"")
        .await;
    assert!(write.status == 405 && write.headers.contains("allow: post"), "{}", write.headers);
    let packed = world
        .gateway
        .send(
            "GET /a/graphql?query=%7B__schema%7Btypes%7Bname%7D%7D%7D",
            Some(&world.admin),
            "accept-encoding: gzip\r\n",
            b"",
        )
        .await;
    assert!(packed.headers.contains("content-encoding: gzip"), "{}", packed.headers);
}
