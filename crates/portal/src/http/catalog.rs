//! `GET /api/catalog/entities`: the catalog in the form of Backstage.

use std::{convert::Infallible, sync::Arc};

use axum::{Extension, body::Body, extract::State, response::Response};
use futures::{Stream, StreamExt as _, future, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kube::ResourceExt as _;
use portolan_core::api::devportal::APIProduct;
use portolan_runtime::server::answer::json_response;
use serde_json::Value;
use tracing::warn;

use super::{input::AppAndCaller, products::visible};
use crate::{app::App, attach::AttachedPolicies, entity, problem::Problem, sight::CallerContext};

/// Texts of documents that are read at once.
const AT_ONCE: usize = 4;

pub(super) async fn entities(
    (State(app), Extension(caller)): AppAndCaller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sight = CallerContext::new(&app, &caller).lister().await?;
    let mut rows = visible(&app, &sight, &AttachedPolicies::default(), true);
    rows.sort_by(|one, other| {
        let place = |row: &crate::rows::ProductRow| {
            (row.product.metadata.namespace.clone(), row.product.metadata.name.clone())
        };
        place(one).cmp(&place(other))
    });
    let entities = stream::iter(rows).map(move |row| entity(Arc::clone(&app), row.product)).buffered(AT_ONCE);
    let entities = entities.filter_map(future::ready);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accepts.contains("yaml") {
        return Ok(json_response(StatusCode::OK, array(entities)));
    }
    let mut response = Response::new(documents(entities));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    Ok(response)
}

/// A JSON array, of which no more is held than a few entities: their texts may be large.
fn array(entities: impl Stream<Item = Value> + Send + 'static) -> Body {
    let bracket = |text: &'static str| stream::iter([text.to_owned()]);
    let items = entities.enumerate().map(|(index, entity)| {
        let comma = if index == 0 { "" } else { "," };
        format!("{comma}{entity}")
    });
    body(bracket("[").chain(items).chain(bracket("]")))
}

/// The same as YAML documents. JSON is YAML, and no text of a stranger changes its meaning there.
fn documents(entities: impl Stream<Item = Value> + Send + 'static) -> Body {
    let document = |entity: Value| future::ready(serde_json::to_string_pretty(&entity).ok());
    body(entities.filter_map(document).map(|document| format!("---\n{document}\n")))
}

fn body(pieces: impl Stream<Item = String> + Send + 'static) -> Body {
    Body::from_stream(pieces.map(Ok::<_, Infallible>))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn pieces(body: Body) -> Vec<String> {
        let pieces = body.into_data_stream();
        pieces.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).collect().await
    }

    #[tokio::test]
    async fn a_catalog_goes_out_one_entity_after_the_other() {
        let table: [(&[u32], &[&str], &[&str]); 3] = [
            (&[], &["[", "]"], &[]),
            (&[1], &["[", "{\"n\":1}", "]"], &["---\n{\n  \"n\": 1\n}\n"]),
            (
                &[1, 2],
                &["[", "{\"n\":1}", ",{\"n\":2}", "]"],
                &["---\n{\n  \"n\": 1\n}\n", "---\n{\n  \"n\": 2\n}\n"],
            ),
        ];
        for (numbers, json, yaml) in table {
            let all: Vec<_> = numbers.iter().map(|number| json!({"n": number})).collect();
            let found = pieces(array(stream::iter(all.clone()))).await;
            assert_eq!(found, json);
            assert_eq!(found.concat(), Value::Array(all.clone()).to_string());
            assert_eq!(pieces(documents(stream::iter(all))).await, yaml);
        }
    }
}
