//! Reads: each is one request, and the selected fields are written from the bytes of its answer.

use http::StatusCode;

use super::{
    arguments::CallArguments,
    asking::{AnswerFragment, RequestContext},
    flow::ListFlow,
    reply::CallReply,
    unreadable::{broken, unlistable},
};
use crate::{
    error::{ErrorCode, GraphError},
    memory,
    plan::{PlanCall, WantedSelection},
    scan::{self, ItemOrder, JsonCursor, JsonWriter, ListSelection, MalformedJson, ObjectSelection},
    schema::TypedKind,
    upstream::{self, AnswerFeed, ApiRequest, JSON, METADATA, METADATA_LIST, RefusedAnswer},
    yaml,
};

/// Requests metadata alone if that is enough and the server supports it.
async fn fetch(
    asking: RequestContext<'_>,
    call: &PlanCall,
    path: String,
    (question, metadata): (impl Fn(String, &'static str) -> ApiRequest, Option<&'static str>),
) -> Result<Result<AnswerFeed, RefusedAnswer>, GraphError> {
    let kind = call.operation.kind.unwrap_or_default();
    let (upstream, who, limit) = (&asking.endpoint.upstream, asking.authorization, asking.max_response);
    if let Some(metadata) = metadata.filter(|_| asking.endpoint.gives_metadata(kind)) {
        let answer = upstream.open(who, question(path.clone(), metadata), limit).await?;
        match answer {
            Err(refused) if refused.status == StatusCode::NOT_ACCEPTABLE => {
                asking.endpoint.refuses_metadata(kind);
            }
            answer => return Ok(answer),
        }
    }
    upstream.open(who, question(path, JSON), limit).await
}

/// A list.
pub async fn list<'p>(
    asking: RequestContext<'p>,
    arguments: &CallArguments<'_>,
    call: &'p PlanCall,
    kind: &TypedKind,
) -> Result<CallReply<'p>, GraphError> {
    let WantedSelection::List(selection) = &call.wanted else { return Err(unplanned()) };
    // Items of a list are of one kind, which they leave out.
    let is_order = |path: &String| !matches!(path.as_str(), "" | "kind" | "apiVersion");
    let sort_by = arguments.text("sortBy")?.filter(is_order);
    let order = sort_by.as_deref().map(ItemOrder::by);
    let is_of_one = arguments.is_of_one_namespace(&kind.resource)?;
    if let Some(found) = memory::list(asking, arguments, call, kind).await? {
        return remembered((asking, is_of_one), &found, selection, order.as_ref()).map(CallReply::Done);
    }
    let limit = arguments.number("limit")?.filter(|limit| *limit > 0).map(|limit| limit.to_string());
    let path = arguments.list_path(&kind.resource)?.with_some("limit", limit.as_deref());
    let path = path.with_some("continue", arguments.text("continue")?.as_deref()).text();
    let sorts_metadata = sort_by.as_deref().is_none_or(|path| path.starts_with("metadata."));
    let is_enough = sorts_metadata && call.wanted.is_metadata_only();
    let answer = fetch(asking, call, path, (ApiRequest::list, is_enough.then_some(METADATA_LIST))).await?;
    let feed = answer.map_err(|refused| upstream::of_answer(&refused, Some("unable to list objects")))?;
    let of = (asking.endpoint, call.operation.kind.unwrap_or_default());
    // API servers list by namespace and name.
    let is_by_name = is_of_one && of.0.lists_by_name(of.1);
    let is_in_order = order.as_ref().is_none_or(|order| is_by_name && order.is_by_name());
    if is_in_order && !feed.is_over() && scan::is_streamable(selection, feed.bytes()) {
        return Ok(CallReply::Flowing(Box::new(ListFlow::new(
            feed,
            selection,
            order,
            of,
            asking.max_response,
        ))));
    }
    whole_list(asking, &feed.whole().await?, selection, order.as_ref()).map(CallReply::Done)
}

/// A list from memory.
fn remembered(
    (asking, is_of_one): (RequestContext<'_>, bool),
    found: &memory::FoundPage,
    selection: &ListSelection,
    order: Option<&ItemOrder>,
) -> Result<AnswerFragment, GraphError> {
    let mut writer =
        JsonWriter::with_capacity(found.bytes.min(1 << 20) / 8 + 128).at_most(asking.max_response);
    let is_by_name = order.is_some_and(ItemOrder::is_by_name);
    // Memory has the order of namespaces and names.
    let (metadata, items) = (found.metadata(), found.items(is_by_name && !is_of_one));
    let order = order.filter(|_| !is_by_name);
    scan::list_of(&mut writer, (metadata.as_bytes(), &items), selection, order).map_err(unlistable)?;
    Ok(AnswerFragment::with(writer.out, &writer.mismatches))
}

fn whole_list(
    asking: RequestContext<'_>,
    json: &[u8],
    selection: &ListSelection,
    order: Option<&ItemOrder>,
) -> Result<AnswerFragment, GraphError> {
    let mut writer =
        JsonWriter::with_capacity(json.len().min(1 << 20) / 8 + 128).at_most(asking.max_response);
    scan::list(&mut writer, json, selection, order).map_err(unlistable)?;
    Ok(AnswerFragment::with(writer.out, &writer.mismatches))
}

/// One object.
pub async fn get(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    if let Some(found) = memory::get(asking, arguments, call, kind).await? {
        return selected(found.json(), call, asking.max_response);
    }
    let path = arguments.path(&kind.resource)?.text();
    let answer =
        fetch(asking, call, path, (ApiRequest::get, call.wanted.is_metadata_only().then_some(METADATA)))
            .await?;
    let feed = answer.map_err(|refused| upstream::of_answer(&refused, None))?;
    selected(&feed.whole().await?, call, asking.max_response)
}

/// One object as YAML.
pub async fn yaml(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    kind: &TypedKind,
) -> Result<AnswerFragment, GraphError> {
    asking.goes_through();
    let question = ApiRequest::get(arguments.path(&kind.resource)?.text(), JSON);
    let json = asking.ask(question, None).await?;
    let value = serde_json::from_slice(&json).map_err(|_| broken(MalformedJson { at: 0 }))?;
    let mut out = Vec::new();
    scan::quote(yaml::write(&value).as_bytes(), &mut out);
    Ok(AnswerFragment::of(out))
}

/// The fields of an object that a call selects, of `most` bytes.
pub fn selected(json: &[u8], call: &PlanCall, most: usize) -> Result<AnswerFragment, GraphError> {
    match &call.wanted {
        WantedSelection::Object(selection) => object(json, selection, most),
        WantedSelection::Leaf => Ok(AnswerFragment::of(json.to_vec())),
        WantedSelection::List(_) | WantedSelection::Event(_) => Err(unplanned()),
    }
}

/// Some fields of an object, of `most` bytes.
pub fn object(json: &[u8], selection: &ObjectSelection, most: usize) -> Result<AnswerFragment, GraphError> {
    let mut writer = JsonWriter::with_capacity(json.len().min(4096)).at_most(most);
    writer.object(&mut JsonCursor::new(json), selection).map_err(broken)?;
    Ok(AnswerFragment::with(writer.out, &writer.mismatches))
}

fn unplanned() -> GraphError {
    GraphError::new(ErrorCode::Internal, "the call does not fit its plan")
}
