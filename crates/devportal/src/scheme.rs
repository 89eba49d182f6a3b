//! Reads a discovered scheme: the method for API keys, the issuer of tokens, and the labels that a Secret needs.

mod expressions;

use std::collections::BTreeMap;

use portolan_core::{
    api::devportal::{DiscoveredAuthScheme, LABEL_AUTHORINO, LABEL_PRODUCT},
    text::quoted,
};
use serde_json::{Value, json};

use crate::names::{is_label_name, is_label_value, label};

/// Label with the name of the product. A selector may want another value.
const LABEL_APP: &str = "app";
const AUTHORINO: &str = "authorino";

/// A method that takes API keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKeyMethod<'a> {
    pub name: &'a str,
    /// `apiKey` as the policy has it.
    pub spec: &'a Value,
    pub credentials: &'a Value,
}

/// The first method by name that takes API keys: the same one each time.
pub fn api_key(scheme: &DiscoveredAuthScheme) -> Option<ApiKeyMethod<'_>> {
    api_keys(scheme).next()
}

/// The methods that take API keys, by name.
pub fn api_keys(scheme: &DiscoveredAuthScheme) -> impl Iterator<Item = ApiKeyMethod<'_>> {
    let methods = scheme.authentication.iter().filter(|(_, method)| method["apiKey"].is_object());
    methods.map(|(name, method)| ApiKeyMethod {
        name,
        spec: &method["apiKey"],
        // A foreign CRD may hold anything there, and the status of a key takes an object only.
        credentials: method.get("credentials").filter(|found| found.is_object()).unwrap_or(&Value::Null),
    })
}

/// The issuer of the first method by name that takes its tokens.
pub fn issuer(scheme: &DiscoveredAuthScheme) -> Option<&str> {
    let issuers = scheme.authentication.values().filter_map(|method| method["jwt"]["issuerUrl"].as_str());
    issuers.into_iter().find(|issuer| !issuer.is_empty())
}

impl ApiKeyMethod<'_> {
    /// Returns `true` if Secrets outside the policy's own namespace count.
    pub fn all_namespaces(&self) -> bool {
        self.spec["allNamespaces"] == true
    }

    /// The selector as a text that is equal where it is.
    pub fn selector_text(&self) -> String {
        // Left out, null and empty are one.
        let labels = self.spec["selector"]["matchLabels"].as_object().filter(|labels| !labels.is_empty());
        let expressions = self.spec["selector"]["matchExpressions"].as_array().filter(|all| !all.is_empty());
        json!([labels, expressions]).to_string()
    }

    /// The labels of a Secret that the selector finds.
    ///
    /// # Errors
    /// Says why there are none.
    pub fn labels(&self, product: &str) -> Result<BTreeMap<String, String>, String> {
        let mut labels = base(product);
        let wanted = self.spec["selector"]["matchLabels"].as_object().into_iter().flatten();
        let mut fixed = vec![LABEL_AUTHORINO.to_owned()];
        for (name, value) in wanted {
            let value =
                value.as_str().ok_or_else(|| format!("the value of label {} is no text", quoted(name)))?;
            valid(name, &[value])?;
            if name == LABEL_AUTHORINO && value != AUTHORINO {
                return Err(format!("Authorino reads Secrets with {LABEL_AUTHORINO}={AUTHORINO} only"));
            }
            labels.insert(name.clone(), value.to_owned());
            fixed.push(name.clone());
        }
        expressions::satisfy(&mut labels, &fixed, &self.spec["selector"]["matchExpressions"])?;
        Ok(labels)
    }
}

