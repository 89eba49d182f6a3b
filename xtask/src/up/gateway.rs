//! The walk through the gateway: GraphQL for both clusters, from the listener's stream, with a caller's token.

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::{
    Rbac, ServiceAccountSetup, eventually,
    ports::free_port,
    raw::{self, RawAnswer},
};
use serde_json::json;

use super::{
    listener::{AUTHORITY, STREAM},
    walk::Step,
    world::World,
};
use crate::{clusters::SOON, services::RELEASE};

/// The file with the port of the gateway.
const PORT: &str = "gateway.port";
/// The file with the token that the listener reviews, and its audience.
const TOKEN: &str = "gateway.token";
const STREAM_AUDIENCE: &str = "portolan-listener";
/// The account that may list what the walk-through has offered.
const NAMESPACE: &str = "readers";
const READER: &str = "reader";
const RIGHTS: &str = "clusterRules: [{apiGroups: [wildwest.dev], resources: [cowboys], verbs: [list]}, \
    {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles, clusterrolebindings], verbs: [get]}]";
/// A cluster that does not know the token says so; the others answer.
const FLEET: &str = "{clusters(names:[\"provider\",\"consumer\"]){name error wildwest_dev{v1alpha1{Cowboys{items{metadata{name}}}}}}}";
const RELATION: &str = "{rbac_authorization_k8s_io{v1{ClusterRoleBinding(name:\"cluster-admin\"){clusterRole{metadata{name}}}}}}";
const QUERY: &str = "{wildwest_dev{v1alpha1{Cowboys{items{metadata{name}}}}}}";

pub(super) const STEPS: &[Step] = &[
    Step { name: "gateway: serves what the listener streams to it", run: |world| Box::pin(gateway(world)) },
    Step {
        name: "a query is answered as far as the rights of its caller go",
        run: |world| Box::pin(query(world)),
    },
    Step {
        name: "one question to all clusters, and one that follows a relation",
        run: |world| Box::pin(together(world)),
    },
];

async fn gateway(world: &mut World) -> Result<String> {
    let (provider, port) = (&world.clusters.provider, free_port()?);
    ServiceAccountSetup::new("gateway", RELEASE).create_with(provider, &Rbac::default()).await?;
    world.write(TOKEN, &provider.token_for(RELEASE, "gateway", &[STREAM_AUDIENCE], 24 * 3600).await?)?;
    let path = |name: &str| world.file(name).display().to_string();
    let address = format!("127.0.0.1:{port}");
    let arguments = [
        "--plain-http".to_owned(),
        format!("--address={address}"),
        format!("--listener-url={}", std::fs::read_to_string(world.file(STREAM))?),
        format!("--listener-ca-file={}", path(AUTHORITY)),
        format!("--listener-token-file={}", path(TOKEN)),
    ];
    // It has no rights and asks no API server on its own: it needs no kubeconfig.
    let service = world.binaries.start_as("gateway", "", &arguments).await?;
    world.started("gateway", service);
    world.write(PORT, &port.to_string())?;
    Ok(format!("console at http://{address}/"))
}

async fn query(world: &mut World) -> Result<String> {
    let port: u16 = std::fs::read_to_string(world.file(PORT))?.parse()?;
    let mut notes = Vec::new();
    for (name, plane) in [("provider", &world.clusters.provider), ("consumer", &world.clusters.consumer)] {
        let stranger = plane.token_for("default", "default", &[], 600).await?;
        ServiceAccountSetup::new(READER, NAMESPACE).create_with(plane, &Rbac::parse(RIGHTS)?).await?;
        let reader = plane.token_for(NAMESPACE, READER, &[], 600).await?;
        let answer = eventually("the gateway answers", SOON, async || -> Result<Option<RawAnswer>> {
            let answer = ask(port, name, &reader, QUERY).await?;
            Ok((answer.status == 200).then_some(answer))
        })
        .await?;
        let found = answer.json();
        let items = found["data"]["wildwest_dev"]["v1alpha1"]["Cowboys"]["items"].as_array().cloned();
        let items = items.with_context(|| format!("{name} answers {}", answer.text))?;
        let refused = ask(port, name, &stranger, QUERY).await?;
        let code = refused.json()["errors"][0]["extensions"]["code"].clone();
        ensure!(code == "FORBIDDEN", "who may list nothing on {name} is answered {}", refused.text);
        notes.push(format!("{name}: {} objects", items.len()));
    }
    Ok(format!("{}; FORBIDDEN for who may not list them", notes.join(", ")))
}

async fn together(world: &mut World) -> Result<String> {
    let port: u16 = std::fs::read_to_string(world.file(PORT))?.parse()?;
    let reader = world.clusters.provider.token_for(NAMESPACE, READER, &[], 600).await?;
    let answer = ask(port, "fleet", &reader, FLEET).await?;
    let clusters = answer.json()["data"]["clusters"].clone();
    let (provider, consumer) = (&clusters[0], &clusters[1]);
    let items = provider["wildwest_dev"]["v1alpha1"]["Cowboys"]["items"].as_array();
    let items = items.with_context(|| format!("the fleet answers {}", answer.text))?;
    let refusal = consumer["error"].as_str();
    let refusal = refusal.with_context(|| format!("the consumer knows the token: {}", answer.text))?;
    let related = ask(port, "provider", &reader, RELATION).await?;
    let role =
        &related.json()["data"]["rbac_authorization_k8s_io"]["v1"]["ClusterRoleBinding"]["clusterRole"];
    ensure!(role["metadata"]["name"] == "cluster-admin", "the relation leads to {}", related.text);
    Ok(format!("provider: {} objects, consumer: {refusal}; a binding leads to its role", items.len()))
}

async fn ask(port: u16, cluster: &str, token: &str, query: &str) -> Result<RawAnswer> {
    let headers = format!("host: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let body = json!({"query": query}).to_string();
    Ok(raw::http(port, &format!("POST /{cluster}/graphql"), &headers, body.as_bytes()).await?)
}
