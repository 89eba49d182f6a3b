//! `GET /requests/{ns}/{name}/secret` and `GET /apikeys/{ns}/{name}/secret`.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{
    input::{Path, Who},
    reply::answer,
};
use crate::{paths::Place, problem::Problem, reveal::reveal};

pub(super) async fn read(
    (State(app), Extension(caller)): Who,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let place = Place::new(&namespace, &name)?;
    let (value, _) = reveal(&app, &caller, &place, "on a page").await?;
    // Answers of JSON are never kept by anybody.
    Ok(answer(StatusCode::OK, &json!({"apiKey": value.expose_secret()})))
}