/// The labels of every Secret with a key.
fn base(product: &str) -> BTreeMap<String, String> {
    let product = label(product);
    [(LABEL_APP, product.as_str()), (LABEL_AUTHORINO, AUTHORINO), (LABEL_PRODUCT, product.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// One term that the API server would not take as a label spoils the whole selector.
fn valid(name: &str, values: &[&str]) -> Result<(), String> {
    if !is_label_name(name) {
        return Err(format!("{} is not the name of a label", quoted(name)));
    }
    match values.iter().find(|value| !is_label_value(value)) {
        Some(value) => Err(format!("{} is not the value of a label", quoted(value))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(methods: &Value) -> DiscoveredAuthScheme {
        serde_json::from_value(json!({"authentication": methods})).unwrap()
    }

    fn labels(selector: &Value) -> Result<Value, String> {
        let scheme = scheme(&json!({"keys": {"apiKey": {"selector": selector}}}));
        api_key(&scheme).unwrap().labels("p").map(|labels| json!(labels))
    }

    fn with(more: &[(&str, &str)]) -> Value {
        let mut labels = base("p");
        labels.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        json!(labels)
    }

    #[test]
    fn the_selector_has_the_last_word_about_labels() {
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        let table = [
            (json!({}), with(&[])),
            (
                json!({"matchLabels": {"app": "toystore", "role": "admin"}}),
                with(&[("app", "toystore"), ("role", "admin")]),
            ),
            (expression("In", &["a", "b"]), with(&[("tier", "a")])),
            (expression("Exists", &[]), with(&[("tier", "true")])),
            (expression("NotIn", &["a"]), with(&[])),
            (expression("DoesNotExist", &[]), with(&[])),
        ];
        for (selector, expected) in table {
            assert_eq!(labels(&selector).unwrap(), expected, "{selector}");
        }
        let without_app =
            labels(&json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["p"]}]}))
                .unwrap();
        assert!(without_app.get("app").is_none());
    }

    #[test]
    fn selectors_that_nothing_can_match_are_named() {
        let both =
            |expression: Value| json!({"matchLabels": {"tier": "a"}, "matchExpressions": [expression]});
        for selector in [
            both(json!({"key": "tier", "operator": "In", "values": ["b"]})),
            both(json!({"key": "tier", "operator": "NotIn", "values": ["a"]})),
            both(json!({"key": "tier", "operator": "DoesNotExist"})),
            both(json!({"key": "tier", "operator": "Near"})),
            json!({"matchExpressions": [{"key": "x", "operator": "In"}]}),
            json!({"matchLabels": {"authorino.kuadrant.io/managed-by": "someone"}}),
            json!({"matchLabels": {"tier": 3}}),
            json!({"matchLabels": {"tier": "two words"}}),
            json!({"matchLabels": {"two words": "a"}}),
            json!({"matchLabels": {"tier": "x".repeat(64)}}),
            json!({"matchLabels": {"": "a"}}),
            json!({"matchExpressions": [{"operator": "Exists"}]}),
            json!({"matchExpressions": [{"key": "a/b/c", "operator": "DoesNotExist"}]}),
            json!({"matchExpressions": [{"key": "x", "operator": "In", "values": ["a b", "c"]}]}),
            json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a", 3]}]}),
            json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": []}]}),
            json!({"matchExpressions": [{"key": "x", "operator": "Exists", "values": ["a"]}]}),
        ] {
            assert!(labels(&selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn of_several_methods_the_first_by_name_counts() {
        let scheme = scheme(&json!({
            "b": {"apiKey": {"selector": {"matchLabels": {"app": "b"}}}},
            "a": {"apiKey": {"allNamespaces": true}, "credentials": {"cookie": {"name": "c"}}},
            "d": {"jwt": {"issuerUrl": ""}}, "z": {"jwt": {"issuerUrl": "https://z"}}, "y": {"jwt": {"issuerUrl": "https://y"}},
        }));
        let method = api_key(&scheme).unwrap();
        assert!(method.all_namespaces() && method.credentials["cookie"]["name"] == "c");
        assert_eq!(api_keys(&scheme).map(|method| method.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(issuer(&scheme), Some("https://y"));
        assert_eq!(api_key(&DiscoveredAuthScheme::default()), None);
    }

    #[test]
    fn selectors_are_the_same_however_their_empty_parts_are_written() {
        let text = |selector: Value| {
            let scheme = scheme(&json!({"a": {"apiKey": {"selector": selector}}}));
            api_key(&scheme).unwrap().selector_text()
        };
        let app = || json!({"app": "a"});
        let plain = text(json!({"matchLabels": app()}));
        assert_eq!(text(json!({"matchLabels": app(), "matchExpressions": []})), plain);
        assert_eq!(text(json!({"matchLabels": app(), "matchExpressions": null})), plain);
        assert_eq!(text(json!({"matchLabels": {}})), text(json!({})));
        assert_ne!(text(json!({})), plain);
    }

    #[test]
    fn credentials_that_make_no_sense_are_none() {
        for odd in [json!("header"), json!(7), json!([]), json!(null)] {
            let scheme = scheme(&json!({"a": {"apiKey": {}, "credentials": odd}}));
            assert_eq!(api_key(&scheme).unwrap().credentials, &Value::Null, "{odd}");
        }
    }
}
