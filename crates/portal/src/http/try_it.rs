//! `POST /api/kuadrant/try`: one request to an API, from here, with the caller's key.

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use portolan_runtime::{fetch::Fetched, limits::RateSubject, telemetry::ErrorChain};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    input::{self, AppAndCaller},
    reply::answer,
};
use crate::{
    app::App,
    openapi::index,
    paths::ObjectName,
    problem::Problem,
    reveal::reveal,
    sight::CallerContext,
    trial::{self, PreparedRequest, TrialRequest, masked, prepare},
};

pub(super) async fn send(
    (State(app), Extension(caller)): AppAndCaller,
    request: Request,
) -> Result<Response, Problem> {
    let trial: TrialRequest = input::typed(input::read(request).await?.1)?;
    let settings = app.try_it.as_ref().ok_or_else(|| Problem::not_found("feature", "try", "it"))?;
    if !app.rates.allows(RateSubject::Named(caller.user.name.clone())) {
        return Err(Problem::too_many("too many requests at once, wait a moment"));
    }
    let place = ObjectName::new(&trial.namespace, &trial.name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let host = host(&app, &place, &product.spec.target_ref.name, trial.host.as_deref())?;
    match app.documents.of(&app.own, &product).await {
        Ok(document) if !index::has(&document, &trial.method, &trial.path) => {
            return Err(Problem::unprocessable("the OpenAPI document of the product has no such operation"));
        }
        // Whether the document has the operation is not known for now.
        Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => return Err(problem),
        Ok(_) | Err(_) => {}
    }
    let key = match &trial.key {
        Some(named) => {
            let (value, key) =
                reveal(&app, &caller, &ObjectName::new(&named.namespace, &named.name)?, "to try the API")
                    .await?;
            if named.namespace != trial.namespace || key.spec.api_product_ref.name != trial.name {
                return Err(Problem::bad_request("the key is of another product"));
            }
            let scheme = key.status.as_ref().and_then(|status| status.auth_scheme.clone());
            Some((value, scheme.map(|scheme| scheme.credentials.value()).unwrap_or_default()))
        }
        None => None,
    };
    let shown = key.as_ref().map(|(value, credentials)| (value.expose_secret(), credentials));
    let base = settings.gateway.clone().unwrap_or_else(|| format!("https://{host}"));
    let prepared = prepare(&trial, (&base, &host), shown);
    let prepared = prepared.map_err(|untried| Problem::bad_request(untried.to_string()))?;
    let value = key.as_ref().map(|(value, _)| value);
    sent(&app, prepared, trial.body.unwrap_or_default(), value).await
}

async fn sent(
    app: &App,
    prepared: PreparedRequest,
    body: String,
    key: Option<&SecretString>,
) -> Result<Response, Problem> {
    let settings = app.try_it.as_ref().ok_or_else(|| Problem::not_found("feature", "try", "it"))?;
    let PreparedRequest { method, url, headers } = prepared;
    let start = Instant::now();
    let (fetched, is_cut) =
        settings.fetcher.send(method, &url, headers, body.into_bytes()).await.map_err(|error| {
            let key = key.map(ExposeSecret::expose_secret);
            let why = masked(&ErrorChain(&error).to_string(), key);
            Problem::new(StatusCode::BAD_GATEWAY, format!("the API could not be reached: {why}"))
        })?;
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let key = key.map(ExposeSecret::expose_secret);
    let Fetched { status, headers, body } = fetched;
    Ok(answer(
        StatusCode::OK,
        &json!({
            "status": status.as_u16(), "headers": shown(&headers, key),
            "body": masked(&String::from_utf8_lossy(&body), key), "truncated": is_cut, "tookMs": took,
        }),
    ))
}

/// Headers of the answer. Cookies of the API are nobody's here.
fn shown(headers: &HeaderMap, key: Option<&str>) -> Vec<Value> {
    let all = headers.iter().filter(|(name, _)| *name != header::SET_COOKIE).take(100);
    all.map(|(name, value)| json!([name.as_str(), masked(&String::from_utf8_lossy(value.as_bytes()), key)]))
        .collect()
}

/// The host of a product's route that a request is for.
fn host(app: &App, place: &ObjectName, route: &str, wanted: Option<&str>) -> Result<String, Problem> {
    let names = app.stores.hostnames(&place.namespace, route);
    trial::host(&names, wanted).map_err(|untried| Problem::unprocessable(untried.to_string()))
}
