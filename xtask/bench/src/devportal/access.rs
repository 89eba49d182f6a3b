//! Gets of Secrets by people who may read theirs: the authorizer walks the RoleBindings of the namespace.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_core::api::devportal::secret_name;
use portolan_testkit::{Percentiles, eventually, kubeconfig};
use serde_json::json;

use super::lab::{Lab, NAMESPACE, REQUESTERS, key, requester_of};
use crate::figure::Value;

const PEOPLE: usize = 10;
const GETS: usize = 100;
const WARM_UP: usize = 20;
const WITHIN: Duration = Duration::from_secs(30);

/// Milliseconds of a get where each person has a Secret, a Role and a RoleBinding, and nobody else does.
pub(super) async fn before(lab: &Lab) -> Result<f64> {
    let admin = lab.plane.client();
    let post = PostParams::default();
    for person in 0..PEOPLE {
        let (name, user) = (own(person), requester_of(key_of(person)));
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"api_key": "x"}}))?;
        secrets(&admin).create(&post, &secret).await?;
        let role: Role = serde_json::from_value(json!({
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}],
        }))?;
        Api::namespaced(admin.clone(), NAMESPACE).create(&post, &role).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))?;
        Api::namespaced(admin.clone(), NAMESPACE).create(&post, &binding).await?;
    }
    let median = median(lab, own).await?;
    for person in 0..PEOPLE {
        let (name, delete) = (own(person), DeleteParams::default());
        secrets(&admin).delete(&name, &delete).await?;
        Api::<Role>::namespaced(admin.clone(), NAMESPACE).delete(&name, &delete).await?;
        Api::<RoleBinding>::namespaced(admin.clone(), NAMESPACE).delete(&name, &delete).await?;
    }
    Ok(median)
}

/// The same with the rights that the controller has given, over what it was before.
pub(super) async fn after(lab: &Lab, before: f64) -> Result<Value> {
    let of_controller = |person| secret_name(&key(key_of(person)));
    Ok((median(lab, of_controller).await? / before).into())
}

/// The first key of a person; people are far from each other.
const fn key_of(person: usize) -> usize {
    person * (REQUESTERS / PEOPLE)
}

fn own(person: usize) -> String {
    format!("own-{person}")
}

fn secrets(client: &Client) -> Api<Secret> {
    Api::namespaced(client.clone(), NAMESPACE)
}

async fn median(lab: &Lab, name: impl Fn(usize) -> String) -> Result<f64> {
    let mut times = Percentiles::new();
    for person in 0..PEOPLE {
        let certificate = lab.plane.kubeconfig_for_certificate(&requester_of(key_of(person)), None)?;
        let (secrets, name) = (secrets(&kubeconfig::client(&certificate).await?), name(person));
        let allowed = async || Ok::<_, kube::Error>(secrets.get(&name).await.ok());
        eventually("a person may read a Secret", WITHIN, allowed).await?;
        ensure!(secrets.get("another").await.is_err(), "a person may read any Secret");
        for get in 0..WARM_UP + GETS {
            let begun = Instant::now();
            secrets.get(&name).await?;
            if get >= WARM_UP {
                times.record(begun.elapsed());
            }
        }
    }
    Ok(times.p50())
}
