//! Pure: what a request makes of a key.

use jiff::Timestamp;
use portolan_core::api::devportal::{APIKey, APIProduct};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Longest part of a name that comes from a user or a product.
const PART: usize = 60;

/// A request for a key, as callers send it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRequest {
    pub api_product_name: String,
    pub namespace: String,
    pub plan_tier: String,
    pub use_case: Option<String>,
    pub user_email: Option<String>,
    pub expires_at: Option<String>,
}

/// A request that cannot become a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRequestError {
    #[error("Email address is required")]
    NoEmail,
    #[error("expiresAt is to be a time in the future, such as 2030-01-31T00:00:00Z")]
    NotLater,
    #[error("planTier is not a plan of this product")]
    NoPlan,
}

/// The key to create. `id` makes two requests one.
pub fn create(
    wanted: &KeyRequest,
    (user, email): (&str, Option<&str>),
    product: &APIProduct,
    id: &str,
    now: Timestamp,
) -> Result<Value, KeyRequestError> {
    if !offers(product, &wanted.plan_tier) {
        return Err(KeyRequestError::NoPlan);
    }
    let given = wanted.user_email.as_deref().map(str::trim).filter(|email| !email.is_empty());
    let email = email.or(given).ok_or(KeyRequestError::NoEmail)?;
    let mut spec = json!({
        "apiProductRef": {"name": wanted.api_product_name}, "planTier": wanted.plan_tier,
        "requestedBy": {"userId": user, "email": email},
    });
    if let Some(use_case) = wanted.use_case.as_deref().filter(|text| !text.trim().is_empty()) {
        spec["useCase"] = use_case.into();
    }
    if let Some(expires) = wanted.expires_at.as_deref().filter(|text| !text.is_empty()) {
        spec["expiresAt"] = later(expires, now)?.into();
    }
    let metadata = json!({"name": name(user, wanted, id), "namespace": wanted.namespace});
    Ok(json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey", "metadata": metadata, "spec": spec,
    }))
}

/// Returns `true` if a product has a plan, or none is known yet.
pub fn offers(product: &APIProduct, tier: &str) -> bool {
    let plans = product.status.as_ref().map(|status| status.discovered_plans.as_slice()).unwrap_or_default();
    plans.is_empty() || plans.iter().any(|plan| plan.tier == tier)
}

/// Returns `true` for a span of time as the controller reads it: `90d`, `12h`, `30m`, `10s`, or `0`.
pub fn is_span(text: &str) -> bool {
    let number = text.strip_suffix(['d', 'h', 'm', 's']);
    let digits = number.unwrap_or(text);
    let is_number = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number && (number.is_some() || digits.bytes().all(|b| b == b'0'))
}

/// Returns `true` if a key is what a request to create it has made, and nobody has changed since.
pub fn is_made_of(found: &Value, wanted: &Value) -> bool {
    let members = ["apiProductRef", "planTier", "requestedBy", "useCase", "expiresAt"];
    members.iter().all(|member| found["spec"][*member] == wanted["spec"][*member])
}

/// A time in the future, in the form of Kubernetes.
fn later(text: &str, now: Timestamp) -> Result<String, KeyRequestError> {
    let time: Timestamp = text.parse().map_err(|_| KeyRequestError::NotLater)?;
    let time = Timestamp::from_second(time.as_second()).map_err(|_| KeyRequestError::NotLater)?;
    if time > now { Ok(time.to_string()) } else { Err(KeyRequestError::NotLater) }
}

