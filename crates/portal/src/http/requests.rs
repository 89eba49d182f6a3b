//! Requests for keys: list, ask, change, withdraw.

use std::collections::BTreeMap;

use axum::{
    Extension,
    extract::{RawQuery, Request, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use kube::{Resource as _, ResourceExt as _};
use portolan_core::api::devportal::{APIKey, KeyPhase};
use portolan_runtime::{clock, latest::version};
use serde_json::Value;

use super::{
    fresh::since,
    input::{self, AppAndCaller, PathParams},
    reply::{answer, nothing},
};
use crate::{
    app::App,
    caller::Caller,
    key_change::{self, KeyRequest, KeyRequestError},
    list::{ListQuery, select},
    paths::{self, ObjectName},
    problem::Problem,
    rows::{self, KeyRow},
    rules::CallerView,
    session::open::{SessionOwner, word},
    sight::CallerContext,
};

/// Header by which a request that is sent twice is one.
pub(super) const IDEMPOTENCY: &str = "idempotency-key";
const MAX_ID: usize = 256;
pub(super) const NOT_TO_UPDATE: &str = "you can only update your own api key requests";
const NOT_TO_DELETE: &str = "you can only delete your own api key requests";

/// `GET /requests`: what the caller may decide about.
pub(super) async fn queue(who: AppAndCaller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    list(who, query.as_deref(), CallerView::decides).await
}

/// `GET /requests/my`.
pub(super) async fn mine(who: AppAndCaller, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    list(who, query.as_deref(), CallerView::requested).await
}

async fn list(
    (State(app), Extension(caller)): AppAndCaller,
    query: Option<&str>,
    is_meant: impl Fn(&CallerView, &APIKey) -> bool,
) -> Result<Response, Problem> {
    let query = ListQuery::parse::<KeyRow>(query.unwrap_or_default()).map_err(Problem::bad_request)?;
    let asked = CallerContext::new(&app, &caller);
    let sight = asked.sight().await?;
    let all = app.stores.keys.all().into_iter();
    let page = select(all.filter(|key| is_meant(&sight, key)).map(KeyRow).collect(), &query);
    let namespaces: Vec<_> = page.rows.iter().filter_map(|row| row.0.namespace()).collect();
    let rights = asked.key_rights(&namespaces).await?;
    let can: BTreeMap<_, _> = page
        .rows
        .iter()
        .map(|KeyRow(key)| {
            let place = format!("{}/{}", key.namespace().unwrap_or_default(), key.name_any());
            (place, sight.can(key, &rights))
        })
        .collect();
    let items: Vec<_> = page.rows.iter().map(|row| rows::key_json(&row.0)).collect();
    Ok(answer(StatusCode::OK, &page.answer(&query, &items, &can)))
}

/// `GET /requests/{ns}/{name}` and `GET /apikeys/{ns}/{name}`.
pub(super) async fn read(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let asked = CallerContext::new(&app, &caller);
    let (key, sight) = asked.key(&place).await?;
    let rights = asked.key_rights(&[namespace]).await?;
    let mut json = rows::key_json(&key);
    json["can"] = sight.can(&key, &rights).into();
    Ok(answer(StatusCode::OK, &json))
}

/// `POST /requests`.
pub(super) async fn create(
    (State(app), Extension(caller)): AppAndCaller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, sent) = input::read(request).await?;
    let wanted: KeyRequest = input::typed(sent)?;
    let place = ObjectName::new(&wanted.namespace, &wanted.api_product_name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let email = email(&app, &caller);
    let who = (caller.user.name.as_str(), email.as_deref());
    let key = key_change::create(&wanted, who, &product, &id(&parts.headers)?, clock::now());
    let key = key.map_err(|unwanted| match unwanted {
        KeyRequestError::NoPlan => Problem::unprocessable(unwanted.to_string()),
        other => Problem::bad_request(other.to_string()),
    })?;
    let written = match app.upstream.post(&paths::keys(&place.namespace), &key, &caller.credential).await {
        Err(problem) if problem.status == StatusCode::CONFLICT => again(&app, &caller, &key, problem).await?,
        written => written?,
    };
    Ok(written_answer(StatusCode::CREATED, &*app.stores.keys.take(written)?))
}

/// Returns the key that was sent before with the same id, if it asks for the same.
async fn again(app: &App, caller: &Caller, key: &Value, problem: Problem) -> Result<Value, Problem> {
    let text = |member: &str| key["metadata"][member].as_str().unwrap_or_default();
    let place = ObjectName::new(text("namespace"), text("name"))?;
    let found = match app.stores.keys.get(&place.namespace, &place.name) {
        Some(found) => serde_json::to_value(&*found).unwrap_or_default(),
        None => app.upstream.get(&place.api_key(), &caller.credential).await?,
    };
    if key_change::is_made_of(&found, key) { Ok(found) } else { Err(problem) }
}

fn id(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY) else { return Ok(word()) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= MAX_ID);
    text.map(str::to_owned)
        .ok_or_else(|| Problem::bad_request("Idempotency-Key is to be up to 256 characters"))
}

/// The address that the issuer knows of the caller.
fn email(app: &App, caller: &Caller) -> Option<String> {
    let session = &caller.session.as_ref()?.session;
    match &session.who {
        SessionOwner::Demo(name) => app.sessions.demo.as_ref()?.email(name).map(str::to_owned),
        SessionOwner::Oidc(_) => session.claims()?["email"].as_str().map(str::to_owned),
    }
}

fn written_answer(code: StatusCode, key: &APIKey) -> Response {
    since::<APIKey>(answer(code, &rows::key_json(key)), Some(version(key.meta())))
}

/// `PATCH /requests/{ns}/{name}`.
pub(super) async fn change(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (_, sent) = input::read(request).await?;
    let (key, sight) = CallerContext::new(&app, &caller).key_to(&place, NOT_TO_UPDATE).await?;
    if !sight.requested(&key) && !sight.manages_keys.has(&namespace) {
        return Err(Problem::forbidden(NOT_TO_UPDATE));
    }
    if key.phase() != KeyPhase::Pending {
        return Err(Problem::forbidden("only pending requests can be edited"));
    }
    let patch = key_change::edit(&sent, clock::now()).map_err(Problem::bad_request)?;
    let product = app.stores.products.get(&namespace, &key.spec.api_product_ref.name);
    if let (Some(product), Some(tier)) = (product, patch["spec"]["planTier"].as_str())
        && !key_change::offers(&product, tier)
    {
        return Err(Problem::unprocessable(KeyRequestError::NoPlan.to_string()));
    }
    let written = app.upstream.patch(&place.api_key(), &patch, &caller.credential).await?;
    Ok(written_answer(StatusCode::OK, &*app.stores.keys.take(written)?))
}

/// `DELETE /requests/{ns}/{name}`.
pub(super) async fn delete(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (key, _) = CallerContext::new(&app, &caller).key_to(&place, NOT_TO_DELETE).await?;
    let said = app.upstream.delete(&place.api_key(), key.uid().as_deref(), &caller.credential).await?;
    Ok(since::<APIKey>(nothing(), app.stores.keys.take_end(said, &key).await?))
}
