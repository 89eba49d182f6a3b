//! The kinds of a category, and all their objects.

use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AnswerFragment, CallArguments, RequestContext, SIDE_BY_SIDE,
    read::selected,
    room::take,
    unreadable::{broken, too_long},
};
use crate::{
    error::{ErrorCode, GraphError},
    names,
    plan::{PlanCall, WantedSelection},
    scan::{JsonCursor, MalformedJson, at, text_at},
    schema::TypedKind,
    upstream::{ApiRequest, JSON},
    yaml,
};

/// Names the kinds of a category.
pub fn types(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
) -> Result<AnswerFragment, GraphError> {
    let category = arguments.text("name")?.unwrap_or_default();
    let mut out = vec![b'['];
    for kind in asking.endpoint.api.of_category(&category) {
        let name = &kind.resource.name;
        let scope = if kind.resource.is_namespaced { "Namespaced" } else { "Cluster" };
        let entry = json!({"group": name.group, "version": name.version, "kind": name.kind, "scope": scope});
        push(&mut out, &entry, (call, asking.max_response))?;
    }
    out.push(b']');
    Ok(AnswerFragment::of(out))
}

fn push(out: &mut Vec<u8>, entry: &Value, (call, most): (&PlanCall, usize)) -> Result<(), GraphError> {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend(selected(entry.to_string().as_bytes(), call, most)?.json);
    if out.len() > most {
        return Err(too_long());
    }
    Ok(())
}

/// Lists the objects of every kind of a category, each kind in one version.
pub async fn resources(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
) -> Result<AnswerFragment, GraphError> {
    let category = arguments.text("name")?.unwrap_or_default();
    let limit = arguments.number("limit")?.filter(|limit| *limit > 0);
    let place = arguments.text("continue")?.filter(|place| !place.is_empty());
    let kinds = newest(asking.endpoint.api.of_category(&category).filter(|kind| kind.resource.takes("list")));
    if limit.is_some() || place.is_some() {
        let place = place.as_deref().map(CategoryPlace::read).transpose()?.unwrap_or_default();
        return page(asking, (arguments, call), &kinds, (limit.unwrap_or(u64::MAX), place)).await;
    }
    let room = AtomicUsize::new(asking.max_response);
    let lists: Vec<_> =
        kinds.iter().map(|kind| listed((asking, &room), arguments, kind, (None, None))).collect();
    let lists: Vec<_> = stream::iter(lists).buffered(SIDE_BY_SIDE).collect().await;
    let (mut out, mut errors) = (vec![b'['], Vec::new());
    for (kind, list) in kinds.iter().zip(lists) {
        match list {
            Err(error) => errors.push(error),
            Ok(ListPage { items, .. }) => {
                for item in items {
                    push(&mut out, &entry(&item, kind, call, None)?, (call, asking.max_response))?;
                }
            }
        }
    }
    out.push(b']');
    Ok(AnswerFragment { json: out, errors })
}

/// One page: kind after kind, until it is full. Its last object says where the next page begins.
async fn page(
    asking: RequestContext<'_>,
    (arguments, call): (&CallArguments<'_>, &PlanCall),
    kinds: &[&TypedKind],
    (limit, mut place): (u64, CategoryPlace),
) -> Result<AnswerFragment, GraphError> {
    let (mut left, mut errors) = (limit, Vec::new());
    let mut entries: Vec<(Bytes, &TypedKind)> = Vec::new();
    let (mut next, room) = (None, AtomicUsize::new(asking.max_response));
    let from = kinds.iter().skip_while(|kind| !place.kind.is_empty() && identity(kind) < place.kind);
    for kind in from {
        if left == 0 {
            next = Some(CategoryPlace { kind: identity(kind), token: String::new() });
            break;
        }
        let mut token = (identity(kind) == place.kind).then(|| std::mem::take(&mut place.token));
        let bound = (left != u64::MAX).then_some(left);
        let more = loop {
            match listed((asking, &room), arguments, kind, (bound, token.as_deref())).await {
                Err(error) => {
                    errors.push(error);
                    break String::new();
                }
                Ok(ListPage { items, more }) => {
                    for item in items {
                        left = left.saturating_sub(u64::from(left != u64::MAX));
                        entries.push((item, kind));
                    }
                    // An object has to be there that says where the next page begins.
                    if more.is_empty() || !entries.is_empty() {
                        break more;
                    }
                    token = Some(more);
                }
            }
        };
        if !more.is_empty() {
            next = Some(CategoryPlace { kind: identity(kind), token: more });
            break;
        }
    }
    let (mut out, count) = (vec![b'['], entries.len());
    for (index, (item, kind)) in entries.into_iter().enumerate() {
        let next = next.as_ref().filter(|_| index + 1 == count);
        push(&mut out, &entry(&item, kind, call, next)?, (call, asking.max_response))?;
    }
    out.push(b']');
    Ok(AnswerFragment { json: out, errors })
}

/// The place in a category at which a page begins.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CategoryPlace {
    /// The kind, by its identity.
    kind: String,
    /// The API server's own position in it.
    token: String,
}

