//! Writes: one request each, with exactly what the caller has sent.

use bytes::Bytes;
use http::Method;

use super::{
    AnswerFragment, CallArguments, RequestContext,
    body::{ObjectBody, delete_options, json_patch},
    read::selected,
};
use crate::{
    document::ApiResource,
    error::{ErrorCode, GraphError},
    plan::PlanCall,
    schema::{OperationVerb, TypedKind},
    upstream::{ApiPath, ApiRequest, JSON, checked_namespace},
};

/// The media type of a merge patch.
const MERGE: &str = "application/merge-patch+json";
/// The media type of a JSON patch.
const JSON_PATCH: &str = "application/json-patch+json";
/// The media type of an applied configuration. JSON is YAML.
pub const APPLY: &str = "application/apply-patch+yaml";
/// The field manager of applies that name none.
pub const MANAGER: &str = "portolan-gateway";

/// Sends a write and returns the answer.
pub async fn send(
    asking: RequestContext<'_>,
    resource: &ApiResource,
    (method, path): (Method, ApiPath),
    (content_type, body): (&'static str, Vec<u8>),
) -> Result<Bytes, GraphError> {
    let question = ApiRequest::write(method, path.text(), content_type, body.into());
    let answer = asking.ask(question, None).await?;
    asking.wrote(resource, &answer);
    Ok(answer)
}

/// Sends a write of a call, and selects from the answer.
async fn written(
    asking: RequestContext<'_>,
    (call, kind): (&PlanCall, &TypedKind),
    request: (Method, ApiPath),
    body: (&'static str, Vec<u8>),
) -> Result<AnswerFragment, GraphError> {
    selected(&send(asking, &kind.resource, request, body).await?, call, asking.max_response)
}

/// Creates an object.
pub async fn create(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let resource = &kind.resource;
    let mut body = ObjectBody::of(arguments)?;
    let is_named =
        ["name", "generateName"].iter().any(|key| body.metadata(key).is_some_and(|name| !name.is_empty()));
    // Reviews and the like have no name.
    if !is_named && resource.takes("get") {
        return Err(GraphError::new(
            ErrorCode::Invalid,
            "object metadata.name or metadata.generateName is required",
        ));
    }
    let namespace = match body.metadata("namespace") {
        Some(namespace) if resource.is_namespaced && arguments.text("namespace")?.is_none() => {
            Some(checked_namespace(&namespace)?.to_owned())
        }
        _ => arguments.namespace(resource)?,
    };
    body.set_kind(resource);
    let path = arguments.write_options(ApiPath::of(resource, namespace.as_deref()))?;
    written(asking, (call, kind), (Method::POST, path), (JSON, body.into_json())).await
}

/// Changes an object, or its status, by a merge patch.
pub async fn update(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let path = arguments.path(&kind.resource)?;
    let path = if call.operation.verb == OperationVerb::UpdateStatus { path.then("status") } else { path };
    let mut body = ObjectBody::of(arguments)?;
    body.set_preconditions(arguments)?;
    let path = arguments.write_options(path)?;
    written(asking, (call, kind), (Method::PATCH, path), (MERGE, body.into_json())).await
}

/// Applies an object by server-side apply.
pub async fn apply(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let path = arguments.path(&kind.resource)?;
    let mut body = ObjectBody::of(arguments)?;
    body.set_kind(&kind.resource);
    body.leave_out_managers();
    body.set_metadata("name", &arguments.name()?);
    body.set_preconditions(arguments)?;
    let path = applied(arguments, path)?;
    written(asking, (call, kind), (Method::PATCH, path), (APPLY, body.into_json())).await
}

/// The options of an apply.
pub fn applied(arguments: &CallArguments<'_>, path: ApiPath) -> Result<ApiPath, GraphError> {
    let path = path.with("force", if arguments.is("force")? { "true" } else { "false" });
    let path = arguments.write_options(path)?;
    let is_named = arguments.text("fieldManager")?.is_some_and(|manager| !manager.is_empty());
    Ok(if is_named { path } else { path.with("fieldManager", MANAGER) })
}

/// Changes an object by a JSON patch.
pub async fn patch(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let path = arguments.write_options(arguments.path(&kind.resource)?)?;
    written(asking, (call, kind), (Method::PATCH, path), (JSON_PATCH, json_patch(arguments)?)).await
}

/// Sets the number of replicas.
pub async fn scale(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let replicas = arguments.number("replicas")?.unwrap_or_default();
    let mut body = ObjectBody::read(format!("{{\"spec\":{{\"replicas\":{replicas}}}}}").as_bytes())?;
    body.set_preconditions(arguments)?;
    let path = arguments.write_options(arguments.path(&kind.resource)?.then("scale"))?;
    written(asking, (call, kind), (Method::PATCH, path), (MERGE, body.into_json())).await
}

/// Deletes an object.
pub async fn delete(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    let path = arguments.path(&kind.resource)?;
    send(asking, &kind.resource, (Method::DELETE, path), (JSON, delete_options(arguments)?)).await?;
    Ok(AnswerFragment::of(b"true".to_vec()))
}
