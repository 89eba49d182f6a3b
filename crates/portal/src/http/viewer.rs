//! The OpenAPI document of a product: its index, one operation, its text.

use axum::{Extension, body::Body, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};

use super::{
    input::{AppAndCaller, PathParams},
    reply::answer,
};
use crate::{
    openapi::{index, operation},
    paths::ObjectName,
    problem::Problem,
    sight::CallerContext,
};

pub(super) async fn overview(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let document = app.documents.of(&app.own, &product).await?;
    Ok(answer(StatusCode::OK, &index::index(&document)))
}

pub(super) async fn one(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name, id)): PathParams<(String, String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let document = app.documents.of(&app.own, &product).await?;
    let found = operation::operation(&document, &id);
    let missing = || Problem::new(StatusCode::NOT_FOUND, "the document has no such operation");
    Ok(answer(StatusCode::OK, &found.ok_or_else(missing)?))
}

pub(super) async fn raw(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let text = app.documents.text(&app.own, &product).await?;
    let mut response = Response::new(Body::from(text.to_string()));
    let headers = response.headers_mut();
    // Never as a page, whatever is in it.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let disposition = format!("attachment; filename=\"{name}-openapi.txt\"");
    if let Ok(value) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
