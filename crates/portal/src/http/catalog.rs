//! `GET /api/catalog/entities`: the catalog in the form of Backstage.

use axum::{Extension, body::Body, extract::State, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{input::Who, products::visible, reply::answer};
use crate::{attach::Attached, entity, problem::Problem, sight::Asked};

pub(super) async fn entities(
    (State(app), Extension(caller)): Who,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sight = Asked::new(&app, &caller).sight().await?;
    let mut rows = visible(&app, &sight, &Attached::default(), true);
    rows.sort_by(|one, other| {
        let place = |row: &crate::rows::ProductRow| {
            (row.product.metadata.namespace.clone(), row.product.metadata.name.clone())
        };
        place(one).cmp(&place(other))
    });
    let entities: Vec<Value> = rows.iter().filter_map(|row| entity::of(&row.product)).collect();
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accepts.contains("yaml") {
        return Ok(answer(StatusCode::OK, &Value::Array(entities)));
    }
    // JSON is YAML, and no text of a stranger changes its meaning there.
    let documents = entities.iter().filter_map(|entity| serde_json::to_string_pretty(entity).ok());
    let documents: Vec<_> = documents.map(|document| format!("---\n{document}\n")).collect();
    let text = documents.concat();
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    Ok(response)
}
