//! `GET /requests/{ns}/{name}/secret` and `GET /apikeys/{ns}/{name}/secret`.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    input::{AppAndCaller, PathParams},
    reply::answer,
};
use crate::{paths::ObjectName, problem::Problem, reveal::reveal};

pub(super) async fn read(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (value, _) = reveal(&app, &caller, &place, "on a page").await?;
    // Answers of JSON are never kept by anybody.
    Ok(answer(StatusCode::OK, &json!({"apiKey": value.expose_secret()})))
}
