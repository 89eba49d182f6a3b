//! `konnector check`: this cluster, our rights in it, who leads, and every bundle with its provider.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use portolan_core::{
    api::kubebind::{APIServiceBindingBundle, APIServiceExport},
    auth::{TokenClaims, UnverifiedToken},
    condition,
    kubeconfig::{KubeconfigCredentials, RestrictedKubeconfig},
};
use portolan_runtime::{
    check::{self, Check, RbacRules, RequiredRight},
    client, clock,
    telemetry::ErrorChain,
};
use secrecy::ExposeSecret as _;

use super::{
    holder::refuse_another,
    inventory::{bindings_of, brought},
    orphans, secret_state,
};
use crate::{
    args::KonnectorArgs,
    crd::{LABEL_MANAGED, MANAGED_BY},
    secrets::SecretState,
};

const RULES: &str = include_str!("../../../../charts/konnector/files/rbac.yaml");
/// A token with less than this part of its life left is reported.
const LAST_PART: i64 = 5;

fn docs(place: &str) -> String {
    format!("docs/konnector.md#{place}")
}

/// Everything, in the order in which one thing needs the other.
pub(super) async fn checks(args: &KonnectorArgs) -> Vec<Check> {
    let (client, mut checks) = match check::own_cluster(&args.client, "konnector", &docs("flags")).await {
        Ok(reached) => reached,
        Err(checks) => return checks,
    };
    checks.extend(
        check::crds(&client, "konnector", &portolan_core::crds::konnector(), &docs("quick-start")).await,
    );
    checks.extend(rights(args, &client).await);
    let cure = "start the konnector; where it runs elsewhere, give --lease-namespace and --lease-name";
    let settings = args.lease.settings(&args.pod, "kube-bind");
    checks.push(check::lease(&client, &settings, "running konnector", cure, &docs("quick-start")).await);
    let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
    match bundles.list(&ListParams::default()).await {
        Ok(bundles) => {
            for bundle in &bundles.items {
                checks.extend(Box::pin(of_bundle(args, &client, bundle)).await);
            }
        }
        Err(error) => {
            checks.push(Check::skipped("bundles", ErrorChain(&error).to_string(), docs("quick-start")));
        }
    }
    checks
}

async fn rights(args: &KonnectorArgs, client: &Client) -> Vec<Check> {
    let release = args.lease.settings(&args.pod, "kube-bind").namespace;
    let secrets: Vec<_> = args.allowed_secret_namespaces().into_iter().collect();
    let cure = "give the konnector's account the rules of charts/konnector/files/rbac.yaml";
    let needed = |rules: &RbacRules| rules.rights(&release, &secrets);
    let mut checks = check::chart_rights(client, RULES, needed, cure, &docs("rights")).await;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let bound = api.list(&ListParams::default().labels(&format!("{LABEL_MANAGED}={MANAGED_BY}"))).await;
    let bound: Vec<_> = bound.map(|list| list.items).unwrap_or_default();
    let right = |crd: &CustomResourceDefinition, suffix: &str| RequiredRight {
        group: crd.spec.group.clone(),
        resource: format!("{}{suffix}", crd.spec.names.plural),
        names: Vec::new(),
        namespace: None,
        verbs: ["get", "list", "watch", "patch"].map(str::to_owned).to_vec(),
    };
    let bound = bound.iter().flat_map(|crd| {
        [right(crd, ""), RequiredRight { verbs: vec!["patch".to_owned()], ..right(crd, "/status") }]
    });
    let cure =
        "apply a ClusterRole labelled rbac.kube-bind.io/aggregate-to-konnector: \"true\" for this kind";
    checks.extend(check::rights(client, bound.collect(), cure, &docs("rights")).await);
    checks
}

async fn of_bundle(args: &KonnectorArgs, client: &Client, bundle: &APIServiceBindingBundle) -> Vec<Check> {
    let name = bundle.name_any();
    let reference = &bundle.spec.kubeconfig_secret_ref;
    let state = secret_state(args, client, reference).await;
    let verdict = state.verdict(reference);
    let result =
        if verdict.is_true() { Ok("it holds a kubeconfig".to_owned()) } else { Err(verdict.message) };
    let cure =
        "kubectl create secret generic NAME --from-file=kubeconfig=FILE, with the provider's kubeconfig";
    let mut checks =
        vec![Check::new(format!("Secret of bundle {name}"), result, cure, docs("the-secrets-kubeconfig"))];
    if let SecretState::Valid(access) = &state {
        checks.extend(provider(client, bundle, &access.kubeconfig).await);
    }
    checks.push(status(bundle));
    checks.extend(lag(client, &name).await);
    checks.push(left_behind(args, client, bundle).await);
    checks
}