/// `{user}-{product}-{8 digits}`, whatever the user is called. The digits follow from who asks for what, and the id.
fn name(user: &str, wanted: &KeyRequest, id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [user, &wanted.namespace, &wanted.api_product_name, id] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    let digits = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
    let person = user.rsplit([':', '/', '#']).next().unwrap_or(user);
    let parts = [part(person), part(&wanted.api_product_name), digits];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn part(text: &str) -> String {
    let lower = text.to_lowercase();
    let safe = lower.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' });
    let cut: String = safe.take(PART).collect();
    cut.trim_matches('-').to_owned()
}

/// A merge patch of a request that is still pending.
pub fn edit(sent: &Value, now: Timestamp) -> Result<Value, String> {
    let Some(wanted) = sent["spec"].as_object() else {
        return Err("invalid patch: spec is required".to_owned());
    };
    let mut spec = Map::new();
    for member in ["useCase", "planTier"] {
        match wanted.get(member) {
            None => {}
            Some(Value::String(text)) => {
                spec.insert(member.to_owned(), text.as_str().into());
            }
            Some(Value::Null) if member == "useCase" => {
                spec.insert(member.to_owned(), Value::Null);
            }
            Some(_) => return Err(format!("invalid patch: spec.{member} is to be text")),
        }
    }
    match wanted.get("expiresAt") {
        None => {}
        Some(Value::Null) => {
            spec.insert("expiresAt".to_owned(), Value::Null);
        }
        Some(value) => {
            let text = value.as_str().unwrap_or_default();
            let time = later(text, now).map_err(|error| format!("invalid patch: {error}"))?;
            spec.insert("expiresAt".to_owned(), time.into());
        }
    }
    Ok(json!({"spec": spec}))
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDecision {
    Approved(Option<String>),
    Rejected(Option<String>),
}

/// A merge patch of the status, on the version that was decided about.
pub fn decide(verdict: &KeyDecision, user: &str, version: Option<&str>, now: Timestamp) -> Value {
    let (phase, reason) = match verdict {
        KeyDecision::Approved(comment) => ("Approved", comment),
        KeyDecision::Rejected(reason) => ("Rejected", reason),
    };
    json!({
        "metadata": {"resourceVersion": version},
        "status": {"phase": phase, "reviewedBy": user, "reviewedAt": now.to_string(), "reason": reason},
    })
}

/// Returns `true` if a decision about a key, as it was seen, holds for what it is now.
pub fn asks_the_same(seen: &APIKey, now: &APIKey) -> bool {
    seen.metadata.uid == now.metadata.uid && seen.spec == now.spec && seen.phase() == now.phase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> KeyRequest {
        let body =
            json!({"apiProductName": "pets", "namespace": "a", "planTier": "gold", "userEmail": "a@x.org"});
        serde_json::from_value(body).unwrap()
    }

    fn product(tiers: &[&str]) -> APIProduct {
        let plans: Vec<_> = tiers.iter().map(|tier| json!({"tier": tier})).collect();
        serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct", "metadata": {"name": "pets"},
            "spec": {"displayName": "P", "targetRef": {"group": "g", "kind": "k", "name": "r"}},
            "status": {"discoveredPlans": plans},
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_request_becomes_a_key_in_the_name_of_who_asks() {
        let key = create(&wanted(), ("oidc:ann", None), &product(&["gold"]), "1", now()).unwrap();
        assert_eq!(key["spec"]["requestedBy"], json!({"userId": "oidc:ann", "email": "a@x.org"}));
        let name = key["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("ann-pets-") && name.len() == "ann-pets-".len() + 8, "{name}");
        let known = create(&wanted(), ("ann", Some("real@x.org")), &product(&[]), "1", now()).unwrap();
        assert_eq!(known["spec"]["requestedBy"]["email"], "real@x.org", "what the issuer says counts");
    }

    #[test]
    fn what_cannot_become_a_key_is_said() {
        let refused =
            |wanted: KeyRequest| create(&wanted, ("ann", None), &product(&["gold"]), "1", now()).unwrap_err();
        assert_eq!(
            refused(KeyRequest { user_email: Some(" ".into()), ..wanted() }),
            KeyRequestError::NoEmail
        );
        assert_eq!(refused(KeyRequest { plan_tier: "tin".into(), ..wanted() }), KeyRequestError::NoPlan);
        for time in ["2026-05-31T00:00:00Z", "2026-06-01T00:00:00Z", "tomorrow"] {
            assert_eq!(
                refused(KeyRequest { expires_at: Some(time.into()), ..wanted() }),
                KeyRequestError::NotLater,
                "{time}"
            );
        }
    }

    #[test]
    fn a_key_that_is_sent_twice_is_one() {
        let made =
            |wanted: &KeyRequest| create(wanted, ("ann", None), &product(&["gold"]), "1", now()).unwrap();
        let key = made(&wanted());
        let mut found = key.clone();
        found["status"] = json!({"phase": "Pending"});
        assert!(is_made_of(&found, &key));
        let expires_at = Some("2030-01-31T00:00:00Z".to_owned());
        for other in [
            KeyRequest { use_case: Some("another".into()), ..wanted() },
            KeyRequest { expires_at, ..wanted() },
            KeyRequest { user_email: Some("b@x.org".into()), ..wanted() },
        ] {
            assert!(!is_made_of(&found, &made(&other)), "{other:?}");
        }
    }

    #[test]
    fn a_span_is_one_that_the_controller_reads() {
        for span in ["0", "00", "0s", "90d", "12h", "30m", "999999999s"] {
            assert!(is_span(span), "{span}");
        }
        for other in ["", "d", "5", "-5d", "+5d", "5w", "1h30m", "5 h", "soon", "1000000000s"] {
            assert!(!is_span(other), "{other}");
        }
    }

    #[test]
    fn one_id_makes_one_name_whoever_asks() {
        let of = |user: &str, id: &str| name(user, &wanted(), id);
        assert_eq!(of("ann", "1"), of("ann", "1"));
        assert_ne!(of("ann", "1"), of("ann", "2"));
        assert_ne!(of("ann", "1"), of("a:ann", "1"), "another user");
        for user in ["https://issuer#Ünal Äß", "system:serviceaccount:a:b", "---", "", &"x".repeat(500)] {
            let name = of(user, "1");
            assert!(portolan_core::names::is_dns_subdomain(&name) && name.len() <= 230, "{name}");
        }
    }

    #[test]
    fn an_edit_has_three_members() {
        let sent = json!({"spec": {"planTier": "tin", "useCase": null, "expiresAt": null, "requestedBy": {"userId": "x"}}});
        let expected = json!({"spec": {"planTier": "tin", "useCase": null, "expiresAt": null}});
        assert_eq!(edit(&sent, now()), Ok(expected));
        for sent in [
            json!({}),
            json!({"spec": {"planTier": null}}),
            json!({"spec": {"expiresAt": "2020-01-01T00:00:00Z"}}),
        ] {
            assert!(edit(&sent, now()).is_err(), "{sent}");
        }
    }

    #[test]
    fn a_decision_is_about_the_version_that_was_seen() {
        for reason in [Some("no"), None] {
            let verdict = KeyDecision::Rejected(reason.map(str::to_owned));
            let expected = json!({
                "metadata": {"resourceVersion": "7"},
                "status": {"phase": "Rejected", "reviewedBy": "oli", "reviewedAt": "2026-06-01T00:00:00Z", "reason": reason},
            });
            assert_eq!(decide(&verdict, "oli", Some("7"), now()), expected);
        }
    }

    #[test]
    fn a_decision_holds_while_nobody_but_the_controller_writes() {
        let key = |uid: &str, tier: &str, status: Value| -> APIKey {
            serde_json::from_value(json!({
                "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey", "metadata": {"name": "k", "uid": uid},
                "spec": {"apiProductRef": {"name": "p"}, "planTier": tier, "requestedBy": {"userId": "ann", "email": "a@x.org"}},
                "status": status,
            }))
            .unwrap()
        };
        let seen = key("1", "gold", json!({}));
        assert!(asks_the_same(&seen, &key("1", "gold", json!({"productOwner": "oli"}))));
        for other in [
            key("2", "gold", json!({})),
            key("1", "silver", json!({})),
            key("1", "gold", json!({"phase": "Rejected"})),
        ] {
            assert!(!asks_the_same(&seen, &other));
        }
    }
}
