//! Two providers that one consumer has bound, prod and staging as in the quick start, and what both claim.

use super::*;
use crate::support::{plane, provider_service};

#[tokio::test]
async fn two_providers_share_what_both_claim_and_neither_takes_what_is_the_others() {
    let clusters = Clusters::start("claim-prod").await;
    grant(&clusters.consumer.client()).await;
    let staging_plane = plane("claim-staging-provider").await;
    let _staging_service = provider_service(&staging_plane).await;
    let claims = by_label("configmaps", "both");
    let prod = bind(&clusters, "claim-prod", &claims).await;
    let staging = offer_of(&staging_plane, &clusters.consumer, "claim-staging", &claims).await;
    agree(&staging).await;
    let (here, at_prod) = (here::<ConfigMap>(&prod), there::<ConfigMap>(&prod));
    let namespace = format!("{}-{}", staging.contract_namespace(), prod.name);
    let at_staging: Api<ConfigMap> = Api::namespaced(staging.provider.clone(), &namespace);
    let value = |m: &ConfigMap, value: &str| m.data.as_ref().is_some_and(|data| data["key"] == value);

    make(&here, map("shared", Some("both"), "one")).await;
    for there in [&at_prod, &at_staging] {
        watch_until(there.clone(), "shared", |m| value(m, "one"), SOON).await.unwrap();
    }
    change(&here, "shared", json!({"data": {"key": "two"}})).await;
    for there in [&at_prod, &at_staging] {
        watch_until(there.clone(), "shared", |m| value(m, "two"), SOON).await.unwrap();
    }

    // What one provider owns comes to the consumer, and is nobody else's to send on or to replace.
    make(&at_prod, map("answer", Some("both"), "of prod")).await;
    watch_until(here.clone(), "answer", |m| value(m, "of prod"), SOON).await.unwrap();
    // What comes later is sent on to both.
    change(&here, "shared", json!({"data": {"key": "later"}})).await;
    watch_until(at_staging.clone(), "shared", |m| value(m, "later"), SOON).await.unwrap();
    assert!(at_staging.get_opt("answer").await.unwrap().is_none());
    make(&at_staging, map("answer", Some("both"), "of staging")).await;
    event(&prod, "answer", "ForeignObject").await;
    assert!(value(&here.get("answer").await.unwrap(), "of prod"));
    assert!(value(&at_staging.get("answer").await.unwrap(), "of staging"));

    // Who leaves takes its own along; the other goes on, and its object has the name now.
    let bundles: Api<APIServiceBindingBundle> = Api::all(prod.consumer.clone());
    bundles.delete(&prod.name, &DeleteParams::default()).await.unwrap();
    watch_until_gone(at_prod.clone(), "shared", SOON).await.unwrap();
    watch_until(here.clone(), "answer", |m| value(m, "of staging"), SOON * 2).await.unwrap();
    assert!(value(&at_prod.get("answer").await.unwrap(), "of prod"), "what is the provider's stays");
    assert_eq!(owner(&here.get("shared").await.unwrap()), Some("consumer"));
    change(&here, "shared", json!({"data": {"key": "three"}})).await;
    watch_until(at_staging.clone(), "shared", |m| value(m, "three"), SOON).await.unwrap();
}
