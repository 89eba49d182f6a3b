//! Decisions about keys: approve, reject, rotate, alone or many at once.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use futures::{StreamExt as _, stream};
use http::StatusCode;
use kube::{Resource as _, ResourceExt as _};
use portolan_core::api::devportal::{ANNOTATION_ROTATE, ANNOTATION_ROTATE_OVERLAP, APIKey, KeyPhase};
use portolan_runtime::{clock, latest::version};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    fresh::since,
    input::{self, AppAndCaller, PathParams},
    looked::{self, looked_at},
    reply::answer,
    requests::NOT_TO_UPDATE,
};
use crate::{
    app::App,
    caller::Caller,
    key_change::{KeyDecision, asks_the_same, decide, is_span},
    paths::ObjectName,
    problem::Problem,
    sight::CallerContext,
};

/// Decisions in one request.
const MAX_BULK: usize = 200;
/// Decisions under way for one request.
const AT_ONCE: usize = 4;
/// The refusal to those who may not decide about a request.
const NOT_TO_DECIDE: &str = "you can only update requests for your own api products";
/// Writes of one decision while the controller writes, too.
const TRIES: usize = 4;

#[derive(Deserialize)]
struct BulkDecision {
    requests: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    namespace: String,
    name: String,
}

/// `POST /requests/{ns}/{name}/approve`.
pub(super) async fn approve(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, sent) = input::read(request).await?;
    let verdict = KeyDecision::Approved(input::text(&sent, "comment")?.map(str::to_owned));
    let version = decided(&app, &caller, (&namespace, &name), &verdict, looked::end()).await?;
    Ok(success(version))
}

/// `POST /requests/{ns}/{name}/reject`.
pub(super) async fn reject(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, sent) = input::read(request).await?;
    let verdict = KeyDecision::Rejected(reason(&sent)?.map(str::to_owned));
    let version = decided(&app, &caller, (&namespace, &name), &verdict, looked::end()).await?;
    Ok(success(version))
}

/// Why something is rejected, for the requester to read.
fn reason(sent: &Value) -> Result<Option<&str>, Problem> {
    let comment = input::text(sent, "comment")?;
    Ok(input::text(sent, "reason")?.or(comment))
}

/// `POST /requests/bulk-approve`.
pub(super) async fn bulk_approve(
    (State(app), Extension(caller)): AppAndCaller,
    request: Request,
) -> Result<Response, Problem> {
    let (_, sent) = input::read(request).await?;
    let verdict = KeyDecision::Approved(input::text(&sent, "comment")?.map(str::to_owned));
    let bulk: BulkDecision = input::typed(sent)?;
    each(&app, &caller, bulk.requests, &verdict).await
}

/// `POST /requests/bulk-reject`.
pub(super) async fn bulk_reject(
    (State(app), Extension(caller)): AppAndCaller,
    request: Request,
) -> Result<Response, Problem> {
    let (_, sent) = input::read(request).await?;
    let verdict = KeyDecision::Rejected(reason(&sent)?.map(str::to_owned));
    let bulk: BulkDecision = input::typed(sent)?;
    each(&app, &caller, bulk.requests, &verdict).await
}

async fn each(
    app: &Arc<App>,
    caller: &Caller,
    requests: Vec<Named>,
    verdict: &KeyDecision,
) -> Result<Response, Problem> {
    if requests.len() > MAX_BULK {
        return Err(Problem::bad_request(format!("at most {MAX_BULK} requests at once")));
    }
    // One for all: however many are waited for, the answer comes.
    let end = looked::end();
    let results = stream::iter(requests).map(async |Named { namespace, name }| {
        let mut result = json!({"namespace": namespace, "name": name, "success": true});
        let decided = decided(app, caller, (&namespace, &name), verdict, end).await;
        if let Err(problem) = &decided {
            result["success"] = false.into();
            result["error"] = problem.error.clone().into();
        }
        (result, decided.ok())
    });
    let (results, versions): (Vec<Value>, Vec<_>) = results.buffered(AT_ONCE).unzip().await;
    let newest = versions.into_iter().flatten().max();
    Ok(since::<APIKey>(answer(StatusCode::OK, &json!({"results": results})), newest))
}

/// Writes a decision with the caller's rights, on the version that the caller could see. Where only the controller has
/// written since, it is written on that; until `end`, it is waited for. Gives the version of the decision.
async fn decided(
    app: &Arc<App>,
    caller: &Caller,
    (namespace, name): (&str, &str),
    verdict: &KeyDecision,
    end: Instant,
) -> Result<u128, Problem> {
    let place = ObjectName::new(namespace, name)?;
    let news = app.stores.newsroom.follow();
    let look = || async {
        let found = CallerContext::new(app, caller).key_to(&place, NOT_TO_DECIDE).await;
        found.map(|(key, _)| key)
    };
    let seen = looked_at(look, news, end).await?;
    let mut newest = seen.resource_version();
    for _ in 1..TRIES {
        match write(app, caller, &place, (verdict, newest.as_deref())).await {
            Err(problem) if problem.status == StatusCode::CONFLICT => {
                // Who decides may read the status, which comes with the whole key; not every owner may read keys.
                let now = app.upstream.get(&place.status(), &caller.credential).await;
                let now = now.ok().and_then(|found| serde_json::from_value::<APIKey>(found).ok());
                newest = now.filter(|now| asks_the_same(&seen, now)).ok_or(problem)?.resource_version();
            }
            written => return written,
        }
    }
    write(app, caller, &place, (verdict, newest.as_deref())).await
}

async fn write(
    app: &Arc<App>,
    caller: &Caller,
    place: &ObjectName,
    (verdict, seen): (&KeyDecision, Option<&str>),
) -> Result<u128, Problem> {
    let patch = decide(verdict, &caller.user.name, seen, clock::now());
    let written = app.upstream.patch(&place.status(), &patch, &caller.credential).await?;
    Ok(version(app.stores.keys.take(written)?.meta()))
}

/// `POST /requests/{ns}/{name}/rotate`: asks the controller for a new value.
pub(super) async fn rotate(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (_, sent) = input::read(request).await?;
    // The controller would take the usual time instead, in which a key that has leaked still works.
    let overlap = input::text(&sent, "overlap")?;
    if overlap.is_some_and(|overlap| !is_span(overlap)) {
        return Err(Problem::bad_request("overlap is to be a span of time, such as 12h, 30m or 0"));
    }
    let (key, _) = CallerContext::new(&app, &caller).key_to(&place, NOT_TO_UPDATE).await?;
    if key.phase() != KeyPhase::Approved {
        return Err(Problem::unprocessable("only approved keys have a value that can be changed"));
    }
    // An overlap that an earlier rotation asked for is not meant any more.
    let annotations = json!({
        ANNOTATION_ROTATE: clock::precise_now().to_string(),
        ANNOTATION_ROTATE_OVERLAP: overlap,
    });
    let patch = json!({"metadata": {"uid": key.uid(), "annotations": annotations}});
    let written = app.upstream.patch(&place.api_key(), &patch, &caller.credential).await?;
    Ok(success(version(app.stores.keys.take(written)?.meta())))
}

fn success(version: u128) -> Response {
    since::<APIKey>(answer(StatusCode::OK, &json!({"success": true})), Some(version))
}
