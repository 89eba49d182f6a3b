//! The walk through the token service: a token of one cluster reviewed for the other, and one exchange.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    authentication::v1::{SelfSubjectReview, TokenReview},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use portolan_testkit::{
    ControlPlane, ServiceAccountSetup, ServiceOptions, ServiceProcess, kubeconfig, ports::free_port,
};
use serde_json::json;

use super::{walk::Step, world::World};

/// Audience of the tokens.
const DATABASE: &str = "mariadb";
const EXCHANGE: &str = "portolan-token-exchange";
/// The account whose token is exchanged, on the consumer.
const SOURCE: &str = "system:serviceaccount:default:default";
/// The account that a token is given of, on the provider.
const NAMESPACE: &str = "smoke-tests";
const ACCOUNT: &str = "app";

pub(super) const STEPS: &[Step] = &[
    Step { name: "token-service: knows the keys of both clusters", run: |world| Box::pin(reviews(world)) },
    Step {
        name: "a token of the consumer is reviewed where nobody knows the consumer",
        run: |world| Box::pin(review(world)),
    },
    Step {
        name: "provider: an account is bound to one of the consumer",
        run: |world| Box::pin(binding(world)),
    },
    Step { name: "token-exchange: runs on the provider", run: |world| Box::pin(exchanges(world)) },
    Step {
        name: "kfca-cli: a token of the consumer becomes one of the provider",
        run: |world| Box::pin(exchange(world)),
    },
];

async fn reviews(world: &mut World) -> Result<String> {
    let mut entries = vec!["clusters:\n".to_owned()];
    for name in ["provider", "consumer"] {
        let plane = plane(world, name);
        let (url, authority) = (plane.server_url(), plane.ca_pem());
        let token = plane.token_for("default", "default", &[], 3600).await?;
        world.write(&format!("{name}.crt"), &authority)?;
        world.write(&format!("{name}.token"), &token)?;
        let file = |end: &str| world.file(&format!("{name}.{end}")).display().to_string();
        entries.push(format!(
            "  {name}: {{issuer: '{url}', api_server: '{url}', ca_cert: '{}', token_path: '{}', allow_addresses: [127.0.0.1]}}\n",
            file("crt"),
            file("token")
        ));
    }
    world.write("clusters.yaml", &entries.concat())?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let options = ServiceOptions::new("token-service", "").args(["--plain-http", "--address", &address]);
    let service = start(world, options, "clusters.yaml").await?;
    world.started("token-service", service);
    world.write("token-service.url", &format!("http://{address}"))?;
    Ok(format!("POST http://{address}/clusters/<name>/apis/authentication.k8s.io/v1/tokenreviews"))
}

async fn review(world: &mut World) -> Result<String> {
    let token = world.clusters.consumer.token_for("default", "default", &[DATABASE], 600).await?;
    let url = std::fs::read_to_string(world.file("token-service.url"))?;
    let mut users = Vec::new();
    for cluster in ["consumer", "provider"] {
        let client = Client::try_from(kube::Config::new(format!("{url}/clusters/{cluster}").parse()?))?;
        let review = json!({"metadata": {}, "spec": {"token": token, "audiences": [DATABASE]}});
        let asked = Api::<TokenReview>::all(client);
        let answer = asked.create(&PostParams::default(), &serde_json::from_value(review)?).await?;
        users.push(answer.status.and_then(|status| status.user?.username));
    }
    ensure!(users[0].as_deref() == Some(SOURCE), "the consumer's token is {:?}", users[0]);
    ensure!(users[1].is_none(), "the provider's keys do not fit, and it is {:?}", users[1]);
    Ok(format!("it is {SOURCE}, and nobody as a token of the provider"))
}

async fn binding(world: &mut World) -> Result<String> {
    let client = world.provider();
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let issuer = world.clusters.consumer.server_url();
    let text = json!({"issuer": issuer, "subject": SOURCE}).to_string();
    let account = json!({"metadata": {"name": ACCOUNT, "annotations": {"kfca_1": text}}});
    let accounts = Api::<ServiceAccount>::namespaced(client, NAMESPACE);
    accounts.create(&PostParams::default(), &serde_json::from_value(account)?).await?;
    Ok(format!("{NAMESPACE}/{ACCOUNT}, annotation kfca_1={text}"))
}

async fn exchanges(world: &mut World) -> Result<String> {
    let url = world.clusters.consumer.server_url();
    let file = |name: &str| world.file(name).display().to_string();
    let config = format!(
        "issuers:\n- {{issuer: '{url}', api_server: '{url}', ca_cert: '{}', token_path: '{}', \
         allow_addresses: [127.0.0.1]}}\nnamespaces: [{NAMESPACE}]\n",
        file("consumer.crt"),
        file("consumer.token")
    );
    world.write("exchange.yaml", &config)?;
    let mut setup = ServiceAccountSetup::new("token-exchange", "token-exchange");
    setup.target_namespaces = vec![NAMESPACE.to_owned()];
    let kubeconfig = setup.create(&world.clusters.provider).await?;
    let port = free_port()?.to_string();
    let options = ServiceOptions::new("token-exchange", kubeconfig).args([
        "--plain-http",
        "--http-addr",
        "127.0.0.1",
        "--http-port",
        &port,
    ]);
    let service = start(world, options, "exchange.yaml").await?;
    world.started("token-exchange", service);
    world.write("token-exchange.url", &format!("http://127.0.0.1:{port}"))?;
    Ok(format!("POST http://127.0.0.1:{port}/exchangeToken"))
}

async fn exchange(world: &mut World) -> Result<String> {
    let token = world.clusters.consumer.token_for("default", "default", &[EXCHANGE], 3600).await?;
    world.write("source.token", &token)?;
    let (url, file) =
        (std::fs::read_to_string(world.file("token-exchange.url"))?, world.file("source.token"));
    let file = file.display().to_string();
    let arguments = [
        "--url",
        &url,
        "--token-file",
        &file,
        "--namespace",
        NAMESPACE,
        "--service-account",
        ACCOUNT,
        "--output",
        "token",
    ];
    let given = world.binaries.run("kfca-cli", &world.clusters.provider, &arguments).await?;
    let there = world.clusters.provider.kubeconfig_for_token(given.trim(), NAMESPACE);
    let who = Api::<SelfSubjectReview>::all(kubeconfig::client(&there).await?);
    let who = who.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = who.status.and_then(|status| status.user_info?.username).context("the token is nobody's")?;
    ensure!(user == format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}"), "the token is {user}'s");
    Ok(format!("on the provider it is {user}"))
}

fn plane<'a>(world: &'a World, name: &str) -> &'a ControlPlane {
    if name == "provider" { &world.clusters.provider } else { &world.clusters.consumer }
}

async fn start(world: &World, options: ServiceOptions, config: &str) -> Result<ServiceProcess> {
    let mut options = options.args(["--config".to_owned(), world.file(config).display().to_string()]);
    options.program = Some(world.binaries.path(&options.service));
    ServiceProcess::start(options).await
}
