//! The parameters of a GraphQL request, from a body or from a URL.

use apollo_compiler::response::JsonMap;
use serde::{Deserialize, Deserializer};

use super::RequestProblem;
use crate::persisted::QueryReference;

/// The parameters of one query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Params {
    /// The text.
    pub query: Option<String>,
    /// The name of the operation. An empty one is none.
    #[serde(deserialize_with = "not_empty")]
    pub operation_name: Option<String>,
    /// The variables.
    pub variables: Option<JsonMap>,
    /// Extensions of the protocol.
    pub extensions: Option<JsonMap>,
    /// The name of a persisted document.
    pub document_id: Option<String>,
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

impl Params {
    /// The query that they name.
    pub fn named(&self) -> QueryReference<'_> {
        QueryReference {
            query: self.query.as_deref(),
            document_id: self.document_id.as_deref(),
            extensions: self.extensions.as_ref(),
        }
    }
}

/// One request, or several.
#[derive(Debug)]
pub enum SentQueries {
    /// One.
    One(Box<Params>),
    /// Several, each with its own answer.
    Batch(Vec<Params>),
}

/// The parameters of a body.
pub fn of_body(body: &[u8], max_batch: usize) -> Result<SentQueries, RequestProblem> {
    let invalid = |error: serde_json::Error| {
        RequestProblem::bad_request(format!("the body is no GraphQL request: {error}"))
    };
    let begins = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if begins != Some(&b'[') {
        let params: Params = serde_json::from_slice(body).map_err(invalid)?;
        return Ok(SentQueries::One(Box::new(params)));
    }
    let batch: Vec<Params> = serde_json::from_slice(body).map_err(invalid)?;
    if max_batch > 0 && batch.len() > max_batch {
        let message = format!("batch size {} exceeds maximum allowed batch size of {max_batch}", batch.len());
        return Err(RequestProblem::bad_request(message));
    }
    if batch.is_empty() {
        return Err(RequestProblem::bad_request("Must provide an operation."));
    }
    Ok(SentQueries::Batch(batch))
}

/// The parameters of a URL.
pub fn of_query(query: &str) -> Result<Params, RequestProblem> {
    let mut params = Params::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let json = || {
            serde_json::from_str(&value)
                .map_err(|_| RequestProblem::bad_request(format!("{name} is no JSON object")))
        };
        match &*name {
            "query" => params.query = Some(value.into_owned()),
            "operationName" => {
                params.operation_name = Some(value.into_owned()).filter(|name| !name.is_empty());
            }
            "documentId" => params.document_id = Some(value.into_owned()),
            "variables" if !value.is_empty() => params.variables = json()?,
            "extensions" if !value.is_empty() => params.extensions = json()?,
            _ => {}
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let read =
            |body: &str| of_body(body.as_bytes(), 2).map_err(|problem| problem.errors[0].message.clone());
        assert!(matches!(read(r#"{"query":"{a}","variables":null,"x":1}"#), Ok(SentQueries::One(_))));
        assert!(matches!(read(r#"[{"query":"{a}"},{}]"#), Ok(SentQueries::Batch(_))));
        for wrong in [
            r#"{"query":1}"#,
            r#"{"query":"{a}","variables":"x"}"#,
            r#"{"extensions":[]}"#,
            "",
            "x",
            "[]",
            r#""a""#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read("[{},{},{}]").unwrap_err(), "batch size 3 exceeds maximum allowed batch size of 2");
    }

    #[test]
    fn an_empty_name_is_none() {
        for (body, expected) in [
            ("{}", None),
            (r#"{"operationName":null}"#, None),
            (r#"{"operationName":""}"#, None),
            (r#"{"operationName":"a"}"#, Some("a")),
        ] {
            let params: Params = serde_json::from_str(body).unwrap();
            assert_eq!(params.operation_name.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn urls_are_read_too() {
        let params = of_query("query=%7Ba%7D&variables=%7B%22b%22%3A1%7D&operationName=").unwrap();
        assert_eq!((params.query.as_deref(), params.operation_name), (Some("{a}"), None));
        assert_eq!(params.variables.unwrap().len(), 1);
        assert!(of_query("variables=x").is_err());
    }
}
