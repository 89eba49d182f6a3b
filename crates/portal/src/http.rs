//! The routes of the service, and what all requests have in common.

mod catalog;
mod counted;
mod decisions;
mod described;
mod events;
mod fresh;
mod input;
mod login;
mod looked;
mod me;
mod pages;
mod policies;
mod products;
mod reply;
mod requests;
mod secrets;
mod table;
mod try_it;
mod viewer;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use self::table::{ApiRoute, ROUTES};
use crate::{app::App, door, problem::Problem};

/// The policy of answers that are no pages: they may load nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// All routes. Metrics and health of the process are on the admin port.
pub fn router(app: Arc<App>) -> Router {
    let api = ROUTES.iter().fold(Router::new(), |router, route| add(router, route, &app));
    let api = api
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know this method")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), fresh::catch_up))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), door::enter));
    let is_encrypted = app.sessions.cookies.is_secure();
    let logout = post(login::end).route_layer(middleware::from_fn_with_state(Arc::clone(&app), door::enter));
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/login", get(login::begin).post(login::as_demo))
        .route("/callback", get(login::finish))
        .route("/logout", logout)
        .nest("/api", api)
        .merge(pages::routes())
        .fallback(pages::lost)
        .layer(middleware::from_fn(move |request: Request, next: Next| secure(request, next, is_encrypted)))
        .with_state(app)
}

fn add(router: Router<Arc<App>>, route: &'static ApiRoute, app: &Arc<App>) -> Router<Arc<App>> {
    let metrics = app.metrics.clone();
    let measured = middleware::from_fn(move |request: Request, next: Next| {
        let metrics = metrics.clone();
        async move {
            let start = Instant::now();
            let response = next.run(request).await;
            metrics.answered(route.method, route.path, response.status(), start.elapsed());
            response
        }
    });
    router.route(route.path, (route.handler)().layer(measured))
}

/// Headers of every answer. What is reached over TLS is reached in no other way from then on.
async fn secure(request: Request, next: Next, is_encrypted: bool) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_encrypted {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
