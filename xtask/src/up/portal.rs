//! The walk through the portal: pages and REST for the toystore's people, who log in without a password here.

use anyhow::{Result, ensure};
use portolan_testkit::{
    eventually,
    ports::free_port,
    raw::{self, RawAnswer},
};
use serde_json::json;

use super::{devportal, walk::Step, world::World};
use crate::{
    clusters::SOON,
    toystore::{CONSUMER, KEY, NAMESPACE, OWNER, PRODUCT},
};

/// The files with the port of the portal, and with the people that may log in.
const PORT: &str = "portal.port";
const PEOPLE: &str = "portal-people.json";

pub(super) const STEPS: &[Step] = &[
    Step { name: "portal: lets the people of the toystore in", run: |world| Box::pin(start(world)) },
    Step {
        name: "the catalog has the product, and a key is shown to its owner alone",
        run: |world| Box::pin(look(world)),
    },
];

async fn start(world: &mut World) -> Result<String> {
    let mut people = serde_json::Map::new();
    for person in [OWNER, CONSUMER] {
        let token = devportal::token(world, person).await?;
        people.insert(person.to_owned(), json!({"token": token, "email": format!("{person}@example.com")}));
    }
    world.write(PEOPLE, &serde_json::Value::from(people).to_string())?;
    let port = free_port()?;
    let arguments = [
        "--plain-http".to_owned(),
        format!("--address=127.0.0.1:{port}"),
        format!("--external-url=http://127.0.0.1:{port}"),
        format!("--demo-users={}", world.file(PEOPLE).display()),
    ];
    let service = world.binaries.start("portal", &world.clusters.provider, &arguments).await?;
    world.started("portal", service);
    world.write(PORT, &port.to_string())?;
    Ok(format!("http://127.0.0.1:{port}/, as {OWNER} or as {CONSUMER}"))
}

async fn look(world: &mut World) -> Result<String> {
    let port: u16 = std::fs::read_to_string(world.file(PORT))?.parse()?;
    let (owner, consumer) = (devportal::token(world, OWNER).await?, devportal::token(world, CONSUMER).await?);
    eventually("the catalog has the product", SOON, async || -> Result<Option<()>> {
        let answer = get(port, "/api/kuadrant/apiproducts?catalog=true", &consumer).await?;
        let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().any(|item| item["metadata"]["name"] == PRODUCT).then_some(()))
    })
    .await?;
    let secret = format!("/api/kuadrant/requests/{NAMESPACE}/{KEY}/secret");
    let shown = get(port, &secret, &consumer).await?;
    ensure!(shown.status == 200 && shown.json()["apiKey"].is_string(), "it answers {}", shown.status);
    let refused = get(port, &secret, &owner).await?;
    ensure!(refused.status == 403, "who owns the product is answered {}", refused.status);
    Ok(String::new())
}

async fn get(port: u16, path: &str, token: &str) -> Result<RawAnswer> {
    let headers = format!("host: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n");
    Ok(raw::http(port, &format!("GET {path}"), &headers, b"").await?)
}
