//! YAML documents to apply: one, or several in their order.

use http::Method;
use serde_json::{Value, json};

use super::{
    AnswerFragment, CallArguments, RequestContext,
    read::selected,
    write::{APPLY, applied, send},
};
use crate::{
    document::KindName,
    error::{ErrorCode, GraphError},
    plan::PlanCall,
    scan::quote,
    upstream::{ApiPath, JSON, checked_name, checked_namespace},
    yaml,
};

/// Applies a single document.
pub async fn apply_one(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
) -> Result<AnswerFragment, GraphError> {
    let mut documents = documents(arguments)?;
    let (Some(document), None) = (documents.pop(), documents.pop()) else {
        let message = "multi-document YAML is not supported; provide a single document, or use applyYamlAll";
        return Err(GraphError::new(ErrorCode::Invalid, message));
    };
    let applied = apply(asking, arguments, &document).await?;
    let mut out = Vec::new();
    quote(&applied, &mut out);
    Ok(AnswerFragment::of(out))
}

/// Applies every document, even if another one fails.
pub async fn apply_all(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
) -> Result<AnswerFragment, GraphError> {
    let (mut out, mut refused) = (vec![b'['], None);
    for (index, document) in documents(arguments)?.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let result = apply(asking, arguments, document).await;
        let metadata = &document["metadata"];
        let mut told = json!({
            "apiVersion": document["apiVersion"], "kind": document["kind"],
            "name": metadata["name"], "namespace": metadata["namespace"],
        });
        match result {
            Ok(object) => told["object"] = serde_json::from_slice(&object).unwrap_or_default(),
            Err(error) => {
                told["error"] = json!(error.message);
                told["code"] = json!(error.code.text());
            }
        }
        let left = asking.max_response.saturating_sub(out.len());
        match selected(told.to_string().as_bytes(), call, left) {
            Ok(one) => out.extend(one.json),
            // What is too long to be told keeps no other document from being applied.
            Err(error) => refused = Some(error),
        }
    }
    out.push(b']');
    refused.map_or_else(|| Ok(AnswerFragment::of(out)), Err)
}

fn documents(arguments: &CallArguments<'_>) -> Result<Vec<Value>, GraphError> {
    let text = arguments.text("yaml")?.unwrap_or_default();
    let documents = yaml::read_all(&text);
    let documents = documents
        .map_err(|error| GraphError::new(ErrorCode::Invalid, format!("failed to parse YAML: {error}")))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

async fn apply(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    document: &Value,
) -> Result<Vec<u8>, GraphError> {
    let invalid = |message: String| GraphError::new(ErrorCode::Invalid, message);
    let text = |field: &str| {
        let text = document[field].as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| invalid(format!("the document has no {field}")))
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let name = KindName { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
    let known = asking.endpoint.api.kind(&name);
    let resource = known.map(|kind| &kind.resource);
    let resource = resource
        .ok_or_else(|| invalid(format!("no matches for kind {kind:?} in version {api_version:?}")))?;
    let metadata =
        document["metadata"].as_object().ok_or_else(|| invalid("the document has no metadata".to_owned()))?;
    let part = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let namespace = match part("namespace") {
        _ if !resource.is_namespaced => None,
        Some(namespace) => Some(checked_namespace(namespace)?),
        None => Some("default"),
    };
    let path = ApiPath::of(resource, namespace);
    let body = without_managers(document);
    let answer = match (part("name"), part("generateName")) {
        (Some(name), _) => {
            let path = applied(arguments, path.then(checked_name(name)?))?;
            send(asking, resource, (Method::PATCH, path), (APPLY, body)).await?
        }
        (None, Some(_)) => {
            send(asking, resource, (Method::POST, arguments.write_options(path)?), (JSON, body)).await?
        }
        (None, None) => {
            return Err(invalid("object metadata.name or metadata.generateName is required".to_owned()));
        }
    };
    Ok(answer.to_vec())
}

/// A document as it is sent. What was read says who manages its fields, but an API server lets nobody write that.
fn without_managers(document: &Value) -> Vec<u8> {
    let mut document = document.clone();
    if let Some(metadata) = document["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    document.to_string().into_bytes()
}
