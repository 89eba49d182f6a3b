//! Changes of a schema that take away what objects and their users may rely on. Pure.
//!
//! Breaking is: a new version to store objects in that keeps less than the one before, another scope or other names,
//! a field that goes or has another type, one more required field without a default, a narrower enum, another
//! pattern, an object that takes no unnamed fields any more. Everything else widens or is a matter of taste.

use portolan_core::outline::CrdBody;
use serde_json::{Value, json};

/// The first breaking change that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakingChange {
    /// Path of the change: `versions[v1].spec.size`, or a field of the CRD's spec.
    pub path: String,
    /// Description of the change, to be read after the path.
    pub what: String,
    pub cure: BreakingCure,
}

/// Ways to let the consumer have the new schema all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakingCure {
    /// To agree to it.
    Consent,
    /// To unbind and to bind again: the API server does not let it change.
    Rebind,
}

impl BreakingChange {
    fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), cure: BreakingCure::Consent }
    }
}

/// Finds the first change by which `desired`, a CRD, breaks an existing one.
pub fn breaking(existing: &CrdBody, desired: &Value) -> Option<BreakingChange> {
    let (old, new) = (&existing.spec, &desired["spec"]);
    of_identity(old, new).or_else(|| of_stored(existing, new)).or_else(|| of_versions(old, new))
}

fn of_identity(old: &Value, new: &Value) -> Option<BreakingChange> {
    for pointer in ["/scope", "/names/kind", "/names/listKind", "/names/singular"] {
        let (was, is) = (old.pointer(pointer), new.pointer(pointer));
        // What the provider leaves out, the API server derives as before.
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            let path = pointer[1..].replace('/', ".");
            let cure = if ["/scope", "/names/kind"].contains(&pointer) {
                BreakingCure::Rebind
            } else {
                BreakingCure::Consent
            };
            return Some(BreakingChange { path, what: format!("changes from {was} to {is}"), cure });
        }
    }
    None
}

/// Finds fields of the stored version that its successor lacks: they are lost where objects are converted by the name
/// of the version alone.
fn of_stored(existing: &CrdBody, new: &Value) -> Option<BreakingChange> {
    let converts = new["conversion"]["strategy"] == "Webhook";
    let target = stored_in(new).filter(|_| !converts)?;
    let moves = stored_in(&existing.spec).is_none_or(|before| before["name"] != target["name"]);
    let stored = existing.status.as_ref().and_then(|status| status.stored_versions.clone());
    stored.iter().flatten().find_map(|name| {
        let before = version(&existing.spec, name).filter(|before| before["name"] != target["name"])?;
        let goes = version(new, name).is_none();
        let (was, is) = (schema_of(before)?, schema_of(target)?);
        let path = format!("versions[{name} -> {}]", target["name"].as_str().unwrap_or_default());
        (moves || goes).then(|| of_schema(&path, was, is)).flatten()
    })
}

fn stored_in(crd: &Value) -> Option<&Value> {
    crd["versions"].as_array()?.iter().find(|version| version["storage"] == true)
}

fn schema_of(version: &Value) -> Option<&Value> {
    version.pointer("/schema/openAPIV3Schema")
}

fn of_versions(old: &Value, new: &Value) -> Option<BreakingChange> {
    let names = old["versions"].as_array().into_iter().flatten().filter_map(|v| v["name"].as_str());
    for name in names {
        let schema = |crd| schema_of(version(crd, name)?);
        if let (Some(was), Some(is)) = (schema(old), schema(new)) {
            let found = of_schema(&format!("versions[{name}]"), was, is);
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn version<'a>(crd: &'a Value, name: &str) -> Option<&'a Value> {
    crd["versions"].as_array()?.iter().find(|version| version["name"] == name)
}

fn of_schema(path: &str, old: &Value, new: &Value) -> Option<BreakingChange> {
    let (was, is) = (&old["type"], &new["type"]);
    if was != is && !(is.is_null() && is_open(new)) {
        return Some(BreakingChange::new(
            path,
            format!("changes its type from {} to {}", kind_of(old), kind_of(new)),
        ));
    }
    if is_open(old) && !is_open(new) {
        return Some(BreakingChange::new(path, "no longer accepts fields that the schema does not name"));
    }
    if !new["enum"].is_null() {
        let allowed = |value: &Value| new["enum"].as_array().is_some_and(|values| values.contains(value));
        match old["enum"].as_array() {
            None => return Some(BreakingChange::new(path, "accepts only certain values")),
            Some(values) => {
                if let Some(value) = values.iter().find(|value| !allowed(value)) {
                    return Some(BreakingChange::new(path, format!("no longer accepts {value}")));
                }
            }
        }
    }
    if !new["pattern"].is_null() && new["pattern"] != old["pattern"] {
        return Some(BreakingChange::new(path, format!("must match another pattern: {}", new["pattern"])));
    }
    of_required(path, old, new).or_else(|| of_children(path, old, new))
}

fn of_required(path: &str, old: &Value, new: &Value) -> Option<BreakingChange> {
    let fields = |schema: &'static str, value: &Value| {
        value[schema].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (was, is): (Vec<String>, Vec<String>) = (fields("required", old), fields("required", new));
    // A default is set before it is looked for.
    let has_default = |field: &String| new["properties"][field].get("default").is_some();
    let added = is.into_iter().find(|field| !was.contains(field) && !has_default(field))?;
    Some(BreakingChange::new(format!("{path}.{added}"), "is required now"))
}

fn of_children(path: &str, old: &Value, new: &Value) -> Option<BreakingChange> {
    for (field, was) in old["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{field}");
        let found = match new["properties"].get(field) {
            Some(is) => of_schema(&path, was, is),
            None if is_open(new) => None,
            None => Some(BreakingChange::new(path, "is removed")),
        };
        if found.is_some() {
            return found;
        }
    }
    [("items", "[]"), ("additionalProperties", "[*]")].into_iter().find_map(|(field, suffix)| {
        let (was, is) = (&old[field], &new[field]);
        let both = was.is_object() && is.is_object();
        both.then(|| of_schema(&format!("{path}{suffix}"), was, is)).flatten()
    })
}

/// Returns `true` if an object may have fields that the schema does not name.
fn is_open(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == json!(true)
        || schema["additionalProperties"] == json!(true)
        || schema["additionalProperties"].is_object()
}

fn kind_of(schema: &Value) -> &str {
    let untyped = if schema["x-kubernetes-int-or-string"] == json!(true) { "int-or-string" } else { "any" };
    schema["type"].as_str().unwrap_or(untyped)
}

#[cfg(test)]
mod tests;
