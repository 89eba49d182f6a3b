//! Products and keys as entries of lists.

use std::{borrow::Cow, sync::Arc};

use portolan_core::api::devportal::{APIKey, APIProduct, KeyPhase};
use serde_json::Value;

use crate::{list::ListRow, rules};

/// A product, and the PlanPolicy of its route.
pub struct ProductRow {
    pub product: Arc<APIProduct>,
    pub policy: String,
}

/// A key.
pub struct KeyRow(pub Arc<APIKey>);

impl ListRow for ProductRow {
    const FILTERS: &'static [&'static str] =
        &["publishStatus", "lifecycle", "namespace", "tag", "authentication", "policy", "route"];
    const SORTS: &'static [&'static str] =
        &["name", "created", "status", "version", "namespace", "lifecycle"];

    fn place(&self) -> (&str, &str) {
        let metadata = &self.product.metadata;
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }

    fn values(&self, filter: &str) -> Vec<Cow<'_, str>> {
        let spec = &self.product.spec;
        match filter {
            "publishStatus" => vec![publish_status(&self.product).into()],
            "lifecycle" => vec![rules::lifecycle(&self.product).into()],
            "namespace" => vec![self.place().0.into()],
            "tag" => spec.tags.iter().map(|tag| tag.as_str().into()).collect(),
            "authentication" => authentication(&self.product).into_iter().map(Cow::from).collect(),
            // An empty choice is none at all.
            "policy" if self.policy.is_empty() => vec!["N/A".into()],
            "policy" => vec![self.policy.as_str().into()],
            _ => vec![spec.target_ref.name.as_str().into()],
        }
    }

    fn texts(&self) -> Vec<Cow<'_, str>> {
        let spec = &self.product.spec;
        let mut texts: Vec<Cow<'_, str>> = vec![self.place().1.into(), spec.display_name.as_str().into()];
        texts.extend(spec.description.as_deref().map(Cow::from));
        texts.extend(spec.tags.iter().map(|tag| Cow::from(tag.as_str())));
        texts
    }

    fn order(&self, field: &str) -> Cow<'_, str> {
        let spec = &self.product.spec;
        match field {
            "created" => created(&*self.product).into(),
            "status" => publish_status(&self.product).into(),
            "version" => spec.version.as_deref().unwrap_or_default().into(),
            "namespace" => self.place().0.into(),
            "lifecycle" => rules::lifecycle(&self.product).into(),
            _ if spec.display_name.is_empty() => self.place().1.into(),
            _ => spec.display_name.as_str().into(),
        }
    }
}

impl ListRow for KeyRow {
    const FILTERS: &'static [&'static str] = &["status", "namespace", "apiProductName", "tier"];
    const SORTS: &'static [&'static str] =
        &["created", "name", "status", "product", "user", "tier", "expires"];

    fn place(&self) -> (&str, &str) {
        let metadata = &self.0.metadata;
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }

    fn values(&self, filter: &str) -> Vec<Cow<'_, str>> {
        vec![match filter {
            "status" => phase(&self.0).into(),
            "namespace" => self.place().0.into(),
            "apiProductName" => self.0.spec.api_product_ref.name.as_str().into(),
            _ => self.0.spec.plan_tier.as_str().into(),
        }]
    }

    fn texts(&self) -> Vec<Cow<'_, str>> {
        let spec = &self.0.spec;
        let mut texts: Vec<Cow<'_, str>> = vec![
            self.place().1.into(),
            spec.api_product_ref.name.as_str().into(),
            spec.plan_tier.as_str().into(),
            spec.requested_by.user_id.as_str().into(),
            spec.requested_by.email.as_str().into(),
        ];
        texts.extend(spec.use_case.as_deref().map(Cow::from));
        texts
    }

    fn order(&self, field: &str) -> Cow<'_, str> {
        let spec = &self.0.spec;
        match field {
            "name" => self.place().1.into(),
            "status" => phase(&self.0).into(),
            "product" => spec.api_product_ref.name.as_str().into(),
            "user" => spec.requested_by.user_id.as_str().into(),
            "tier" => spec.plan_tier.as_str().into(),
            "expires" => expires(&self.0).unwrap_or_else(|| "9999".to_owned()).into(),
            _ => created(&*self.0).into(),
        }
    }
}

