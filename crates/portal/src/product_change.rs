//! Pure: what a request makes of a product.

use portolan_core::api::devportal::ANNOTATION_OWNER;
use serde_json::{Map, Value, json};

use crate::rules::{LABEL_LIFECYCLE, LIFECYCLES};

/// Members of a product that may be changed, each with its own members if it is an object.
const MEMBERS: [(&str, &[&str]); 8] = [
    ("displayName", &[]),
    ("description", &[]),
    ("version", &[]),
    ("publishStatus", &[]),
    ("approvalMode", &[]),
    ("tags", &[]),
    ("contact", &["team", "email", "slack", "url"]),
    ("documentation", &["openAPISpecURL", "swaggerUI", "docsURL", "gitRepository", "techdocsRef"]),
];
/// No members of its own are told apart.
const WHOLE: &[&str] = &[];
const RETIRED: &str = "retired";
const NO_RETIRED: &str = "cannot publish a retired API product";

/// A merge patch with what may be changed of what was sent. `retired` is the state before.
pub fn patch(sent: &Value, was_retired: bool) -> Result<Value, String> {
    let lifecycle = &sent["metadata"]["labels"][LABEL_LIFECYCLE];
    if sent["spec"].is_null() && lifecycle.is_null() {
        return Err("invalid patch: spec is required".to_owned());
    }
    let mut spec = allowed(&sent["spec"], &MEMBERS);
    let mut metadata = Map::new();
    if let Some(version) = sent["metadata"]["resourceVersion"].as_str() {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
    if let Some(word) = lifecycle_of(lifecycle)? {
        metadata.insert("labels".to_owned(), json!({LABEL_LIFECYCLE: word}));
        if word == RETIRED && !spec.contains_key("publishStatus") {
            spec.insert("publishStatus".to_owned(), "Draft".into());
        }
    }
    let is_retired = lifecycle.as_str().map_or(was_retired, |word| word == RETIRED);
    if is_retired && spec.get("publishStatus").is_some_and(|status| status == "Published") {
        return Err(NO_RETIRED.to_owned());
    }
    Ok(json!({"metadata": metadata, "spec": spec}))
}

fn lifecycle_of(value: &Value) -> Result<Option<&str>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(word) if LIFECYCLES.contains(&word.as_str()) => Ok(Some(word)),
        _ => {
            Err(format!("invalid patch: metadata.labels.lifecycle is to be one of {}", LIFECYCLES.join(", ")))
        }
    }
}

fn allowed(value: &Value, members: &[(&str, &[&str])]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (member, inner) in members {
        let Some(found) = value.get(*member) else { continue };
        let found = if inner.is_empty() || !found.is_object() {
            found.clone()
        } else {
            let inner: Vec<_> = inner.iter().map(|name| (*name, WHOLE)).collect();
            Value::Object(allowed(found, &inner))
        };
        kept.insert((*member).to_owned(), found);
    }
    kept
}

/// A product to create, and its namespace: that of its route. Its owner is who asks.
pub fn create(sent: &Value, owner: &str) -> Result<(String, Value), String> {
    let target = &sent["spec"]["targetRef"];
    let text = |member: &str| target[member].as_str().filter(|text| !text.is_empty());
    let (Some(name), Some(kind), Some(namespace)) = (text("name"), text("kind"), text("namespace")) else {
        return Err("targetRef with name, kind, and namespace is required".to_owned());
    };
    // Only an absent group has a default: whatever was sent meets the rules of the CRD.
    let group = target.get("group").filter(|group| !group.is_null()).cloned();
    let group = group.unwrap_or_else(|| "gateway.networking.k8s.io".into());
    let mut metadata = Map::new();
    for member in ["name", "generateName", "labels", "annotations"] {
        if let Some(found) = sent["metadata"].get(member).filter(|found| !found.is_null()) {
            metadata.insert(member.to_owned(), found.clone());
        }
    }
    metadata.insert("namespace".to_owned(), namespace.into());
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if !annotations.is_object() {
        return Err("metadata.annotations is to be an object".to_owned());
    }
    annotations[ANNOTATION_OWNER] = owner.into();
    let lifecycle = sent["metadata"]["labels"].get(LABEL_LIFECYCLE).unwrap_or(&Value::Null);
    let is_retired = lifecycle_of(lifecycle)? == Some(RETIRED);
    if is_retired && sent["spec"]["publishStatus"] == "Published" {
        return Err(NO_RETIRED.to_owned());
    }
    let mut spec = allowed(&sent["spec"], &MEMBERS);
    spec.insert("targetRef".to_owned(), json!({"group": group, "kind": kind, "name": name}));
    let product = json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct", "metadata": metadata, "spec": spec,
    });
    Ok((namespace.to_owned(), product))
}

