//! Errors in answers, each with a code for programs.

use apollo_compiler::response::GraphQLError;
use serde_json::{Map, Value, json};

use crate::scan::PathStep;

/// The code of an error, for programs: `extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// There is no token, or it is not accepted.
    Unauthenticated,
    /// The API server refuses the request.
    Forbidden,
    /// The object does not exist.
    NotFound,
    /// The object has changed meanwhile.
    Conflict,
    /// The object exists already.
    AlreadyExists,
    /// The position in a list, or the resource version, is too old.
    Expired,
    /// An argument or an object is wrong.
    Invalid,
    /// It took too long.
    Timeout,
    /// The API server does not answer.
    Unavailable,
    /// There are too many requests at a time.
    TooManyRequests,
    /// The answer exceeds the limit.
    ResponseTooLarge,
    /// The query cannot be parsed.
    ParseFailed,
    /// The query does not fit the schema.
    ValidationFailed,
    /// The query exceeds a limit.
    LimitExceeded,
    /// There are no persisted documents: the text must be sent.
    PersistedQueryNotSupported,
    /// No persisted document has this id or hash.
    PersistedQueryNotFound,
    /// The text, the hash and the id of a query do not belong together.
    PersistedQueryMismatch,
    /// Only persisted documents are executed.
    PersistedOnly,
    /// The request is malformed.
    BadRequest,
    /// A defect of the gateway or of the API server.
    Internal,
}

impl ErrorCode {
    /// The code as clients see it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Expired => "EXPIRED",
            Self::Invalid => "INVALID",
            Self::Timeout => "TIMEOUT",
            Self::Unavailable => "UNAVAILABLE",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryMismatch => "PERSISTED_QUERY_MISMATCH",
            Self::PersistedOnly => "PERSISTED_DOCUMENTS_ONLY",
            Self::BadRequest => "BAD_REQUEST",
            Self::Internal => "INTERNAL",
        }
    }
}

/// One error of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphError {
    /// The message, for people.
    pub message: String,
    /// The code, for programs.
    pub code: ErrorCode,
    /// Lines and columns of the query, from 1.
    pub locations: Vec<(usize, usize)>,
    /// Path of the field in the answer.
    pub path: Vec<PathStep>,
    /// Details from the API server.
    pub details: Option<Box<Value>>,
}

impl GraphError {
    /// An error without a position.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, locations: Vec::new(), path: Vec::new(), details: None }
    }

    /// The same error at a field.
    #[must_use]
    pub fn at(mut self, path: &[PathStep], location: Option<(usize, usize)>) -> Self {
        self.path.splice(0..0, path.iter().cloned());
        self.locations.extend(location);
        self
    }

    /// An error of the GraphQL compiler.
    pub fn compiled(code: ErrorCode, error: GraphQLError) -> Self {
        let locations = error.locations.iter().map(|place| (place.line, place.column)).collect();
        Self { locations, ..Self::new(code, error.message) }
    }

    /// The error as JSON.
    pub fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("message".to_owned(), json!(self.message));
        if !self.locations.is_empty() {
            let place = |(line, column): &(usize, usize)| json!({"line": line, "column": column});
            error.insert("locations".to_owned(), self.locations.iter().map(place).collect());
        }
        if !self.path.is_empty() {
            let step = |step: &PathStep| match step {
                PathStep::Field(name) => json!(name),
                PathStep::Index(index) => json!(index),
            };
            error.insert("path".to_owned(), self.path.iter().map(step).collect());
        }
        let mut extensions = json!({"code": self.code.text()});
        if let Some(details) = &self.details {
            extensions["status"] = (**details).clone();
        }
        error.insert("extensions".to_owned(), extensions);
        Value::Object(error)
    }
}

/// The bytes of an answer that has errors only.
pub fn only_errors(errors: &[GraphError]) -> Vec<u8> {
    const MAX_ERRORS: usize = 100;
    const MAX_BYTES: usize = 60 * 1024;
    let mut written = String::from("{\"errors\":[");
    for (index, error) in errors.iter().enumerate() {
        let next = error.to_json().to_string();
        if index > 0 {
            written.push(',');
        }
        if index + 1 >= MAX_ERRORS && errors.len() > MAX_ERRORS || written.len() + next.len() > MAX_BYTES {
            let left = errors.len() - index;
            let last = GraphError::new(error.code, format!("{left} more errors are left out"));
            written.push_str(&last.to_json().to_string());
            break;
        }
        written.push_str(&next);
    }
    written.push_str("]}");
    written.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_errors_are_cut_short() {
        let many: Vec<_> =
            (0..4000).map(|n| GraphError::new(ErrorCode::ValidationFailed, format!("error {n}"))).collect();
        let written: Value = serde_json::from_slice(&only_errors(&many)).unwrap();
        let errors = written["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 100);
        assert_eq!(errors[99]["message"], "3901 more errors are left out");
        let long = vec![GraphError::new(ErrorCode::ValidationFailed, "x".repeat(10_000)); 20];
        assert!(only_errors(&long).len() < 64 * 1024);
    }
}
