//! Reasons why a provider's schema is not taken over. Pure.

use portolan_core::{
    api::kubebind::{BoundSchema, ConversionStrategy},
    names,
    outline::CrdBody,
};
use serde_json::Value;

use super::consent::{ALLOW_BREAKING, ConsumerConsent};
use crate::breaking::{BreakingCure, breaking};

/// A reason why a CRD is not brought up to date, in the words of the condition `SchemaInSync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaObjection {
    pub reason: &'static str,
    pub message: String,
}

/// Finds what speaks against making a CRD what is desired.
pub(super) fn objection(
    schema: &BoundSchema,
    existing: Option<&CrdBody>,
    desired: &Value,
    consent: &ConsumerConsent,
    allowed_webhooks: &[String],
) -> Option<SchemaObjection> {
    let name = names::crd(&schema.spec.names.plural, &schema.spec.group);
    if let Some(url) = refused_webhook(schema, allowed_webhooks) {
        let message = format!(
            "CustomResourceDefinition {name} would have this cluster's API server send objects to {url} for \
             conversion. It is not brought up to date unless the host is named in --allow-conversion-webhooks."
        );
        return Some(SchemaObjection { reason: "ConversionWebhookRefused", message });
    }
    let found = breaking(existing?, desired)?;
    if consent.breaking && found.cure == BreakingCure::Consent {
        return None;
    }
    let message = format!(
        "CustomResourceDefinition {name} keeps its schema, because the provider's is a breaking change: {} {}. {}",
        found.path,
        found.what,
        cure(found.cure)
    );
    Some(SchemaObjection { reason: "BreakingSchemaChange", message })
}

fn cure(cure: BreakingCure) -> String {
    match cure {
        BreakingCure::Consent => format!(
            "To accept it, annotate the APIServiceBinding or its APIServiceBindingBundle with {ALLOW_BREAKING}=true."
        ),
        BreakingCure::Rebind => {
            "The API server does not allow this change. To accept it, delete the APIServiceBinding, with its objects, \
             and bind it again."
                .to_owned()
        }
    }
}

/// The URL of a conversion webhook whose host nobody has named.
fn refused_webhook(schema: &BoundSchema, allowed: &[String]) -> Option<String> {
    let conversion = schema.spec.conversion.as_ref().filter(|c| c.strategy == ConversionStrategy::Webhook)?;
    let config = conversion.webhook.as_ref().and_then(|webhook| webhook.client_config.as_ref());
    let Some(url) = config.and_then(|config| config.url.clone()) else { return Some("no URL".to_owned()) };
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let is_named = host.is_some_and(|host| allowed.contains(&host));
    (!is_named).then_some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(conversion: &Value) -> BoundSchema {
        serde_json::from_value(json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "BoundSchema", "metadata": {"name": "as.a.dev"},
            "spec": {
                "group": "a.dev", "informerScope": "Namespaced", "scope": "Namespaced",
                "names": {"plural": "as", "kind": "A"}, "versions": [], "conversion": conversion,
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_conversion_webhook_is_refused_unless_its_host_is_named() {
        let webhook = |url: &str| {
            schema(
                &json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": url}, "conversionReviewVersions": ["v1"]}}),
            )
        };
        let allowed = ["good.example".to_owned()];
        let said = |schema: &BoundSchema| {
            objection(schema, None, &json!({}), &ConsumerConsent::default(), &allowed)
                .map(|objection| objection.reason)
        };
        for (url, refused) in [
            ("https://good.example/convert", false),
            ("https://good.example:8443/convert", false),
            ("https://evil.example/?good.example", true),
            ("https://good.example.evil.example/", true),
            ("https://good.example@evil.example/", true),
            ("nonsense", true),
        ] {
            let expected = refused.then_some("ConversionWebhookRefused");
            assert_eq!(said(&webhook(url)), expected, "{url}");
        }
        assert_eq!(said(&schema(&json!({"strategy": "None"}))), None);
    }
}
