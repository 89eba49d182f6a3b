//! `provider check`: this cluster, our rights in it, who leads, what is offered, and every consumer.

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use portolan_core::{
    api::kubebind::{APIServiceExport, CONDITION_PROVIDER_IN_SYNC, LABEL_EXPORTED},
    condition,
};
use portolan_runtime::{
    check::{self, Check},
    clock,
    telemetry::ErrorChain,
};

use super::consumers::{self, Row};
use crate::{
    args::ControllerArgs,
    source::{OfferRefusal, SourceCrd},
    tenancy::Tenancy,
};

const RULES: &str = include_str!("../../../../charts/provider/files/rbac.yaml");
/// A kubeconfig that expires sooner is reported: the provider renews it long before.
const TOO_SOON: i64 = 60 * 60;
/// The same of one that is short-lived: this part of its life. The provider renews it with a fifth left.
const LAST_PART: i64 = 10;

fn docs(place: &str) -> String {
    format!("docs/provider.md#{place}")
}

/// Everything, in the order in which one thing needs the other.
pub(super) async fn checks(args: &ControllerArgs) -> Vec<Check> {
    let (client, mut checks) = match check::own_cluster(&args.client, "provider", &docs("flags")).await {
        Ok(reached) => reached,
        Err(checks) => return checks,
    };
    checks.extend(
        check::crds(&client, "provider", &portolan_core::crds::provider(), &docs("quick-start")).await,
    );
    checks.extend(rights(args, &client).await);
    let cure = "start the provider; where it runs elsewhere, give --lease-namespace and --lease-name";
    let settings = args.lease.settings(&args.pod, "kube-bind-provider");
    checks.push(check::lease(&client, &settings, "running provider", cure, &docs("quick-start")).await);
    checks.extend(offers(args.tenancy(), &client).await);
    match consumers::see(&client).await {
        Ok(seen) => {
            let rows = consumers::summarize(&seen);
            if rows.is_empty() {
                let why = "there is none yet: provider kubeconfig --consumer NAME";
                checks.push(Check::skipped("consumers", why, docs("consumers")));
            }
            checks.extend(rows.iter().flat_map(|row| of_consumer(row, clock::now())));
            checks.extend(seen.exports.iter().map(of_export));
        }
        Err(error) => {
            checks.push(Check::skipped("consumers", ErrorChain(&*error).to_string(), docs("consumers")));
        }
    }
    checks
}

async fn rights(args: &ControllerArgs, client: &Client) -> Vec<Check> {
    let release = args.lease.settings(&args.pod, "kube-bind-provider").namespace;
    let cure = "give the provider's account the rules of charts/provider/files/rbac.yaml";
    check::chart_rights(client, RULES, |rules| rules.rights(&release, &[]), cure, &docs("quick-start")).await
}

/// Each labelled CRD: whether it can be offered, and why not.
async fn offers(tenancy: Tenancy, client: &Client) -> Vec<Check> {
    let api: Api<SourceCrd> = Api::all(client.clone());
    let labelled = ListParams::default().labels(&format!("{LABEL_EXPORTED}=true"));
    let place = docs("offer-a-crd");
    match api.list(&labelled).await {
        Ok(found) if found.items.is_empty() => {
            let why = format!("no CRD has the label {LABEL_EXPORTED}=true");
            vec![Check::skipped("offers", why, place)]
        }
        Ok(found) => found.items.iter().map(|crd| of_offer(crd, tenancy)).collect(),
        Err(error) => vec![Check::skipped("offers", ErrorChain(&error).to_string(), place)],
    }
}

fn of_offer(crd: &SourceCrd, tenancy: Tenancy) -> Check {
    let result = match crd.offer(tenancy) {
        Ok(_) => Ok("it can be exported".to_owned()),
        Err(OfferRefusal::Terminating) => Err("it is terminating".to_owned()),
        Err(OfferRefusal::NotExportable(why)) => Err(why),
    };
    let cure = "change the CRD, the provider's flags (give this command the same), or take the label off";
    Check::new(format!("offer of {}", crd.name_any()), result, cure, docs("offer-a-crd"))
}

