//! The developer portal's example, as people would do it: a toystore gets a product, and one person a key for it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::devportal::{APIKey, APIProduct, SECRET_KEY, secret_name},
    condition::ConditionStatus,
    standard_condition::find,
};
use portolan_testkit::{eventually, issuer::now, toystore, watch_until};
use serde_json::json;

use crate::clusters::SOON;

/// The people: who owns the product, and who asks for a key.
pub const OWNER: &str = "olivia";
pub const CONSUMER: &str = "carl";
pub const NAMESPACE: &str = "toystore";
pub const PRODUCT: &str = "toystore-api";
pub const KEY: &str = "carl-toystore";
const ROLE: &str = "toystore-people";

/// A person, as the API server knows them.
pub struct Person {
    pub user: String,
    pub client: Client,
}

/// The people of the toystore.
pub struct People {
    pub owner: Person,
    pub consumer: Person,
}

/// Creates a namespace with a route, plans and authentication, and gives a group the rights of people who offer and use
/// APIs.
pub async fn prepare(admin: &Client, group: &str) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    toystore::install(admin).await?;
    toystore::toystore(admin, NAMESPACE).await?;
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": ROLE},
        "rules": [{
            "apiGroups": ["devportal.kuadrant.io"],
            "resources": ["apiproducts", "apikeys", "apikeys/status"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }],
    }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROLE},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    }))?;
    Api::namespaced(admin.clone(), NAMESPACE).create(&PostParams::default(), &role).await?;
    Api::namespaced(admin.clone(), NAMESPACE).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// Creates a product, and waits until its plans and its authentication are discovered.
pub async fn product(people: &People) -> Result<String> {
    let product: APIProduct = serde_json::from_value(json!({
        "metadata": {"name": PRODUCT, "annotations": {"backstage.io/owner": people.owner.user}},
        "spec": {
            "displayName": "Toystore", "approvalMode": "manual", "publishStatus": "Published",
            "targetRef": toystore::target("HTTPRoute", "toystore"),
        },
    }))?;
    let products: Api<APIProduct> = Api::namespaced(people.owner.client.clone(), NAMESPACE);
    products.create(&PostParams::default(), &product).await.context("creating the product")?;
    let is_known = |product: &APIProduct| {
        let Some(status) = &product.status else { return false };
        let is = |r#type| {
            find(&status.conditions, r#type).is_some_and(|found| found.status == ConditionStatus::True)
        };
        ["Ready", "PlanPolicyDiscovered", "AuthPolicyDiscovered"].into_iter().all(is)
    };
    let found = watch_until(products, PRODUCT, is_known, SOON).await?;
    let plans = found.status.unwrap_or_default().discovered_plans;
    let tiers: Vec<_> = plans.iter().map(|plan| plan.tier.as_str()).collect();
    ensure!(tiers == ["gold", "silver", "bronze"], "the plans are {tiers:?}");
    Ok(format!("{PRODUCT}: {}", tiers.join(", ")))
}

/// Asks for a key, and approves it.
pub async fn key(people: &People) -> Result<String> {
    let request: APIKey = serde_json::from_value(json!({
        "metadata": {"name": KEY},
        "spec": {
            "apiProductRef": {"name": PRODUCT}, "planTier": "gold", "useCase": "a walk",
            "requestedBy": {"userId": people.consumer.user, "email": "carl@example.com"},
        },
    }))?;
    let mine: Api<APIKey> = Api::namespaced(people.consumer.client.clone(), NAMESPACE);
    mine.create(&PostParams::default(), &request).await.context("asking for a key")?;
    let waits = |key: &APIKey| key.status.as_ref().is_some_and(|status| status.product_owner.is_some());
    let seen = watch_until(mine.clone(), KEY, waits, SOON).await?;
    let decision = json!({
        "metadata": {"resourceVersion": seen.metadata.resource_version},
        "status": {"phase": "Approved", "reviewedBy": people.owner.user, "reviewedAt": jiff::Timestamp::from_second(now())?},
    });
    let decided: Api<APIKey> = Api::namespaced(people.owner.client.clone(), NAMESPACE);
    let decision = Patch::Merge(decision);
    decided.patch_status(KEY, &PatchParams::default(), &decision).await.context("approving the key")?;
    let has_secret = |key: &APIKey| key.status.as_ref().is_some_and(|status| status.secret_ref.is_some());
    watch_until(mine, KEY, has_secret, SOON).await?;
    Ok(format!("kubectl get apikeys --namespace {NAMESPACE}"))
}

/// Reads the key as who asked for it, which who approved it may not.
pub async fn reveal(people: &People) -> Result<String> {
    let name = secret_name(KEY);
    let mine: Api<Secret> = Api::namespaced(people.consumer.client.clone(), NAMESPACE);
    // The right is given after the Secret is made.
    let secret = eventually("the key may be read", SOON, async || mine.get(&name).await.ok()).await?;
    let value = secret.data.unwrap_or_default().remove(SECRET_KEY).context("a Secret without a key")?;
    let owners: Api<Secret> = Api::namespaced(people.owner.client.clone(), NAMESPACE);
    let refused = owners.get(&name).await.err();
    let is_refused = matches!(&refused, Some(kube::Error::Api(status)) if status.code == 403);
    ensure!(is_refused, "who owns the product reads the key as well: {refused:?}");
    Ok(format!("{} bytes, for who asked and not for who approved", value.0.len()))
}
