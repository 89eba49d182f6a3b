//! `POST .../tokenreviews`: by host, by path, or with the cluster chosen by the token's key.

use axum::{
    body::Body,
    extract::{Extension, Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, header, request::Parts};
use portolan_core::auth::ReviewVersion;
use portolan_runtime::server::{Peer, answer::json_response, body};

use super::{
    App,
    callers::{self, Caller},
    form::Form,
    problem::RequestProblem,
};
use crate::{
    host,
    identity_mapping::{self, Choice},
    review::{ReviewQuestion, ReviewTarget},
    state::ConfigSnapshot,
};

pub(super) async fn by_host(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    version: Part<String>,
    request: Request<Body>,
) -> Response {
    answer(&app, peer, version.map(|Path(version)| (Choice::Host, version)), request).await
}

pub(super) async fn by_path(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    parts: Part<(String, String)>,
    request: Request<Body>,
) -> Response {
    let named = parts.map(|Path((cluster, version))| (Choice::Path(cluster), version));
    answer(&app, peer, named, request).await
}

pub(super) async fn automatic(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    version: Part<String>,
    request: Request<Body>,
) -> Response {
    answer(&app, peer, version.map(|Path(version)| (Choice::Automatic, version)), request).await
}

/// A part of the path. One that is no text names nothing.
type Part<T> = Result<Path<T>, PathRejection>;

async fn answer(
    app: &App,
    peer: Peer,
    named: Result<(Choice, String), PathRejection>,
    request: Request<Body>,
) -> Response {
    let answered = match named {
        Ok((choice, version)) => review(app, peer, &version, choice, request).await,
        Err(_) => Err(RequestProblem::NotFound),
    };
    match answered {
        Ok(response) => response,
        Err(problem) => {
            app.metrics.refused_request(problem.label());
            problem.into_response()
        }
    }
}

async fn review(
    app: &App,
    peer: Peer,
    version: &str,
    choice: Choice,
    request: Request<Body>,
) -> Result<Response, RequestProblem> {
    let version = match version {
        "v1" => ReviewVersion::V1,
        "v1beta1" => ReviewVersion::V1beta1,
        _ => return Err(RequestProblem::NotFound),
    };
    let (parts, body) = request.into_parts();
    // Before anything is refused: HTTP/2 cuts off who still sends, and that client sees an error, no answer.
    let body = body::read(&parts, body).await?;
    let form = Form::of(&parts.headers)?;
    let snapshot = app.state.snapshot();
    let host = host_of(&parts);
    let target = target(&snapshot, &choice, host.as_deref(), version)?;
    let caller = Caller::identify(app, &snapshot, peer, &parts.headers).await?;
    let cluster = match target {
        ReviewTarget::Cluster(name) => Some(name),
        ReviewTarget::Auto => None,
    };
    caller.may_ask(cluster)?;
    caller.may_ask_now(&snapshot, cluster)?;
    let request = form.parse(&body, version)?;
    if target == ReviewTarget::Auto {
        callers::may_ask_about_chosen(&snapshot, &request)?;
    }
    let named = (&choice, version);
    let route =
        identity_mapping::mapping_for(&snapshot.config, host.as_deref(), named, caller.config.as_deref());
    let question = ReviewQuestion {
        snapshot: &snapshot,
        target,
        route,
        caller: &caller.name,
        any_audience: false,
        request: &request,
    };
    Ok(json_response(StatusCode::OK, app.reviewer.answer(&question).await))
}

fn target<'a>(
    snapshot: &ConfigSnapshot,
    choice: &'a Choice,
    host: Option<&'a str>,
    version: ReviewVersion,
) -> Result<ReviewTarget<'a>, RequestProblem> {
    let config = &snapshot.config;
    match choice {
        Choice::Path(cluster) => Ok(ReviewTarget::Cluster(cluster)),
        Choice::Automatic if config.auto.is_some() => Ok(ReviewTarget::Auto),
        Choice::Automatic => Err(RequestProblem::NotFound),
        Choice::Host => host
            .and_then(|host| identity_mapping::target_of_host(config, host))
            .ok_or(RequestProblem::Host(version)),
    }
}

/// The one host that a request names, in normal form. HTTP/2 has it in the URI. Forwarding headers do not
/// count: which cluster vouches for a token is not for a proxy to say.
fn host_of(parts: &Parts) -> Option<String> {
    let mut headers = parts.headers.get_all(header::HOST).iter();
    let header = headers.next().map(|value| value.to_str().ok().and_then(host::normalized));
    if headers.next().is_some() {
        return None;
    }
    let authority = parts.uri.authority().map(|authority| host::normalized(authority.as_str()));
    match (authority, header) {
        (Some(authority), Some(header)) if authority != header => None,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => None,
    }
}
