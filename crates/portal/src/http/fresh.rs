//! Lists that are never older than what their reader has seen: versions travel with answers and come back with
//! requests, in a header.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Method};
use kube::Resource;
use portolan_core::api::devportal::{APIKey, APIProduct};

use crate::{app::App, problem::Problem};

/// Pairs of a kind and a version, such as `apiproducts=1234, apikeys=1240`.
const MIN_VERSION: HeaderName = HeaderName::from_static("x-min-version");

/// The answer if nothing newer can be read.
const BEHIND: &str =
    "lists are behind what you have seen, and the API server does not answer: try again in a moment";

/// Holds a read back until the caches have what its header names. Nobody gets less than that.
pub(super) async fn catch_up(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        let text = request.headers().get(MIN_VERSION).and_then(|value| value.to_str().ok());
        let text = text.unwrap_or_default();
        // A version of nothing is seen already.
        let (products, keys) = (newest::<APIProduct>(text), newest::<APIKey>(text));
        let caught_up = tokio::join!(
            app.stores.products.catch_up(products.unwrap_or_default()),
            app.stores.keys.catch_up(keys.unwrap_or_default()),
        );
        if caught_up != (true, true) {
            return Problem::unavailable(BEHIND).into_response();
        }
    }
    next.run(request).await
}

/// The newest version of a kind that a header names.
fn newest<K: Resource<DynamicType = ()>>(text: &str) -> Option<u128> {
    let pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(kind, _)| *kind == K::plural(&())).filter_map(|(_, version)| version.parse().ok()).max()
}

/// An answer to a write, with the version that lists have to have from now on.
pub(super) fn since<K: Resource<DynamicType = ()>>(
    mut response: Response,
    version: Option<u128>,
) -> Response {
    let text =
        version.filter(|version| *version < u128::MAX).map(|version| format!("{}={version}", K::plural(&())));
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(MIN_VERSION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_version_is_passed_over() {
        let text = "apiproducts=12, apikeys=7,apiproducts=13, secrets=99";
        assert_eq!((newest::<APIProduct>(text), newest::<APIKey>(text)), (Some(13), Some(7)));
        for text in ["", "apiproducts", "=", "apiproducts=", "apiproducts=x", "apiproducts=-1", ",", "=1"] {
            assert_eq!(newest::<APIProduct>(text), None, "{text}");
        }
    }
}
