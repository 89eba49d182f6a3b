//! The walk through the developer portal's controller, on the provider.

use anyhow::Result;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, api::PostParams};
use portolan_testkit::kubeconfig;
use serde_json::json;

use super::{walk::Step, world::World};
use crate::{
    services::RELEASE,
    toystore::{self, CONSUMER, NAMESPACE, OWNER, People, Person},
};

const POLICIES: &str = include_str!("../../../charts/devportal/files/policies.yaml");

pub(super) const STEPS: &[Step] = &[
    Step { name: "devportal: runs on the provider, beside a toystore", run: |world| Box::pin(start(world)) },
    Step {
        name: "a product finds its plans and how it is called",
        run: |world| Box::pin(async { toystore::product(&people(world).await?).await }),
    },
    Step {
        name: "a request waits until the owner approves it",
        run: |world| Box::pin(async { toystore::key(&people(world).await?).await }),
    },
    Step {
        name: "a key is read by who asked for it, and by nobody else",
        run: |world| Box::pin(async { toystore::reveal(&people(world).await?).await }),
    },
];

async fn start(world: &mut World) -> Result<String> {
    let client = world.provider();
    toystore::prepare(&client, &format!("system:serviceaccounts:{NAMESPACE}")).await?;
    for person in [OWNER, CONSUMER] {
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": person}}))?;
        Api::namespaced(client.clone(), NAMESPACE).create(&PostParams::default(), &account).await?;
    }
    let service = world.binaries.start("devportal", &world.clusters.provider, &[]).await?;
    world.started("devportal", service);
    let controller = format!("system:serviceaccount:{RELEASE}:devportal");
    portolan_testkit::toystore::install_policies(&client, POLICIES, &controller).await?;
    Ok(String::new())
}

/// The people are accounts of the toystore's namespace, so that each can have a token.
pub(super) async fn people(world: &World) -> Result<People> {
    Ok(People { owner: person(world, OWNER).await?, consumer: person(world, CONSUMER).await? })
}

async fn person(world: &World, name: &str) -> Result<Person> {
    let provider = &world.clusters.provider;
    let kubeconfig = provider.kubeconfig_for_token(&token(world, name).await?, NAMESPACE);
    let user = format!("system:serviceaccount:{NAMESPACE}:{name}");
    Ok(Person { user, client: kubeconfig::client(&kubeconfig).await? })
}

/// A token of a person.
pub(super) async fn token(world: &World, name: &str) -> Result<String> {
    world.clusters.provider.token_for(NAMESPACE, name, &[], 24 * 3600).await
}
