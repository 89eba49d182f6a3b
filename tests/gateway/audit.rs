//! The audit suite of the npm package `graphql-http`: what a server of GraphQL over HTTP must and should do.

use portolan_testkit::{
    clients::{self, Toolchain},
    command::Line,
    workdir::Workdir,
};
use serde_json::Value;

use super::support::world;

#[tokio::test(flavor = "multi_thread")]
async fn every_audit_of_graphql_http_passes() {
    let (world, home) = (world().await, Workdir::new("graphql-http").unwrap());
    let Some(client) = clients::build("graphql", Toolchain::Node).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Node.absence());
    };
    let script =
        format!("node {}/audit.mjs http://127.0.0.1:{}/a/graphql", client.display(), world.gateway.port);
    let line = Line::script(home.path(), &world.cluster, &script).unwrap();
    let ran = line.env("TOKEN", &world.admin).run().await.unwrap();
    let results: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let begins = |word: &str| {
        results.iter().filter(|audit| audit["name"].as_str().unwrap().starts_with(word)).collect::<Vec<_>>()
    };
    let (must, should) = (begins("MUST"), begins("SHOULD"));
    let bad: Vec<_> = must.iter().chain(&should).filter(|audit| audit["status"] != "ok").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!((must.len(), should.len()), (13, 23), "the suite is another one");
}
