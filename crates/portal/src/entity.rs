//! Pure: a product as an entity of Backstage's catalog.

use kube::ResourceExt as _;
use portolan_core::api::devportal::APIProduct;
use serde_json::{Map, Value, json};

use crate::{rows::authentication, rules};

/// The entity of a product and the text of its document; without an owner there is none.
pub fn of(product: &APIProduct, text: Option<&str>) -> Option<Value> {
    let owner = rules::owner(product)?;
    let (namespace, name) = (product.namespace().unwrap_or_default(), product.name_any());
    let spec = &product.spec;
    let mut labels: Map<String, Value> =
        product.labels().iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    labels.insert("kuadrant.io/synced".to_owned(), "true".into());
    let mut tags: Vec<String> = spec.tags.clone();
    tags.extend(["kuadrant".to_owned(), "apiproduct".to_owned()]);
    let description = spec.description.clone().filter(|text| !text.is_empty());
    Some(json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "API",
        "metadata": {
            // Two products of one name in two namespaces are two entities.
            "name": name, "namespace": namespace, "title": spec.display_name,
            "description": description.unwrap_or_else(|| format!("api product: {}", spec.display_name)),
            "tags": tags, "labels": labels, "annotations": annotations(product, &namespace, &name),
        },
        "spec": {
            "type": "openapi", "lifecycle": rules::lifecycle(product), "owner": owner, "definition": definition(product, text),
        },
    }))
}

fn annotations(product: &APIProduct, namespace: &str, name: &str) -> Map<String, Value> {
    let spec = &product.spec;
    let (documentation, contact) =
        (spec.documentation.clone().unwrap_or_default(), spec.contact.clone().unwrap_or_default());
    let has_keys = authentication(product).contains(&"api-key").to_string();
    let pairs = [
        ("backstage.io/managed-by-location", Some(format!("kuadrant:{namespace}/{name}"))),
        ("backstage.io/managed-by-origin-location", Some(format!("kuadrant:{namespace}/{name}"))),
        ("kuadrant.io/namespace", Some(namespace.to_owned())),
        ("kuadrant.io/apiproduct", Some(name.to_owned())),
        ("kuadrant.io/auth-apikey", Some(has_keys)),
        ("kuadrant.io/httproute", Some(spec.target_ref.name.clone())),
        ("kuadrant.io/openapi-spec-url", documentation.open_api_spec_url),
        ("kuadrant.io/docs-url", documentation.docs_url),
        ("kuadrant.io/contact-email", contact.email),
        ("kuadrant.io/contact-slack", contact.slack),
        ("backstage.io/source-location", documentation.git_repository),
        ("backstage.io/techdocs-ref", documentation.techdocs_ref),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
}

fn definition(product: &APIProduct, text: Option<&str>) -> String {
    text.map_or_else(
        || {
            let version = product.spec.version.as_deref().unwrap_or("v1");
            let info = json!({"title": product.spec.display_name, "version": version});
            json!({"openapi": "3.0.0", "info": info, "paths": {}}).to_string()
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_says_whose_product_it_is_and_where() {
        let mut product: APIProduct = serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": "p", "namespace": "a", "annotations": {"backstage.io/owner": "oli"}},
            "spec": {"displayName": "P", "tags": ["x"], "targetRef": {"group": "g", "kind": "k", "name": "r"}},
        }))
        .unwrap();
        let entity = of(&product, Some("openapi: 3.0.0")).unwrap();
        assert_eq!(entity["spec"]["definition"], "openapi: 3.0.0");
        let without: Value =
            serde_json::from_str(of(&product, None).unwrap()["spec"]["definition"].as_str().unwrap())
                .unwrap();
        assert_eq!(without["info"], json!({"title": "P", "version": "v1"}));
        assert_eq!(
            (&entity["metadata"]["namespace"], &entity["spec"]["owner"]),
            (&json!("a"), &json!("oli"))
        );
        assert_eq!(entity["metadata"]["tags"], json!(["x", "kuadrant", "apiproduct"]));
        assert_eq!(entity["metadata"]["annotations"]["kuadrant.io/httproute"], "r");
        assert!(entity["metadata"]["annotations"].get("kuadrant.io/docs-url").is_none());
        product.metadata.annotations = None;
        assert_eq!(of(&product, None), None);
    }
}
