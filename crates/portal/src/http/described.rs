//! `GET /api/openapi.json`: this API, described from its one table of routes.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    reply::answer,
    table::{ApiRoute, ROUTES},
};

pub(super) async fn serve() -> Response {
    answer(StatusCode::OK, &document())
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(format!("/api{}", route.path)).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Portolan developer portal", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "security": [{"token": []}, {"session": []}],
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token that the API server accepts"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-portal", "description": "Changes also need the header x-csrf-token"},
            },
            "schemas": {"Problem": {
                "type": "object", "required": ["type", "title", "status", "detail", "error"],
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "detail": {"type": "string"}, "error": {"type": "string"}, "login": {"type": "string"},
                },
            }},
        },
    })
}

fn operation(route: &ApiRoute) -> Value {
    let segments = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = segments
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query =
        route.query.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let mut responses = json!({"default": {"description": "A problem", "content": problem}});
    responses[route.code.to_string()] = json!({"description": "Success"});
    let mut operation = json!({
        "operationId": id(route), "summary": route.summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(), "responses": responses,
    });
    if !route.body.is_empty() {
        let name = |member: &&str| member.trim_end_matches('!').to_owned();
        let properties: Map<String, Value> =
            route.body.iter().map(|member| (name(member), json!({}))).collect();
        let required: Vec<_> = route.body.iter().filter(|member| member.ends_with('!')).map(name).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required});
        operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    }
    operation
}

fn id(route: &ApiRoute) -> String {
    let path = route.path.replace(['{', '}'], "");
    let words = path.split('/').filter(|word| !word.is_empty()).map(|word| word.replace('.', "-"));
    format!("{}-{}", route.method.to_lowercase(), words.collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi::document::OpenApiDocument;

    #[test]
    fn every_route_is_described_once() {
        let text = document().to_string();
        let read = OpenApiDocument::parse(&text).unwrap();
        assert_eq!(read.order.len(), ROUTES.len());
        assert_eq!(read.problems, Vec::<String>::new());
        let ids: BTreeSet<_> = ROUTES.iter().map(id).collect();
        assert_eq!(ids.len(), ROUTES.len());
    }
}