fn of_export(export: &APIServiceExport) -> Check {
    let (name, namespace) = (export.name_any(), export.namespace().unwrap_or_default());
    let conditions = export.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let result = match condition::find(&conditions, CONDITION_PROVIDER_IN_SYNC) {
        Some(_) if condition::is_true(&conditions, CONDITION_PROVIDER_IN_SYNC) => {
            Ok("it follows the CRD".to_owned())
        }
        Some(said) => Err(said.message.clone()),
        None => Err("no provider has looked at it".to_owned()),
    };
    let cure = "see the Events of the CRD and of the export; the documentation lists them by reason";
    Check::new(format!("export {namespace}/{name}"), result, cure, docs("events"))
}

fn of_consumer(row: &Row, now: Timestamp) -> Vec<Check> {
    let name = &row.name;
    let health = match (row.healthy, &row.last_contact) {
        (Some(true), Some(time)) => Ok(format!("last heartbeat at {time}")),
        (_, None) => Err("its konnector has never sent a heartbeat".to_owned()),
        (_, Some(time)) => {
            let why = row.reason.as_deref().unwrap_or("no provider has judged it yet");
            Err(format!("last heartbeat at {time}: {why}"))
        }
    };
    let cure = "run `konnector check` on the consumer, or delete the contract namespace of a consumer that no longer \
     exists";
    let health = Check::new(format!("konnector of consumer {name}"), health, cure, docs("consumers"));
    let title = format!("kubeconfig of consumer {name}");
    let Some(end) = row.kubeconfig_expires.as_ref().and_then(|end| end.parse::<Timestamp>().ok()) else {
        let why = "the provider keeps none for it";
        return vec![health, Check::skipped(title, why, docs("consumers"))];
    };
    let left = end.as_second() - now.as_second();
    let too_soon = row.kubeconfig_life.map_or(TOO_SOON, |life| TOO_SOON.min(life / LAST_PART));
    let result = if left < too_soon {
        Err(format!("its token expires at {end}, and was not renewed"))
    } else {
        Ok(format!("its token expires at {end}"))
    };
    let cure = "see the Events of Secret kubeconfig, or run `provider kubeconfig` again";
    vec![health, Check::new(title, result, cure, docs("consumers"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_judged_by_their_signs_of_life_and_the_end_of_their_tokens() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let row = |healthy, contact: Option<&str>, end: Option<&str>| Row {
            name: "acme".to_owned(),
            namespace: "kube-bind-acme".to_owned(),
            last_contact: contact.map(str::to_owned),
            konnector_version: None,
            healthy,
            reason: (healthy == Some(false)).then(|| "HeartbeatTimeout".to_owned()),
            exports: 0,
            bound: Vec::new(),
            kubeconfig_expires: end.map(str::to_owned),
            kubeconfig_life: None,
        };
        let short = |end| Row {
            kubeconfig_life: Some(1800),
            ..row(Some(true), Some("2026-01-01T00:00:00Z"), Some(end))
        };
        let table = [
            (
                row(Some(true), Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z")),
                [Some(true), Some(true)],
            ),
            (
                row(Some(false), Some("2025-01-01T00:00:00Z"), Some("2026-01-01T00:59:59Z")),
                [Some(false), Some(false)],
            ),
            (row(Some(false), None, None), [Some(false), None]),
            (row(None, None, Some("2025-01-01T00:00:00Z")), [Some(false), Some(false)]),
            (short("2026-01-01T00:06:00Z"), [Some(true), Some(true)]),
            (short("2026-01-01T00:02:59Z"), [Some(true), Some(false)]),
        ];
        for (row, expected) in table {
            let checks = of_consumer(&row, now);
            assert_eq!(checks.iter().map(|check| check.ok).collect::<Vec<_>>(), expected, "{row:?}");
            assert!(checks.iter().all(|check| (check.ok == Some(false)) != check.cure.is_empty()));
        }
    }
}
