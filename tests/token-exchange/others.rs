//! Libraries of other people that exchange tokens as RFC 8693 says, built from their registries.

use portolan_testkit::{
    clients::{self, Toolchain},
    command::Line,
    workdir::Workdir,
};
use serde_json::{Value, json};

use crate::support::{TARGET, binding, world};

/// Runs a program and returns its output.
async fn said(home: &Workdir, script: &str, token: &str) -> Value {
    let line = Line::script(home.path(), &world().await.b, script).unwrap();
    let ran = line.env("TOKEN", token).run().await.unwrap();
    serde_json::from_str(&ran.stdout).map_err(|_| format!("{ran:?}")).unwrap()
}

#[tokio::test]
async fn go_exchanges_with_oauth2_externalaccount() {
    let (world, home) = (world().await, Workdir::new("oauth2").unwrap());
    let Some(client) = clients::build("oauth2", Toolchain::Go).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
    };
    let exchange = world.exchange("oauth2", &world.config("")).await;
    let source = world.source("oauth2").await;
    world.target("oauth2", &[("kfca_1", &world.binding("oauth2"))]).await;
    let other = binding(&world.a.server_url(), "system:serviceaccount:default:nobody", json!({}));
    world.target("oauth2-closed", &[("kfca_1", &other)]).await;
    let file = home.write_private("source.token", &source).unwrap();
    let ask = async |account: &str| {
        let script = format!(
            "{}/oauth2 -token-file {} -token-url {}/token -audience system:serviceaccount:{TARGET}:{account}",
            client.display(),
            file.display(),
            exchange.url()
        );
        said(&home, &script, "").await
    };
    let given = ask("oauth2").await;
    let user = format!("system:serviceaccount:{TARGET}:oauth2");
    assert_eq!(world.who(given["token"].as_str().unwrap_or_default()).await, Some(user), "{given}");
    assert_eq!(given["type"], "Bearer");
    let refused = ask("oauth2-closed").await;
    assert!(refused["error"].is_string() && refused["token"].is_null(), "{refused}");
}

#[tokio::test]
async fn javascript_exchanges_with_oauth4webapi() {
    let (world, home) = (world().await, Workdir::new("oauth4webapi").unwrap());
    let Some(client) = clients::build("node", Toolchain::Node).unwrap() else {
        return println!("skipped: {}: {}", module_path!(), Toolchain::Node.absence());
    };
    let exchange = world.exchange("oauth4webapi", &world.config("")).await;
    let source = world.source("oauth4webapi").await;
    world.target("oauth4webapi", &[("kfca_1", &world.binding("oauth4webapi"))]).await;
    let ask = async |token: &str, account: &str| {
        let program = client.join("exchange.mjs");
        let audience = format!("system:serviceaccount:{TARGET}:{account}");
        said(&home, &format!("node {} {} {audience}", program.display(), exchange.url()), token).await
    };
    let given = ask(&source, "oauth4webapi").await;
    let user = format!("system:serviceaccount:{TARGET}:oauth4webapi");
    assert_eq!(world.who(given["access_token"].as_str().unwrap_or_default()).await, Some(user), "{given}");
    assert!(given["expires_in"].as_i64().is_some_and(|seconds| seconds > 3000), "{given}");
    // What the library takes for an answer of the standard has its error by name.
    for (token, account, error) in
        [("x.y.z", "oauth4webapi", "invalid_request"), (&source, "absent", "invalid_request")]
    {
        let refused = ask(token, account).await;
        assert_eq!((&refused["error"], &refused["status"]), (&json!(error), &json!(400)), "{refused}");
    }
}
