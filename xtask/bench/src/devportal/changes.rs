//! How soon a change of a plan is at its products, and an approval at its Secret.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use portolan_core::api::devportal::{APIKey, APIProduct, secret_name};
use portolan_testkit::{Percentiles, issuer};
use serde_json::json;

use super::{
    lab::{Lab, PRODUCTS, ROUTES, WAITING, dynamic, product, waiting},
    toystores,
};
use crate::{figure::Value, watching::Watching};

const CHANGES: usize = 10;
/// The first daily limit that no plan has yet.
const FIRST: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(300);

/// Milliseconds until the last product of a plan has its change, the slowest of some.
pub(super) async fn plans(lab: &Lab) -> Result<Value> {
    let client = lab.plane.client();
    let mut products = Watching::open(dynamic::<APIProduct>(client.clone())).await?;
    let mut policies = Watching::open(toystores::objects(&client, "PlanPolicy")).await?;
    let (mut slowest, mut direct) = (0.0_f64, 0.0_f64);
    for change in 0..CHANGES {
        let (number, daily) = (change + 1, FIRST + change);
        let route = toystores::route(number);
        let mark = lab.plane.audit().mark()?;
        let patch = Patch::Merge(json!({"spec": toystores::plans(&route, daily)}));
        let begun = Instant::now();
        let has_it =
            |object: &DynamicObject| object.data["status"]["discoveredPlans"][0]["limits"]["daily"] == daily;
        let at_products = async {
            products.until_all_with("p-", PRODUCTS / ROUTES, has_it).await?;
            anyhow::Ok(begun.elapsed())
        };
        let at_policy = async {
            let is = |object: &DynamicObject| object.data["spec"]["plans"][0]["limits"]["daily"] == daily;
            policies.until(is).await?;
            anyhow::Ok(begun.elapsed())
        };
        let objects = toystores::objects(&client, "PlanPolicy");
        let parameters = PatchParams::default();
        let sent = async { anyhow::Ok(objects.patch(&route, &parameters, &patch).await?) };
        let (at_products, at_policy, _) = tokio::try_join!(at_products, at_policy, sent)?;
        slowest = slowest.max(at_products.as_secs_f64() * 1_000.0);
        direct = direct.max(at_policy.as_secs_f64() * 1_000.0);
        tokio::time::sleep(PAUSE).await;
        only_these(lab, mark, number)?;
    }
    Ok(Value::beside(slowest, direct))
}

/// No product of another route is written.
fn only_these(lab: &Lab, mark: portolan_testkit::audit::Mark, route: usize) -> Result<()> {
    let expected: BTreeSet<_> = (route..PRODUCTS).step_by(ROUTES).map(product).collect();
    let writes = lab.plane.audit().writes_by_user(&lab.user, mark, false)?;
    let objects = writes.into_iter().filter_map(|write| write.object_ref);
    let written: BTreeSet<_> =
        objects.filter(|object| object.resource == "apiproducts").map(|object| object.name).collect();
    ensure!(written == expected, "written are {written:?}, whose plan has changed {expected:?}");
    Ok(())
}

/// Milliseconds until 99 of 100 approvals have their Secret.
pub(super) async fn approvals(lab: &Lab) -> Result<Value> {
    let client = lab.plane.client();
    let mut secrets = Watching::open(dynamic::<Secret>(client.clone())).await?;
    let mut keys = Watching::open(dynamic::<APIKey>(client)).await?;
    let (mut with_secret, mut approved) = (Percentiles::new(), Percentiles::new());
    for number in 0..WAITING {
        let name = waiting(number);
        let secret = secret_name(&name);
        let now = Timestamp::from_second(issuer::now())?.to_string();
        let decision = json!({"phase": "Approved", "reviewedBy": "admin", "reviewedAt": now});
        let patch = Patch::Merge(json!({"status": decision}));
        let begun = Instant::now();
        let at_secret = async {
            secrets.until(|object| object.name_any() == secret).await?;
            anyhow::Ok(begun.elapsed())
        };
        let at_key = async {
            let is =
                |key: &DynamicObject| key.name_any() == name && key.data["status"]["phase"] == "Approved";
            keys.until(is).await?;
            anyhow::Ok(begun.elapsed())
        };
        let (all, parameters) = (lab.keys(), PatchParams::default());
        let sent = async { anyhow::Ok(all.patch_status(&name, &parameters, &patch).await?) };
        let (at_secret, at_key, _) = tokio::try_join!(at_secret, at_key, sent)?;
        with_secret.record(at_secret);
        approved.record(at_key);
    }
    Ok(Value::beside(with_secret.p99(), approved.p99()))
}
