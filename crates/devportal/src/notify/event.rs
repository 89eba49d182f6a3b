//! CloudEvents about keys. They never contain a key, not even one that somebody has pasted into a reason.

use kube::{Resource as _, ResourceExt as _};
use portolan_core::{api::devportal::APIKey, digest::sha256_hex};
use serde_json::json;

use super::queue::KeyNotice;
use crate::{
    names::ObjectName,
    news::{FactKind, KeyFact},
    token::masked,
};

/// A fact about a key as a CloudEvent. Its ID follows from the fact, so that a repetition can be recognized.
pub(super) fn notice(key: &APIKey, fact: &KeyFact) -> KeyNotice {
    let kind = word(fact.kind);
    let of = ObjectName::of(key);
    let uid = key.meta().uid.clone().unwrap_or_default();
    let id = sha256_hex(json!([uid, kind, fact.at.to_string()]).to_string().as_bytes());
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "/apis/devportal.kuadrant.io/v1alpha1",
        "type": format!("io.kuadrant.devportal.apikey.{kind}"),
        "subject": of.to_string(),
        "time": fact.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "namespace": of.namespace,
            "name": key.name_any(),
            "product": key.spec.api_product_ref.name,
            "planTier": key.spec.plan_tier,
            "reason": fact.reason.as_deref().map(masked),
            "expiresAt": fact.until.map(|until| until.to_string()),
        },
    });
    KeyNotice { id, kind, of, body: event.to_string().into_bytes() }
}

fn word(kind: FactKind) -> &'static str {
    match kind {
        FactKind::Requested => "requested",
        FactKind::Approved => "approved",
        FactKind::Rejected => "rejected",
        FactKind::Expiring => "expiring",
        FactKind::Expired => "expired",
        FactKind::Rotated => "rotated",
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use secrecy::ExposeSecret as _;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_event_is_the_same_each_time_and_contains_no_key() {
        let mut key = APIKey::new("k1", portolan_core::api::devportal::APIKeySpec::default());
        key.metadata.uid = Some("uid".to_owned());
        let leaked = crate::token::fresh().unwrap().expose_secret().to_owned();
        let reason = Some(format!("it was {leaked}"));
        let until = Timestamp::from_second(60).unwrap();
        let fact =
            KeyFact { kind: FactKind::Rejected, at: Timestamp::UNIX_EPOCH, reason, until: Some(until) };
        let first = notice(&key, &fact);
        assert_eq!(first, notice(&key, &fact));
        let text = String::from_utf8(first.body.clone()).unwrap();
        assert!(!text.contains(&leaked) && text.contains("it was ptlk_***"));
        let event: Value = serde_json::from_slice(&first.body).unwrap();
        assert_eq!(event["type"], "io.kuadrant.devportal.apikey.rejected");
        assert_eq!(event["data"]["expiresAt"], "1970-01-01T00:01:00Z");
        assert_eq!((&event["time"], &event["id"]), (&json!("1970-01-01T00:00:00Z"), &json!(first.id)));
    }
}
