//! `portal check`: the cluster, the portal's rights in it, the issuer and the session keys.

use std::{fmt::Debug, process::ExitCode};

use kube::{Api, Client, Resource, api::ListParams};
use portolan_core::{
    api::devportal::{APIKey, APIProduct, GROUP},
    foreign::GATEWAY_GROUP,
};
use portolan_runtime::{
    check::{self, Check, CheckArgs, RequiredRight},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use serde::de::DeserializeOwned;

use crate::{
    args::{Identity, ServiceArgs},
    session::{demo::DemoUsers, oidc::OidcIssuer, seal::CookieSeal},
};

fn docs(place: &str) -> String {
    format!("docs/portal.md#{place}")
}

/// Runs the command.
pub fn run(args: &ServiceArgs, check: &CheckArgs) -> ExitCode {
    check::run(&args.log, check, || checks(args))
}

async fn checks(args: &ServiceArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut all = vec![check::tls(&args.tls, args.plain_http, &tasks, &docs("tls")).await];
    match check::own_cluster(&args.client, "portal", &docs("flags")).await {
        Ok((client, reached)) => {
            all.extend(reached);
            all.push(served::<APIProduct>(&client).await);
            all.push(served::<APIKey>(&client).await);
            let cure = "give the portal's account the rules of charts/portal/files/rbac.yaml";
            all.extend(check::rights(&client, rights(args.session.identity), cure, &docs("install")).await);
        }
        Err(failed) => all.extend(failed),
    }
    all.extend(login(args, &tasks).await);
    tasks.cancel();
    all
}

/// Whether a kind is served. The portal's account may list objects, and may not look at CRDs.
async fn served<K>(client: &Client) -> Check
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let listed = Api::<K>::all(client.clone()).list_metadata(&ListParams::default().limit(1)).await;
    let told = listed.map(|_| "it is served".to_owned()).map_err(|error| ErrorChain(&error).to_string());
    let cure =
        "start the devportal controller, which installs it, or kubectl apply -f charts/devportal/files/crds";
    Check::new(format!("kind {}", K::kind(&())), told, cure, docs("install"))
}

/// What the portal's own account reads and writes.
fn rights(identity: Identity) -> Vec<RequiredRight> {
    let right = |group: &str, resource: &str, verbs: &[&str]| RequiredRight {
        group: group.to_owned(),
        resource: resource.to_owned(),
        names: Vec::new(),
        namespace: None,
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
    };
    let follow = ["list", "watch"];
    let mut all = vec![
        right(GROUP, "apiproducts", &follow),
        right(GROUP, "apikeys", &follow),
        right(GATEWAY_GROUP, "httproutes", &follow),
        right("extensions.kuadrant.io", "planpolicies", &follow),
        right("kuadrant.io", "authpolicies", &follow),
        right("", "configmaps", &["get"]),
        right("events.k8s.io", "events", &["create", "patch"]),
    ];
    // Without it, everybody could log in, and nobody could do anything.
    if identity == Identity::Impersonate {
        all.push(right("", "users", &["impersonate"]));
    }
    all
}

async fn login(args: &ServiceArgs, tasks: &Tasks) -> Vec<Check> {
    let mut all = Vec::new();
    let files = &args.session.session_key_files;
    if !files.is_empty() {
        let read = CookieSeal::read(files).await;
        let told =
            read.map(|_| format!("{} keys", files.len())).map_err(|error| ErrorChain(&error).to_string());
        let cure = "make a key with `head -c 32 /dev/urandom | base64`, and mount the Secret";
        all.push(Check::new("session keys", told, cure, docs("sessions")));
    }
    if let Some(path) = &args.login.demo_users {
        let told = DemoUsers::read(path).await.map(|people| format!("{} people", people.names().count()));
        let told = told.map_err(|error| ErrorChain(&error).to_string());
        all.push(Check::new("people for demonstrations", told, "correct the file", docs("demo")));
    }
    if let Some(issuer) = &args.login.oidc_issuer {
        let told = issuer_answers(args, tasks).await.map(|()| "it answers".to_owned());
        let cure = "look at --oidc-issuer and --oidc-ca-file";
        all.push(Check::new(format!("issuer {issuer}"), told, cure, docs("oidc")));
    }
    all
}

async fn issuer_answers(args: &ServiceArgs, tasks: &Tasks) -> Result<(), String> {
    let authorities = match &args.login.oidc_ca_file {
        Some(path) => Some(tokio::fs::read(path).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let oidc = OidcIssuer::start(args, authorities, tasks).map_err(|error| ErrorChain(&error).to_string())?;
    oidc.discovery().await.map(|_| ()).map_err(|error| ErrorChain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_for_others_needs_a_right_to() {
        for (identity, expected) in [(Identity::Passthrough, 0), (Identity::Impersonate, 1)] {
            let rights = rights(identity);
            let found = rights.iter().filter(|right| right.verbs == ["impersonate"]).count();
            assert_eq!(found, expected, "{identity:?}");
        }
    }
}