impl CategoryPlace {
    fn read(text: &str) -> Result<Self, GraphError> {
        let read = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let place = read.and_then(|json| serde_json::from_slice(&json).ok());
        place.ok_or_else(|| {
            GraphError::new(ErrorCode::Invalid, "continue is not what an earlier page has said")
        })
    }

    fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

fn identity(kind: &TypedKind) -> String {
    format!("{}/{}", kind.resource.name.group, kind.resource.name.kind)
}

/// A list, or a page of it.
struct ListPage {
    /// Its objects, each as it is written.
    items: Vec<Bytes>,
    /// Where the next page begins; empty at the end.
    more: String,
}

impl ListPage {
    fn read(json: &Bytes) -> Result<Self, MalformedJson> {
        let more = text_at(json, &["metadata", "continue"]).unwrap_or_default();
        let mut cursor = JsonCursor::new(at(json, &["items"])?.unwrap_or(b"null"));
        let mut items = Vec::new();
        if cursor.peek()? != b'[' {
            // Go writes an empty list as `null`.
            return Ok(Self { items, more });
        }
        cursor.expect(b'[')?;
        let mut another = !cursor.take(b']')?;
        while another {
            items.push(json.slice_ref(cursor.value()?));
            another = cursor.another(b']')?;
        }
        Ok(Self { items, more })
    }
}

/// Lists a kind, if there is room for it.
async fn listed(
    (asking, room): (RequestContext<'_>, &AtomicUsize),
    arguments: &CallArguments<'_>,
    kind: &TypedKind,
    (limit, token): (Option<u64>, Option<&str>),
) -> Result<ListPage, GraphError> {
    asking.goes_through();
    let limit = limit.map(|limit| limit.to_string());
    let path = arguments.list_path(&kind.resource)?.with_some("limit", limit.as_deref());
    let question = ApiRequest::list(path.with_some("continue", token).text(), JSON);
    let json = asking.ask(question, Some("unable to list objects")).await?;
    if take(room, json.len()) { ListPage::read(&json).map_err(broken) } else { Err(too_long()) }
}

/// The entry of an object. Its YAML begins with version and kind, so that it can be applied again.
fn entry(
    item: &[u8],
    kind: &TypedKind,
    call: &PlanCall,
    next: Option<&CategoryPlace>,
) -> Result<Value, GraphError> {
    let item: Value = serde_json::from_slice(item).map_err(|_| broken(MalformedJson { at: 0 }))?;
    let (api_version, name) = (kind.resource.api_version(), &kind.resource.name.kind);
    let wants_yaml = match &call.wanted {
        WantedSelection::Object(selection) => selection.fields.iter().any(|field| &*field.key == "yaml"),
        _ => false,
    };
    let metadata = item["metadata"].clone();
    let yaml = wants_yaml.then(|| {
        let mut rest = item;
        if let Some(fields) = rest.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        format!("{}{}", yaml::write(&json!({"apiVersion": api_version, "kind": name})), yaml::write(&rest))
    });
    let next = next.map(CategoryPlace::text);
    Ok(json!({"apiVersion": api_version, "kind": name, "metadata": metadata, "yaml": yaml, "continue": next}))
}

/// One version of each kind, the most mature one.
fn newest<'a>(kinds: impl Iterator<Item = &'a TypedKind>) -> Vec<&'a TypedKind> {
    let mut chosen: BTreeMap<(&str, &str), &TypedKind> = BTreeMap::new();
    for kind in kinds {
        let name = &kind.resource.name;
        let known = chosen.entry((&name.group, &name.kind)).or_insert(kind);
        if names::maturity(&name.version) > names::maturity(&known.resource.name.version) {
            *known = kind;
        }
    }
    let mut kinds: Vec<_> = chosen.into_values().collect();
    kinds.sort_by_key(|kind| identity(kind));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_said() {
        let place = CategoryPlace { kind: "apps/Deployment".to_owned(), token: "a+/=".to_owned() };
        assert_eq!(CategoryPlace::read(&place.text()).unwrap(), place);
        assert_eq!(CategoryPlace::read("x").unwrap_err().code, ErrorCode::Invalid);
    }
}
