//! Routes and policies: what product owners choose from.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use portolan_core::foreign::{Acceptance, Foreign, ForeignKind, PlanPolicyKind};
use serde_json::{Value, json};

use super::{
    input::{AppAndCaller, PathParams},
    reply::answer,
};
use crate::{
    access::{AccessRight, AllowedNamespaces},
    app::App,
    attach::AttachedPolicies,
    foreign::{AuthPolicy, HttpRoute, PlanPolicy, WholeFacts, WholeKind, whole},
    paths::ObjectName,
    problem::Problem,
    sight::CallerContext,
    stores::KindStore,
};

/// Objects of a kind, and where the caller may list them.
async fn permitted<K: ForeignKind>(
    asked: CallerContext<'_>,
    store: &KindStore<Foreign<K>>,
) -> Result<(Vec<Arc<Foreign<K>>>, AllowedNamespaces), Problem> {
    let mut all = store.all();
    let namespaces: Vec<_> = all.iter().map(|object| object.namespace().to_owned()).collect();
    let places = asked.places(AccessRight::foreign("list", K::GROUP, K::PLURAL), &namespaces).await?;
    all.retain(|object| places.has(object.namespace()));
    Ok((all, places))
}

/// The PlanPolicies that the caller may list.
pub(super) async fn plans_of(asked: CallerContext<'_>) -> Result<AttachedPolicies<PlanPolicyKind>, Problem> {
    let (all, _) = permitted(asked, &asked.app.stores.plans).await?;
    Ok(AttachedPolicies::plans(all.iter().map(|policy| Arc::clone(&policy.facts.known))))
}

/// Objects of a kind for who may list some.
async fn listed<K: ForeignKind>(
    asked: CallerContext<'_>,
    store: &KindStore<Foreign<K>>,
) -> Result<Vec<Arc<Foreign<K>>>, Problem> {
    let (mut all, places) = permitted(asked, store).await?;
    if places.is_nowhere() {
        return Err(Problem::forbidden(format!("you may not list {}", K::PLURAL)));
    }
    all.sort_by(|one, other| (one.namespace(), one.name()).cmp(&(other.namespace(), other.name())));
    Ok(all)
}

fn items(items: &[Value]) -> Response {
    answer(StatusCode::OK, &json!({"items": items}))
}

/// `GET /httproutes`.
pub(super) async fn routes((State(app), Extension(caller)): AppAndCaller) -> Result<Response, Problem> {
    let asked = CallerContext::new(&app, &caller);
    let all = listed(asked, &app.stores.routes).await?;
    let plans = plans_of(asked).await?;
    let (auths, _) = permitted(asked, &app.stores.auths).await?;
    let auths = AttachedPolicies::auths(auths.iter().map(|policy| Arc::clone(&policy.facts.known)));
    let item = |route: &HttpRoute| {
        let WholeFacts { known, .. } = &route.facts;
        let mut item = json!({
            "metadata": {"name": route.name(), "namespace": route.namespace()},
            "spec": {"hostnames": known.facts.hostnames},
            "ready": known.facts.acceptance == Acceptance::Accepted,
        });
        if let Some(policy) = plans.of(known) {
            let tiers: Vec<_> = policy.facts.plans.iter().map(|plan| &plan.tier).collect();
            item["planPolicy"] =
                json!({"namespace": policy.namespace(), "name": policy.name(), "tiers": tiers});
        }
        if let Some(policy) = auths.of(known) {
            item["authPolicy"] = json!({"namespace": policy.namespace(), "name": policy.name()});
        }
        item
    };
    Ok(items(&all.iter().map(|route| item(route)).collect::<Vec<_>>()))
}

/// `GET /planpolicies`.
pub(super) async fn plans((State(app), Extension(caller)): AppAndCaller) -> Result<Response, Problem> {
    let all = listed(CallerContext::new(&app, &caller), &app.stores.plans).await?;
    let item = |policy: &PlanPolicy| {
        let plans = policy.facts.spec["plans"].as_array().into_iter().flatten();
        let plans: Vec<_> = plans
            .map(|plan| json!({"tier": plan["tier"], "description": plan["description"], "limits": plan["limits"]}))
            .collect();
        let mut item = projection(policy);
        item["spec"]["plans"] = plans.into();
        item
    };
    Ok(items(&all.iter().map(|policy| item(policy)).collect::<Vec<_>>()))
}

/// `GET /authpolicies`.
pub(super) async fn auths((State(app), Extension(caller)): AppAndCaller) -> Result<Response, Problem> {
    let all = listed(CallerContext::new(&app, &caller), &app.stores.auths).await?;
    Ok(items(&all.iter().map(|policy: &Arc<AuthPolicy>| projection(policy)).collect::<Vec<_>>()))
}

fn projection<K: ForeignKind>(policy: &Foreign<WholeKind<K>>) -> Value {
    let target = &policy.facts.spec["targetRef"];
    json!({
        "metadata": {"name": policy.name(), "namespace": policy.namespace()},
        "spec": {"targetRef": {"kind": target["kind"], "name": target["name"], "namespace": target["namespace"]}},
        "status": policy.facts.status,
    })
}

/// `GET /planpolicies/{ns}/{name}`.
pub(super) async fn plan(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let right =
        AccessRight::foreign("get", "extensions.kuadrant.io", "planpolicies").within(&namespace).named(&name);
    let may = CallerContext::new(&app, &caller).may(right).await?;
    let found = of(&app, &place).filter(|_| may);
    let found = found.ok_or_else(|| Problem::not_found("PlanPolicy", &place.namespace, &place.name))?;
    Ok(answer(StatusCode::OK, &whole(&found)))
}

fn of(app: &App, place: &ObjectName) -> Option<Arc<PlanPolicy>> {
    app.stores.plans.get(&place.namespace, &place.name)
}