async fn provider(
    own: &Client,
    bundle: &APIServiceBindingBundle,
    kubeconfig: &RestrictedKubeconfig,
) -> Vec<Check> {
    let (of, place) =
        (format!("the provider of bundle {}", bundle.name_any()), docs("the-secrets-kubeconfig"));
    let expiry = expiry(&of, kubeconfig);
    let client = match client::restricted(kubeconfig).await {
        Ok(client) => client,
        Err(error) => {
            let cure = "replace certificate-authority-data, client-certificate-data or client-key-data";
            return vec![Check::new(
                format!("kubeconfig of {of}"),
                Err(ErrorChain(&error).to_string()),
                cure,
                place,
            )];
        }
    };
    let mut checks = check::server(&client, &of, &place).await;
    let answers = checks.iter().all(|check| check.ok != Some(false));
    checks.extend(expiry);
    checks.extend(check::authorities(kubeconfig.certificate_authority.as_deref(), &of, &place));
    let name = format!("exports of {of}");
    if !answers {
        checks.push(Check::skipped(name, "the provider gives unexpected answers", place));
        return checks;
    }
    checks.push(contract(own, &client, bundle, &kubeconfig.namespace).await);
    let api: Api<APIServiceExport> = Api::namespaced(client, &kubeconfig.namespace);
    let listed = api.list(&ListParams::default()).await;
    let result = listed.map(|list| format!("{} in namespace {}", list.items.len(), kubeconfig.namespace));
    let cure = "run `provider kubeconfig` again, which brings the account's rights up to date";
    checks.push(Check::new(
        name,
        result.map_err(|error| ErrorChain(&error).to_string()),
        cure,
        docs("conditions"),
    ));
    checks
}

/// Checks that the contract is the one that is bound, and this cluster's.
async fn contract(
    own: &Client,
    provider: &Client,
    bundle: &APIServiceBindingBundle,
    namespace: &str,
) -> Check {
    let name = format!("contract of bundle {}", bundle.name_any());
    let result = refuse_another(own, provider, namespace, bundle).await;
    let result =
        result.map(|()| format!("namespace {namespace}, for this cluster")).map_err(|why| why.to_string());
    let cure = "put the kubeconfig of this cluster's contract into the Secret, or accept what it leads to: \
                kube-bind.io/accept-contract for another contract, kube-bind.io/take-over for one in use";
    Check::new(name, result, cure, docs("contracts"))
}

fn expiry(of: &str, kubeconfig: &RestrictedKubeconfig) -> Option<Check> {
    let KubeconfigCredentials::Token(token) = &kubeconfig.credentials else { return None };
    let token = UnverifiedToken::parse(token.expose_secret()).ok()?;
    let claims = TokenClaims::unverified(&token).ok()?;
    let result = match claims.exp {
        None => Ok("it does not expire".to_owned()),
        Some(end) => {
            let left = end.0 - clock::now().as_second();
            let life = claims.iat.map_or(i64::MAX, |begin| end.0 - begin.0);
            let text = if left <= 0 {
                format!("it expired {} min ago", -left / 60)
            } else {
                format!("it expires in {} h {} min", left / 3600, left / 60 % 60)
            };
            if left < life / LAST_PART { Err(text) } else { Ok(text) }
        }
    };
    let cure = "make a new kubeconfig with `provider kubeconfig`, or label the Secret \
     kube-bind.io/provider-kubeconfig=true";
    Some(Check::new(format!("token for {of}"), result, cure, docs("the-secrets-kubeconfig")))
}

fn status(bundle: &APIServiceBindingBundle) -> Check {
    let status = bundle.status.clone().unwrap_or_default();
    let result = match condition::find(&status.conditions, condition::READY) {
        Some(_) if condition::is_true(&status.conditions, condition::READY) => {
            let count = |number: Option<i32>| number.unwrap_or_default();
            Ok(format!(
                "Ready: {} exports, {} bound, {} of them ready",
                count(status.exports),
                count(status.bound),
                count(status.ready)
            ))
        }
        Some(ready) => Err(ready.message.clone()),
        None => Err("no konnector has looked at it yet".to_owned()),
    };
    let cure = "the documentation lists the conditions of bundles by reason, each with its cure";
    Check::new(format!("bundle {}", bundle.name_any()), result, cure, docs("conditions"))
}

/// Copies whose objects are gone. They may have been kept on purpose: only that they cannot be counted is a fault.
async fn left_behind(args: &KonnectorArgs, client: &Client, bundle: &APIServiceBindingBundle) -> Check {
    let name = format!("orphans of bundle {}", bundle.name_any());
    match Box::pin(orphans::of_bundle(args, client, bundle)).await {
        Ok(orphans) => {
            let text = match orphans.len() {
                0 => "every copy has its object here".to_owned(),
                count => format!("{count} copies have no object here; see `konnector orphans`"),
            };
            Check::new(name, Ok(text), "konnector orphans", docs("backup-and-restore"))
        }
        Err(why) => Check::skipped(name, why.to_string(), docs("backup-and-restore")),
    }
}

/// Objects that wait for longer than they should.
async fn lag(client: &Client, bundle: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let cure = "see the Events of these objects: kubectl get events -A --field-selector reason=SyncFailed, or \
     reason=ForeignObject";
    for binding in bindings_of(client, bundle).await.unwrap_or_default() {
        let name = format!("lag of binding {}", binding.name_any());
        match brought(client, &binding).await {
            Ok(kinds) => {
                let (all, waiting) =
                    kinds.iter().fold((0, 0), |(a, w), kind| (a + kind.objects, w + kind.waiting));
                let text = format!("{waiting} of {all} objects have waited for more than a minute");
                let result = if waiting == 0 { Ok(text) } else { Err(text) };
                checks.push(Check::new(name, result, cure, docs("conditions")));
            }
            Err(error) => checks.push(Check::skipped(name, ErrorChain(&error).to_string(), docs("rights"))),
        }
    }
    checks
}
