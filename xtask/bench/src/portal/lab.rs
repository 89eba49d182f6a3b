//! A portal over the cluster of the devportal bench, and two people with the roles of the chart.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule},
};
use kube::{Api, Client, api::PostParams};
use portolan_testkit::{
    ServiceAccountSetup, ServiceProcess,
    ports::free_port,
    raw::{self, RawAnswer},
    workdir::Workdir,
};
use serde_json::{Value as Json, json};

use crate::{
    devportal::{
        lab::{self, NAMESPACE},
        starts,
    },
    services::{Binaries, RELEASE},
};

const WITHIN: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 60 * 60;
const PERSONAS: &str = include_str!("../../../../charts/portal/files/personas.yaml");
/// Who only looks.
pub(super) const CONSUMER: &str = "consumer";

pub(super) struct Lab {
    pub(super) cluster: lab::Lab,
    pub(super) port: u16,
    /// The token of somebody who looks.
    pub(super) consumer: String,
    /// The token of somebody who may do everything in the portal.
    pub(super) admin: String,
    _portal: ServiceProcess,
    // After the process, which reads them.
    _files: Workdir,
}

impl Lab {
    pub(super) async fn start(binaries: &Binaries) -> Result<Self> {
        let cluster = Box::pin(lab::Lab::start(binaries)).await?;
        let created = cluster.fill().await?;
        let (controller, _) = Box::pin(starts::first(&cluster, created)).await?;
        // Nothing but the portal is at work while it is measured.
        controller.terminate(WITHIN).await?;
        let client = cluster.plane.client();
        let roles: BTreeMap<String, Vec<PolicyRule>> = serde_saphyr::from_str(PERSONAS)?;
        for (account, role) in [(CONSUMER, "api-consumer"), ("admin", "api-admin")] {
            let allowed = roles.get(role).context("a role of the chart")?.clone();
            person(&client, account, allowed).await?;
        }
        let consumer = cluster.plane.token_for(NAMESPACE, CONSUMER, &[], DAY).await?;
        let admin = cluster.plane.token_for(NAMESPACE, "admin", &[], DAY).await?;
        let (port, files) = (free_port()?, Workdir::new("portal-bench")?);
        let people = files.write_private("people.yaml", &format!("{CONSUMER}: {consumer}\n"))?;
        let arguments = [
            format!("--address=127.0.0.1:{port}"),
            "--plain-http".to_owned(),
            format!("--demo-users={}", people.display()),
        ];
        let kubeconfig = ServiceAccountSetup::new("portal", RELEASE).create(&cluster.plane).await?;
        let portal = binaries.start_as("portal", &kubeconfig, &arguments).await?;
        portal.wait_ready(WITHIN).await?;
        Ok(Self { cluster, port, consumer, admin, _portal: portal, _files: files })
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The answer to one request, on a connection of its own.
    pub(super) async fn send(
        &self,
        token: &str,
        line: &str,
        (status, body): (u16, Option<&Json>),
    ) -> Result<RawAnswer> {
        let headers =
            format!("host: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        let body = body.map(Json::to_string).unwrap_or_default();
        let answer = raw::http(self.port, line, &headers, body.as_bytes()).await?;
        ensure!(answer.status == status, "{line}: {} {}", answer.status, answer.text);
        Ok(answer)
    }
}

/// A ServiceAccount with these rights everywhere.
async fn person(client: &Client, name: &str, rules: Vec<PolicyRule>) -> Result<()> {
    let post = PostParams::default();
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::namespaced(client.clone(), NAMESPACE).create(&post, &account).await?;
    let role_name = format!("portal-bench-{name}");
    let role: ClusterRole = serde_json::from_value(json!({"metadata": {"name": role_name}, "rules": rules}))?;
    Api::all(client.clone()).create(&post, &role).await?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": role_name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }))?;
    Api::all(client.clone()).create(&post, &binding).await?;
    Ok(())
}
