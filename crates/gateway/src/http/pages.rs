//! The console and the start page: the files that the sources in `console/` are bundled into, under a strict policy.

use std::{io::Write as _, sync::OnceLock};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::{answer::accepts_gzip, negotiate};

/// Nothing but our own files is loaded, nothing is inline, and no other page shows ours in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    // The names of files stay the same, so that replicas of two versions can serve one page: browsers ask by tag.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A file of the bundle.
struct ConsoleAsset {
    path: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    /// Compressed bytes and tag, computed at the first request.
    sent: OnceLock<PackedAsset>,
}

struct PackedAsset {
    tag: String,
    packed: Bytes,
}

static START: ConsoleAsset = asset("/", HTML, include_bytes!("../../console/dist/start.html"));
static CONSOLE: ConsoleAsset =
    asset("/{cluster}/graphql", HTML, include_bytes!("../../console/dist/console.html"));
static ASSETS: [ConsoleAsset; 6] = [
    asset("/assets/start.js", SCRIPT, include_bytes!("../../console/dist/start.js")),
    asset("/assets/start.css", STYLE, include_bytes!("../../console/dist/start.css")),
    asset("/assets/console.js", SCRIPT, include_bytes!("../../console/dist/console.js")),
    asset("/assets/console.css", STYLE, include_bytes!("../../console/dist/console.css")),
    asset("/assets/icon.svg", IMAGE, include_bytes!("../../console/dist/icon.svg")),
    asset("/assets/licenses.txt", TEXT, include_bytes!("../../console/dist/licenses.txt")),
];

const fn asset(path: &'static str, content_type: &'static str, plain: &'static [u8]) -> ConsoleAsset {
    ConsoleAsset { path, content_type, plain, sent: OnceLock::new() }
}

/// The routes of the start page and of the files. Each has a route of its own: a cluster may be called `assets`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().chain([&START]).fold(Router::new(), |router, asset| {
        router.route(asset.path, get(async |headers: HeaderMap| asset.answer(&headers)))
    })
}

/// Answers browsers that open the address of a cluster with the console. It is the same for any name, so nobody learns
/// from it which clusters there are.
pub(super) async fn console_for_people(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && negotiate::wants_page(request.headers()) {
        CONSOLE.answer(request.headers())
    } else {
        next.run(request).await
    }
}

impl ConsoleAsset {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let PackedAsset { tag, packed } = self.sent.get_or_init(|| self.prepare());
        let is_packed = accepts_gzip(asked);
        let body = if is_packed { packed.clone() } else { Bytes::from_static(self.plain) };
        let tag = if is_packed { format!("\"{tag}-gzip\"") } else { format!("\"{tag}\"") };
        let mut response = if has(asked, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(body));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if is_packed {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn prepare(&self) -> PackedAsset {
        let digest: [u8; 32] = Sha256::digest(self.plain).into();
        let tag = BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]);
        let packed = tokio::task::block_in_place(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.plain.len() / 2), Compression::best());
            encoder.write_all(self.plain).and_then(|()| encoder.finish())
        });
        PackedAsset { tag, packed: packed.map(Bytes::from).unwrap_or_default() }
    }
}

fn has(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_has_a_file_is_told_so() {
        let first = CONSOLE.answer(&headers(&[]));
        let tag = first.headers()[header::ETAG].to_str().unwrap();
        assert_eq!(
            CONSOLE.answer(&headers(&[(header::IF_NONE_MATCH, tag)])).status(),
            StatusCode::NOT_MODIFIED
        );
        let packed = headers(&[(header::ACCEPT_ENCODING, "gzip, br"), (header::IF_NONE_MATCH, tag)]);
        let packed = CONSOLE.answer(&packed);
        assert_eq!(packed.status(), StatusCode::OK, "another form is another answer");
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    }

    #[test]
    fn pages_name_files_that_are_served() {
        for page in [&START, &CONSOLE] {
            let text = std::str::from_utf8(page.plain).unwrap();
            let named: Vec<_> =
                text.split('"').filter(|word| word.starts_with("/assets/") || word.contains("//")).collect();
            assert_eq!(named.len(), 3, "{named:?}");
            for path in named {
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{path}");
            }
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("<script>"));
        }
    }
}