/// Returns `true` if a product is what a request to create it has made, whatever was added since.
pub fn is_made_of(found: &Value, wanted: &Value) -> bool {
    let has = |found: &Value, wanted: &Value| {
        let mut members = wanted.as_object().into_iter().flatten();
        members.all(|(member, value)| found[member] == *value)
    };
    let (metadata, asked) = (&found["metadata"], &wanted["metadata"]);
    has(&found["spec"], &wanted["spec"])
        && ["annotations", "labels"].iter().all(|member| has(&metadata[*member], &asked[*member]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_what_may_be_changed_and_nothing_else() {
        let sent = json!({
            "metadata": {"name": "x", "annotations": {"backstage.io/owner": "me"}, "labels": {"lifecycle": "deprecated", "a": "b"}},
            "spec": {
                "displayName": "D", "description": null, "targetRef": {"name": "other"},
                "documentation": {"docsURL": "u", "odd": 1}, "contact": null, "odd": 1,
            },
            "status": {"conditions": []},
        });
        let expected = json!({
            "metadata": {"labels": {"lifecycle": "deprecated"}},
            "spec": {"displayName": "D", "description": null, "documentation": {"docsURL": "u"}, "contact": null},
        });
        assert_eq!(patch(&sent, false), Ok(expected));
    }

    #[test]
    fn what_is_retired_is_not_published() {
        let body = |publish: Option<&str>, lifecycle: Option<&str>| {
            let mut body = json!({"spec": {}});
            if let Some(publish) = publish {
                body["spec"]["publishStatus"] = publish.into();
            }
            if let Some(lifecycle) = lifecycle {
                body["metadata"] = json!({"labels": {"lifecycle": lifecycle}});
            }
            body
        };
        let refused = Err(NO_RETIRED.to_owned());
        assert_eq!(patch(&body(Some("Published"), Some("retired")), false), refused);
        assert_eq!(patch(&body(Some("Published"), None), true), refused, "also one that was retired before");
        assert!(patch(&body(Some("Published"), Some("production")), true).is_ok());
        assert_eq!(patch(&body(None, Some("retired")), false).unwrap()["spec"]["publishStatus"], "Draft");
        assert!(patch(&body(None, Some("odd")), false).unwrap_err().starts_with("invalid patch"));
        assert!(patch(&json!({}), false).unwrap_err().starts_with("invalid patch"));
    }

    #[test]
    fn a_product_that_is_sent_twice_is_one() {
        let sent = json!({"spec": {"displayName": "P", "targetRef": {"kind": "HTTPRoute", "name": "r", "namespace": "a"}}});
        let wanted = create(&sent, "ann").unwrap().1;
        let mut found = wanted.clone();
        found["spec"]["approvalMode"] = "manual".into();
        assert!(is_made_of(&found, &wanted), "defaults are no difference");
        assert!(!is_made_of(&found, &create(&sent, "bob").unwrap().1));
        let mut other = sent.clone();
        other["metadata"] = json!({"labels": {"lifecycle": "deprecated"}});
        assert!(!is_made_of(&found, &create(&other, "ann").unwrap().1));
        found["spec"]["displayName"] = "Q".into();
        assert!(!is_made_of(&found, &wanted));
    }

    #[test]
    fn a_product_is_where_its_route_is_and_belongs_to_who_asks() {
        let sent = json!({
            "metadata": {"name": "p", "namespace": "elsewhere", "uid": "u", "annotations": {"backstage.io/owner": "other", "k": "v"}},
            "spec": {"displayName": "P", "targetRef": {"kind": "HTTPRoute", "name": "r", "namespace": "a"}},
        });
        let (namespace, product) = create(&sent, "ann").unwrap();
        assert_eq!(namespace, "a");
        let metadata =
            json!({"name": "p", "namespace": "a", "annotations": {"backstage.io/owner": "ann", "k": "v"}});
        assert_eq!(product["metadata"], metadata);
        let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"});
        assert_eq!(product["spec"]["targetRef"], target);
        let mut other = sent;
        for group in [json!(""), json!("apps"), json!(1)] {
            other["spec"]["targetRef"]["group"] = group.clone();
            assert_eq!(create(&other, "ann").unwrap().1["spec"]["targetRef"]["group"], group);
        }
        for sent in [json!({}), json!({"spec": {"targetRef": {"kind": "HTTPRoute", "name": "r"}}})] {
            let expected = "targetRef with name, kind, and namespace is required";
            assert_eq!(create(&sent, "ann").unwrap_err(), expected);
        }
    }
}
