//! `GET /api/catalog/entities`: the catalog in the form of Backstage.

use std::sync::Arc;

use axum::{Extension, body::Body, extract::State, response::Response};
use futures::{StreamExt as _, future, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kube::ResourceExt as _;
use portolan_core::api::devportal::APIProduct;
use serde_json::Value;
use tracing::warn;

use super::{input::Who, products::visible, reply::answer};
use crate::{app::App, attach::Attached, entity, problem::Problem, sight::Asked};

/// Texts of documents that are read at once.
const AT_ONCE: usize = 4;

pub(super) async fn entities(
    (State(app), Extension(caller)): Who,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sight = Asked::new(&app, &caller).lister().await?;
    let mut rows = visible(&app, &sight, &Attached::default(), true);
    rows.sort_by(|one, other| {
        let place = |row: &crate::rows::ProductRow| {
            (row.product.metadata.namespace.clone(), row.product.metadata.name.clone())
        };
        place(one).cmp(&place(other))
    });
    let entities = stream::iter(rows).map(|row| entity(Arc::clone(&app), row.product)).buffered(AT_ONCE);
    let entities: Vec<Value> = entities.filter_map(future::ready).collect().await;
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

/// The entity of a product, with the text of its document wherever that is.
async fn entity(app: Arc<App>, product: Arc<APIProduct>) -> Option<Value> {
    let text = app.documents.text(&app.own, &product).await;
    if let Err(problem) = text.as_ref()
        && problem.status != StatusCode::NOT_FOUND
    {
        // One document does not keep all others from the catalog.
        let (namespace, name) = (product.namespace().unwrap_or_default(), product.name_any());
        warn!(namespace, name, "an entity lacks its definition: {}", problem.error);
    }
    entity::of(&product, text.ok().as_deref())
}
