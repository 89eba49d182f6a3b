//! Defaults that the consumer's API server has filled in because the schema has them, and that nobody has set. Pure.
//!
//! It is not the consumer's intent: the provider fills in its own, and its controllers may change that. Who owns a
//! field is known where people use server-side apply. With any other write, the API server notes defaults as theirs.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

use super::owned::applied_by_us;

/// The defaults of a schema, as far as they are fields of objects. Those of items of lists are not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaDefaults {
    own: Option<Value>,
    fields: BTreeMap<String, Self>,
}

impl SchemaDefaults {
    /// Of an OpenAPI schema.
    pub fn of(schema: &Value) -> Self {
        let own = schema.get("default").cloned();
        // Who owns an atomic map owns each of its fields, without an entry for them.
        let is_atomic = schema["x-kubernetes-map-type"] == "atomic";
        let fields = schema["properties"].as_object().into_iter().flatten().filter(|_| !is_atomic);
        let fields = fields.map(|(name, schema)| (name.clone(), Self::of(schema)));
        Self { own, fields: fields.filter(|(_, below)| *below != Self::default()).collect() }
    }

    /// Takes out of an object what is a default and in no `FieldsV1` tree.
    pub(super) fn take_out_of(&self, object: &mut Value, owned: &Value) {
        let Value::Object(map) = object else { return };
        for (name, below) in &self.fields {
            let Some(value) = map.get_mut(name) else { continue };
            match owned.get(format!("f:{name}")) {
                Some(owned) => below.take_out_of(value, owned),
                None if below.filled().as_ref() == Some(value) => drop(map.remove(name)),
                None => below.take_out_of(value, &Value::Null),
            }
        }
    }

    /// Our part of a copy, without the defaults that its API server has noted as ours because we made it by POST, or
    /// that it has put into what is ours as a whole. `None` where that is the same.
    pub(super) fn without(&self, ours: &Value, copy: &DynamicObject) -> Option<Value> {
        if *self == Self::default() {
            return None;
        }
        let mut bare = ours.clone();
        self.take_out_of(&mut bare, &applied_by_us(copy));
        (bare != *ours).then_some(bare)
    }

    /// The default as an API server fills it in: with the defaults of what is in it.
    fn filled(&self) -> Option<Value> {
        let mut filled = self.own.clone()?;
        if let Value::Object(map) = &mut filled {
            for (name, below) in &self.fields {
                if let (false, Some(value)) = (map.contains_key(name), below.filled()) {
                    map.insert(name.clone(), value);
                }
            }
        }
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults() -> SchemaDefaults {
        let schema = json!({"properties": {"spec": {"properties": {
            "replicas": {"type": "integer", "default": 3}, "text": {"type": "string"},
            "nested": {"default": {}, "properties": {"mode": {"default": "fast"}}},
            "atomic": {"x-kubernetes-map-type": "atomic", "properties": {"a": {"default": 1}}},
        }}}});
        SchemaDefaults::of(&schema)
    }

    #[test]
    fn what_nobody_has_set_goes_and_everything_else_stays() {
        let all = json!({"replicas": 3, "text": "t", "nested": {"mode": "fast"}, "atomic": {"a": 1}});
        let table = [
            (all.clone(), json!({"f:text": {}, "f:atomic": {}}), json!({"text": "t", "atomic": {"a": 1}})),
            (
                all.clone(),
                json!({"f:replicas": {}, "f:nested": {".": {}, "f:mode": {}}, "f:atomic": {}}),
                all.clone(),
            ),
            // `nested: {}` was set, and then filled.
            (json!({"nested": {"mode": "fast"}}), json!({"f:nested": {}}), json!({"nested": {}})),
            // What differs from the default was set by somebody who is not noted any more.
            (json!({"replicas": 4, "text": "t"}), json!({"f:text": {}}), json!({"replicas": 4, "text": "t"})),
        ];
        for (spec, owned, expected) in table {
            let mut body = json!({"spec": spec});
            defaults().take_out_of(&mut body, &json!({"f:spec": owned}));
            assert_eq!(body, json!({"spec": expected}), "{owned}");
        }
    }

    #[test]
    fn what_was_filled_in_when_a_copy_was_made_is_not_what_was_desired() {
        let ours = json!({"spec": {"replicas": 3, "text": "t"}});
        let copy = |operation: &str| -> DynamicObject {
            let fields = json!({"f:spec": {"f:replicas": {}, "f:text": {}}});
            let entry = json!({"manager": "kube-bind.io", "operation": operation, "fieldsV1": fields});
            serde_json::from_value(json!({"metadata": {"managedFields": [entry]}})).unwrap()
        };
        let without = Some(json!({"spec": {"text": "t"}}));
        assert_eq!(defaults().without(&ours, &copy("Update")), without, "made by POST");
        assert_eq!(defaults().without(&ours, &copy("Apply")), None, "said by the consumer");
        assert_eq!(SchemaDefaults::default().without(&ours, &copy("Update")), None);
    }

    #[test]
    fn a_schema_without_defaults_has_none() {
        let schema = json!({"properties": {"spec": {"properties": {"a": {"type": "string"}}}}});
        assert_eq!(SchemaDefaults::of(&schema), SchemaDefaults::default());
    }
}
