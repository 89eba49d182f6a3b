//! The token of a subscriber and its right to watch. Both are checked repeatedly.

use serde_json::json;

use super::Subscriber;
use crate::{
    document::ApiResource,
    error::{ErrorCode, GraphError},
    execute::{CallArguments, RequestContext, broken},
    scan::at,
    schema::OperationVerb,
    upstream::{self, ApiPath, ApiRequest},
};

/// The path to watch, and the right that the caller needs for it.
pub(super) fn question(
    arguments: &CallArguments<'_>,
    resource: &ApiResource,
    verb: OperationVerb,
) -> Result<(String, serde_json::Value), GraphError> {
    let name = &resource.name;
    let mut attributes =
        json!({"verb": "watch", "group": name.group, "version": name.version, "resource": resource.plural});
    let path = if verb == OperationVerb::WatchOne {
        let (object, namespace) = (arguments.name()?, arguments.namespace(resource)?);
        attributes["name"] = json!(object);
        attributes["namespace"] = json!(namespace);
        ApiPath::of(resource, namespace.as_deref()).with("fieldSelector", &format!("metadata.name={object}"))
    } else {
        let namespace = arguments.text("namespace")?.unwrap_or_default();
        if resource.is_namespaced {
            attributes["namespace"] = json!(namespace);
        }
        let fields = arguments.text("fieldselector")?.unwrap_or_default();
        // RBAC may grant the watch of one name only; then the review has to name it.
        let named = fields
            .split(',')
            .find_map(|part| part.strip_prefix("metadata.name=").map(|name| name.trim_start_matches('=')));
        if let Some(named) = named {
            attributes["name"] = json!(named);
        }
        arguments.list_path(resource)?
    };
    Ok((path.text(), attributes))
}

/// Asks the API server whether the caller has a right.
pub(super) async fn may_watch(
    asking: RequestContext<'_>,
    attributes: &serde_json::Value,
) -> Result<(), GraphError> {
    let question = ApiRequest::access(attributes);
    let answer = asking.endpoint.upstream.ask(asking.authorization, question, 1 << 20).await?;
    let review = answer.map_err(|refused| upstream::of_answer(&refused, None))?;
    match at(&review, &["status", "allowed"]) {
        Ok(Some(b"true")) => Ok(()),
        Ok(_) => {
            let what = attributes["resource"].as_str().unwrap_or_default();
            Err(GraphError::new(
                ErrorCode::Forbidden,
                format!("unable to watch objects: {what} is forbidden to the caller"),
            ))
        }
        Err(malformed) => Err(broken(malformed)),
    }
}

/// Proves the token and the right to watch again. An outage does not end the subscription.
pub(super) async fn prove(
    subscriber: &Subscriber,
    asking: RequestContext<'_>,
    review: &serde_json::Value,
) -> Result<(), GraphError> {
    let ends = |error: GraphError| {
        matches!(error.code, ErrorCode::Unauthenticated | ErrorCode::Forbidden).then_some(error)
    };
    let upstream = &subscriber.served.endpoint.upstream;
    let proven = subscriber.served.callers.prove_again(upstream, &subscriber.caller).await;
    if let Some(error) = proven.err().and_then(ends) {
        return Err(error);
    }
    may_watch(asking, review).await.err().and_then(ends).map_or(Ok(()), Err)
}
