//! Gets of Secrets by people who may read theirs: the authorizer walks the RoleBindings of the namespace.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, Client, api::PostParams};
use portolan_core::api::devportal::secret_name;
use portolan_testkit::{Percentiles, eventually, kubeconfig};
use serde_json::json;

use super::lab::{Lab, NAMESPACE, REQUESTERS, key, requester_of};
use crate::figure::Value;

/// A namespace without keys.
const BESIDE: &str = "beside";
const PEOPLE: usize = 10;
const GETS: usize = 100;
const WARM_UP: usize = 20;
const WITHIN: Duration = Duration::from_secs(30);

/// The time of a get with the rights that the controller has given, over that in a namespace where each person has a
/// Secret, a Role and a RoleBinding, and nobody else does: in turns, so that both meet the same API server.
pub(super) async fn slowdown(lab: &Lab) -> Result<Value> {
    prepare(&lab.plane.client()).await?;
    let (mut here, mut alone) = (Percentiles::new(), Percentiles::new());
    for person in 0..PEOPLE {
        let certificate = lab.plane.kubeconfig_for_certificate(&requester_of(key_of(person)), None)?;
        let client = kubeconfig::client(&certificate).await?;
        let places = [
            (secrets(&client, NAMESPACE), secret_name(&key(key_of(person))), &mut here),
            (secrets(&client, BESIDE), own(person), &mut alone),
        ];
        in_turns(places).await?;
    }
    Ok(Value::beside(here.p50() / alone.p50(), alone.p50()))
}

/// A namespace with what each person needs to read a Secret of their own.
async fn prepare(admin: &Client) -> Result<()> {
    let post = PostParams::default();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": BESIDE}}))?;
    Api::all(admin.clone()).create(&post, &namespace).await?;
    for person in 0..PEOPLE {
        let (name, user) = (own(person), requester_of(key_of(person)));
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": name}, "stringData": {"api_key": "x"}}))?;
        secrets(admin, BESIDE).create(&post, &secret).await?;
        let role: Role = serde_json::from_value(json!({
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}],
        }))?;
        Api::namespaced(admin.clone(), BESIDE).create(&post, &role).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))?;
        Api::namespaced(admin.clone(), BESIDE).create(&post, &binding).await?;
    }
    Ok(())
}

async fn in_turns(mut places: [(Api<Secret>, String, &mut Percentiles); 2]) -> Result<()> {
    for (secrets, name, _) in &places {
        let allowed = async || Ok::<_, kube::Error>(secrets.get(name).await.ok());
        eventually("a person may read a Secret", WITHIN, allowed).await?;
        ensure!(secrets.get("another").await.is_err(), "a person may read any Secret");
    }
    for get in 0..WARM_UP + GETS {
        for (secrets, name, times) in &mut places {
            let begun = Instant::now();
            secrets.get(name).await?;
            if get >= WARM_UP {
                times.record(begun.elapsed());
            }
        }
    }
    Ok(())
}

/// The first key of a person; people are far from each other.
const fn key_of(person: usize) -> usize {
    person * (REQUESTERS / PEOPLE)
}

fn own(person: usize) -> String {
    format!("own-{person}")
}

fn secrets(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}
