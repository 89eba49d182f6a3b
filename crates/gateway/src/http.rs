//! The routes of the service, and what all requests have in common.

mod answer;
mod clusters;
mod door;
mod etag;
mod fleet;
mod graphql;
mod mcp;
mod negotiate;
mod pages;
mod params;
mod parts;
mod prepared;
mod record;
mod schema;
mod socket;
mod stream;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
    routing::{any, get},
};
use http::{HeaderValue, Method, StatusCode, header};

pub use self::{
    answer::RequestProblem,
    door::{enter, identify},
    params::Params,
};
use crate::state::GatewayState;

/// All routes. Metrics and health of the process are on the admin port.
pub fn router(state: Arc<GatewayState>, origins: Vec<String>, has_console: bool) -> Router {
    let origins: Arc<[String]> = origins.into();
    let mut router = Router::new().route("/healthz", get(async || "ok"));
    let (mut graphql, mut fleet) = (any(graphql::serve), any(fleet::serve));
    if has_console {
        graphql = graphql.layer(middleware::from_fn(pages::console_for_people));
        fleet = fleet.layer(middleware::from_fn(pages::console_for_people));
        let listed = get(clusters::list).layer(Extension(clusters::RunningListings::default()));
        router = router.merge(pages::routes()).route("/api/clusters", listed);
    }
    let tools = any(mcp::serve).layer(Extension(mcp::AllowedOrigins(Arc::clone(&origins))));
    for prefix in ["", "/api/clusters"] {
        router = router
            .route(&format!("{prefix}/{{cluster}}/graphql"), graphql.clone())
            .route(&format!("{prefix}/{{cluster}}/schema.graphql"), get(schema::serve))
            .route(&format!("{prefix}/{{cluster}}/mcp"), tools.clone());
    }
    router
        .route("/fleet/graphql", fleet)
        .route("/fleet/schema.graphql", get(fleet::schema))
        .fallback(async || RequestProblem::not_found())
        .with_state(state)
        .layer(middleware::from_fn(move |request, next| cross_origin(Arc::clone(&origins), request, next)))
}

/// Lets pages of listed origins read answers.
async fn cross_origin(origins: Arc<[String]>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_listed =
        |origin: &HeaderValue| origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
    let listed = origin.filter(is_listed);
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = if is_preflight {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        next.run(request).await
    };
    if let Some(origin) = listed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if is_preflight {
            let allowed = "authorization, content-type, accept, last-event-id, \
                           mcp-protocol-version, mcp-method, mcp-name";
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
    }
    response
}
