//! The check that a service works at all: who holds its Lease.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use super::finding::Check;
use crate::{clock, lease::LeaseSettings, telemetry::ErrorChain};

/// Checks that somebody holds a Lease. `cure` says what to do where nobody does.
pub async fn lease(client: &Client, settings: &LeaseSettings, name: &str, cure: &str, docs: &str) -> Check {
    let api: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let place = format!("Lease {}/{}", settings.namespace, settings.name);
    let result = match api.get_opt(&settings.name).await {
        Ok(Some(lease)) => held(&lease, clock::now().as_second()),
        Ok(None) => Err(format!("{place} does not exist")),
        Err(error) => Err(ErrorChain(&error).to_string()),
    };
    Check::new(name, result, cure, docs)
}

fn held(lease: &Lease, now: i64) -> Result<String, String> {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let holder = holder.ok_or_else(|| "nobody holds the Lease".to_owned())?;
    let renewed = spec.renew_time.map_or(0, |time| time.0.as_second());
    let age = now - renewed;
    let text = format!("{holder} leads, and renewed it {age} s ago");
    if age > i64::from(spec.lease_duration_seconds.unwrap_or(15)) { Err(text) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_as_long_as_it_is_renewed() {
        let lease = |holder: Option<&str>, renewed: &str| -> Lease {
            let spec = serde_json::json!({
                "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed,
            });
            serde_json::from_value(serde_json::json!({"metadata": {}, "spec": spec})).unwrap()
        };
        let held = |lease: &Lease| held(lease, 1000).is_ok();
        assert!(held(&lease(Some("a"), "1970-01-01T00:16:30.000000Z")));
        assert!(!held(&lease(Some("a"), "1970-01-01T00:16:20.000000Z")));
        assert!(!held(&lease(Some(""), "1970-01-01T00:16:40.000000Z")));
        assert!(!held(&lease(None, "1970-01-01T00:16:40.000000Z")));
    }
}
