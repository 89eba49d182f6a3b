//! The pages: one document for every address of theirs, and the files that the sources in `console/` are bundled into.

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use include_dir::{Dir, include_dir};

use super::input::PathParams;
use crate::problem::Problem;

/// Nothing but our own files is loaded, nothing is inline, and no other page shows ours in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const INDEX: &str = "index.html";

static DIST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/console/dist");
static FILES: LazyLock<BTreeMap<&'static str, StaticFile>> = LazyLock::new(files);

/// A file of the bundle.
struct StaticFile {
    content_type: &'static str,
    plain: &'static [u8],
    packed: Bytes,
}

fn files() -> BTreeMap<&'static str, StaticFile> {
    let entry = |file: &'static include_dir::File<'static>| {
        let name = file.path().to_str()?;
        let plain = file.contents();
        let is_packed_already = content_type(name) == "font/woff2";
        let packed = if is_packed_already { Bytes::from_static(plain) } else { gzip(plain)? };
        Some((name, StaticFile { content_type: content_type(name), plain, packed }))
    };
    DIST.files().filter_map(entry).collect()
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => HTML,
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The routes of files and pages.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages =
        ["/", "/products", "/products/{ns}/{name}", "/keys", "/keys/{ns}/{name}", "/approvals", "/signed-in"];
    let router = Router::new().route("/assets/{name}", get(asset));
    pages.into_iter().fold(router, |router, path| router.route(path, get(index)))
}

async fn asset(PathParams(name): PathParams<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = FILES.get(name.as_str()).filter(|file| file.content_type != HTML);
    let missing = || Problem::new(StatusCode::NOT_FOUND, "there is no such file");
    let mut response = found.map(|file| file.answer(&headers)).ok_or_else(missing)?;
    // The name has a hash of the content, but for the licences.
    let kept = if name == "licenses.txt" { "no-cache" } else { "public, max-age=31536000, immutable" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    Ok(response)
}

async fn index(headers: HeaderMap) -> Response {
    page(&headers)
}

fn page(headers: &HeaderMap) -> Response {
    let mut response = FILES.get(INDEX).map(|file| file.answer(headers)).unwrap_or_default();
    // Replicas of two versions may serve it, each with its own names of files.
    for_pages(&mut response);
    response
}

/// Answers requests to unknown paths: a page for people, a problem for programs.
pub(super) async fn lost(request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_person =
        request.method() == Method::GET && accepts.is_some_and(|kinds| kinds.contains("text/html"));
    if is_person {
        let mut response = page(request.headers());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    } else {
        let problem = Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path");
        axum::response::IntoResponse::into_response(problem)
    }
}

impl StaticFile {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let is_packed = accepts_gzip(headers) && self.packed.len() < self.plain.len();
        let body = if is_packed { self.packed.clone() } else { Bytes::from_static(self.plain) };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let wanted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    wanted.split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && quality.trim() != "q=0"
    })
}

/// A document of the bundle with its places filled in. Texts are escaped; `{{people}}` is markup of ours.
pub(super) fn filled(document: &str, code: StatusCode, places: &[(&str, &str)]) -> Response {
    let text = FILES.get(document).and_then(|file| std::str::from_utf8(file.plain).ok()).unwrap_or_default();
    let filled = places.iter().fold(text.to_owned(), |text, (place, value)| {
        let value = if *place == "people" { (*value).to_owned() } else { escaped(value) };
        text.replace(&format!("{{{{{place}}}}}"), &value)
    });
    let mut response = Response::new(Body::from(filled));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    for_pages(&mut response);
    response
}

fn for_pages(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Text as it may stand anywhere in a document.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_files_that_are_served() {
        for document in [INDEX, "login.html", "notice.html"] {
            let text = std::str::from_utf8(FILES[document].plain).unwrap();
            let named = text.split('"').filter_map(|word| word.strip_prefix("/assets/"));
            for name in named {
                assert!(FILES.contains_key(name), "{document} names {name}");
            }
            assert!(
                !text.contains("<style") && !text.contains(" style=") && !text.contains("<script>"),
                "{document}"
            );
        }
    }

    #[test]
    fn nothing_that_is_filled_in_is_markup() {
        let response = filled("notice.html", StatusCode::OK, &[("title", "<b>\"'&"), ("detail", "x")]);
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(escaped("<b>\"'&"), "&lt;b&gt;&quot;&#39;&amp;");
    }
}
