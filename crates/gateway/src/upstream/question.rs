//! Requests to API servers.

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::json;

/// Plain JSON.
pub const JSON: &str = "application/json";
/// Metadata of one object alone; the whole object if the server does not support that.
pub const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;q=0.9";
/// The same for lists.
pub const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;q=0.9";

/// A request to an API server.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// Its name in metrics.
    pub(super) verb: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    accept: &'static str,
    content_type: &'static str,
    body: Bytes,
}

impl ApiRequest {
    /// A read of one object.
    pub const fn get(path: String, accept: &'static str) -> Self {
        Self::read("get", path, accept)
    }

    /// A read of many.
    pub const fn list(path: String, accept: &'static str) -> Self {
        Self::read("list", path, accept)
    }

    /// A watch.
    pub const fn watch(path: String) -> Self {
        Self::read("watch", path, JSON)
    }

    /// A read of a log, which is text.
    pub const fn log(path: String) -> Self {
        Self::read("log", path, "*/*")
    }

    const fn read(verb: &'static str, path: String, accept: &'static str) -> Self {
        Self { verb, method: Method::GET, path, accept, content_type: JSON, body: Bytes::new() }
    }

    /// A review, of which the API server keeps nothing.
    pub fn review(path: &str, review: &serde_json::Value) -> Self {
        let (path, body) = (path.to_owned(), review.to_string().into());
        Self { verb: "review", method: Method::POST, path, accept: JSON, content_type: JSON, body }
    }

    /// A review of what the caller may do, by `resourceAttributes` (`SelfSubjectAccessReview` v1).
    pub fn access(attributes: &serde_json::Value) -> Self {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        Self::review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)
    }

    /// A write.
    pub fn write(method: Method, path: String, content_type: &'static str, body: Bytes) -> Self {
        let verb = match method {
            Method::POST => "create",
            Method::DELETE => "delete",
            _ => "patch",
        };
        Self { verb, method, path, accept: JSON, content_type, body }
    }

    /// Returns `true` if it may be sent twice.
    pub(super) fn changes_nothing(&self) -> bool {
        self.method == Method::GET || self.verb == "review"
    }

    pub(super) fn request(self) -> Result<Request<Bytes>, http::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::ACCEPT, self.accept)
            .header(header::USER_AGENT, concat!("portolan-gateway/", env!("CARGO_PKG_VERSION")));
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        request.body(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_is_sent_twice() {
        let write = |method| ApiRequest::write(method, "/p".to_owned(), JSON, Bytes::new());
        let table = [
            (ApiRequest::get("/p".to_owned(), JSON), "get", true),
            (ApiRequest::watch("/p".to_owned()), "watch", true),
            (ApiRequest::review("/p", &serde_json::json!({})), "review", true),
            (write(Method::POST), "create", false),
            (write(Method::PATCH), "patch", false),
            (write(Method::DELETE), "delete", false),
        ];
        for (question, verb, expected) in table {
            assert_eq!((question.verb, question.changes_nothing()), (verb, expected));
        }
    }
}
