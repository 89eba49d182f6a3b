//! The kinds of a category, and all their objects.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Arguments, Asking, Fragment, SIDE_BY_SIDE, read::selected, unreadable::too_long};
use crate::{
    error::{Code, GraphError},
    names,
    plan::{Call, Wanted},
    schema::Kind,
    upstream::{JSON, Question},
    yaml,
};

/// Names the kinds of a category.
pub fn types(asking: Asking<'_>, arguments: &Arguments<'_>, call: &Call) -> Result<Fragment, GraphError> {
    let category = arguments.text("name")?.unwrap_or_default();
    let mut out = vec![b'['];
    for kind in asking.endpoint.api.of_category(&category) {
        let name = &kind.resource.name;
        let scope = if kind.resource.is_namespaced { "Namespaced" } else { "Cluster" };
        let entry = json!({"group": name.group, "version": name.version, "kind": name.kind, "scope": scope});
        push(&mut out, &entry, (call, asking.max_response))?;
    }
    out.push(b']');
    Ok(Fragment::of(out))
}

fn push(out: &mut Vec<u8>, entry: &Value, (call, most): (&Call, usize)) -> Result<(), GraphError> {
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
    asking: Asking<'_>,
    arguments: &Arguments<'_>,
    call: &Call,
) -> Result<Fragment, GraphError> {
    let category = arguments.text("name")?.unwrap_or_default();
    let limit = arguments.number("limit")?.filter(|limit| *limit > 0);
    let place = arguments.text("continue")?.filter(|place| !place.is_empty());
    let kinds = newest(asking.endpoint.api.of_category(&category).filter(|kind| kind.resource.takes("list")));
    if limit.is_some() || place.is_some() {
        let place = place.as_deref().map(Place::read).transpose()?.unwrap_or_default();
        return page(asking, (arguments, call), &kinds, (limit.unwrap_or(u64::MAX), place)).await;
    }
    let lists: Vec<_> = kinds.iter().map(|kind| listed(asking, arguments, kind, (None, None))).collect();
    let lists: Vec<_> = stream::iter(lists).buffered(SIDE_BY_SIDE).collect().await;
    let (mut out, mut errors) = (vec![b'['], Vec::new());
    for (kind, list) in kinds.iter().zip(lists) {
        match list {
            Err(error) => errors.push(error),
            Ok(mut list) => {
                for item in items(&mut list) {
                    push(&mut out, &entry(item, kind, call, None), (call, asking.max_response))?;
                }
            }
        }
    }
    out.push(b']');
    Ok(Fragment { json: out, errors })
}

/// One page: kind after kind, until it is full. Its last object says where the next page begins.
async fn page(
    asking: Asking<'_>,
    (arguments, call): (&Arguments<'_>, &Call),
    kinds: &[&Kind],
    (limit, mut place): (u64, Place),
) -> Result<Fragment, GraphError> {
    let (mut left, mut errors) = (limit, Vec::new());
    let mut entries: Vec<(Value, &Kind)> = Vec::new();
    let mut next = None;
    let from = kinds.iter().skip_while(|kind| !place.kind.is_empty() && identity(kind) < place.kind);
    for kind in from {
        if left == 0 {
            next = Some(Place { kind: identity(kind), token: String::new() });
            break;
        }
        let token = (identity(kind) == place.kind).then(|| std::mem::take(&mut place.token));
        let bound = (left != u64::MAX).then_some(left);
        match listed(asking, arguments, kind, (bound, token.as_deref())).await {
            Err(error) => errors.push(error),
            Ok(mut list) => {
                let more = list["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                for item in items(&mut list) {
                    left = left.saturating_sub(u64::from(left != u64::MAX));
                    entries.push((item, kind));
                }
                if !more.is_empty() {
                    next = Some(Place { kind: identity(kind), token: more });
                    break;
                }
            }
        }
    }
    let (mut out, count) = (vec![b'['], entries.len());
    for (index, (item, kind)) in entries.into_iter().enumerate() {
        let next = next.as_ref().filter(|_| index + 1 == count);
        push(&mut out, &entry(item, kind, call, next), (call, asking.max_response))?;
    }
    out.push(b']');
    Ok(Fragment { json: out, errors })
}

/// The place in a category at which a page begins.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The kind, by its identity.
    kind: String,
    /// The API server's own position in it.
    token: String,
}

impl Place {
    fn read(text: &str) -> Result<Self, GraphError> {
        let read = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let place = read.and_then(|json| serde_json::from_slice(&json).ok());
        place.ok_or_else(|| GraphError::new(Code::Invalid, "continue is not what an earlier page has said"))
    }

    fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

fn identity(kind: &Kind) -> String {
    format!("{}/{}", kind.resource.name.group, kind.resource.name.kind)
}

fn items(list: &mut Value) -> impl Iterator<Item = Value> {
    list["items"].as_array_mut().map(std::mem::take).unwrap_or_default().into_iter()
}

async fn listed(
    asking: Asking<'_>,
    arguments: &Arguments<'_>,
    kind: &Kind,
    (limit, token): (Option<u64>, Option<&str>),
) -> Result<Value, GraphError> {
    asking.goes_through();
    let limit = limit.map(|limit| limit.to_string());
    let path = arguments.list_path(&kind.resource)?.with_some("limit", limit.as_deref());
    let question = Question::list(path.with_some("continue", token).text(), JSON);
    let json = asking.ask(question, Some("unable to list objects")).await?;
    Ok(serde_json::from_slice(&json).unwrap_or_default())
}

/// The entry of an object. Its YAML begins with version and kind, so that it can be applied again.
fn entry(item: Value, kind: &Kind, call: &Call, next: Option<&Place>) -> Value {
    let (api_version, name) = (kind.resource.api_version(), &kind.resource.name.kind);
    let wants_yaml = match &call.wanted {
        Wanted::Object(selection) => selection.fields.iter().any(|field| &*field.key == "yaml"),
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
    let next = next.map(Place::text);
    json!({"apiVersion": api_version, "kind": name, "metadata": metadata, "yaml": yaml, "continue": next})
}

/// One version of each kind, the most mature one.
fn newest<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Vec<&'a Kind> {
    let mut chosen: BTreeMap<(&str, &str), &Kind> = BTreeMap::new();
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
        let place = Place { kind: "apps/Deployment".to_owned(), token: "a+/=".to_owned() };
        assert_eq!(Place::read(&place.text()).unwrap(), place);
        assert_eq!(Place::read("x").unwrap_err().code, Code::Invalid);
    }
}