/// Time of creation as text that is in order.
fn created(object: &impl kube::ResourceExt) -> String {
    object.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default()
}

fn expires(key: &APIKey) -> Option<String> {
    let status = key.status.as_ref().and_then(|status| status.expires_at.as_ref());
    status.or(key.spec.expires_at.as_ref()).map(|time| time.0.to_string())
}

pub fn publish_status(product: &APIProduct) -> &'static str {
    if rules::is_published(product) { "Published" } else { "Draft" }
}

pub fn phase(key: &APIKey) -> &'static str {
    match key.phase() {
        KeyPhase::Pending => "Pending",
        KeyPhase::Approved => "Approved",
        KeyPhase::Rejected => "Rejected",
        KeyPhase::Expired => "Expired",
    }
}

/// The ways to authenticate that a product has.
pub fn authentication(product: &APIProduct) -> Vec<&'static str> {
    let scheme = product.status.as_ref().and_then(|status| status.discovered_auth_scheme.as_ref());
    let methods = || scheme.into_iter().flat_map(|scheme| scheme.authentication.values());
    let has = |member: &str| methods().any(|method| method.get(member).is_some_and(|value| !value.is_null()));
    let found: Vec<_> =
        [("apiKey", "api-key"), ("jwt", "oidc")].into_iter().filter(|(member, _)| has(member)).collect();
    if found.is_empty() { vec!["unknown"] } else { found.into_iter().map(|(_, name)| name).collect() }
}

/// A product as it leaves the server: without the text of its OpenAPI document, which has an address of its own.
pub fn product_json(product: &APIProduct) -> Value {
    let mut json = serde_json::to_value(product).unwrap_or_default();
    if let Some(openapi) = json.pointer_mut("/status/openapi").and_then(Value::as_object_mut) {
        openapi.remove("raw");
    }
    without_managed_fields(json)
}

/// A key as it leaves the server. It never has a value: that is in a Secret.
pub fn key_json(key: &APIKey) -> Value {
    without_managed_fields(serde_json::to_value(key).unwrap_or_default())
}

fn without_managed_fields(mut json: Value) -> Value {
    if let Some(metadata) = json["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn product(status: &Value) -> APIProduct {
        serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": "p", "namespace": "a", "labels": {"lifecycle": "deprecated"}, "managedFields": []},
            "spec": {"displayName": "Pets", "tags": ["x", "y"], "targetRef": {"group": "g", "kind": "k", "name": "r"}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_ways_to_authenticate_are_those_of_the_scheme() {
        let table = [
            (json!({}), vec!["unknown"]),
            (json!({"a": {"anonymous": {}}}), vec!["unknown"]),
            (json!({"a": {"apiKey": {}}}), vec!["api-key"]),
            (json!({"a": {"jwt": {"issuerUrl": "i"}}, "b": {"apiKey": {}}}), vec!["api-key", "oidc"]),
        ];
        for (methods, expected) in table {
            let status = json!({"discoveredAuthScheme": {"authentication": methods}});
            assert_eq!(authentication(&product(&status)), expected, "{methods}");
        }
    }

    #[test]
    fn an_entry_has_what_filters_ask_for() {
        let row = ProductRow { product: Arc::new(product(&json!({}))), policy: "plan".into() };
        let expected: [(&str, &[&str]); 7] = [
            ("publishStatus", &["Draft"]),
            ("lifecycle", &["deprecated"]),
            ("namespace", &["a"]),
            ("tag", &["x", "y"]),
            ("authentication", &["unknown"]),
            ("policy", &["plan"]),
            ("route", &["r"]),
        ];
        for (filter, values) in expected {
            assert_eq!(row.values(filter), values, "{filter}");
        }
        assert_eq!(row.order("name"), "Pets");
        let without = ProductRow { policy: String::new(), ..row };
        assert_eq!(without.values("policy"), ["N/A"]);
    }

    #[test]
    fn the_openapi_text_stays_here() {
        let status = json!({"openapi": {"raw": "text", "lastSyncTime": "2026-01-01T00:00:00Z"}});
        let json = product_json(&product(&status));
        assert!(
            json["status"]["openapi"].get("raw").is_none() && json["metadata"].get("managedFields").is_none()
        );
        assert_eq!(json["kind"], "APIProduct");
    }
}
