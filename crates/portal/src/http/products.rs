//! Products: list, read, create, change, delete.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    extract::{RawQuery, Request, State},
    response::Response,
};
use http::StatusCode;
use kube::{Resource as _, ResourceExt as _};
use portolan_core::{api::devportal::APIProduct, foreign::PlanPolicyKind, names::is_dns_label};
use portolan_runtime::latest::version;
use serde_json::{Value, json};

use super::{
    fresh::since,
    input::{self, AppAndCaller, PathParams},
    policies::plans_of,
    reply::{answer, nothing},
    requests::IDEMPOTENCY,
};
use crate::{
    app::App,
    attach::AttachedPolicies,
    caller::Caller,
    list::{ListQuery, select},
    paths::{self, ObjectName},
    problem::Problem,
    product_change, rows,
    rows::ProductRow,
    rules::{self, CallerView},
    sight::CallerContext,
};

pub(super) async fn list(
    (State(app), Extension(caller)): AppAndCaller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query =
        ListQuery::parse::<ProductRow>(query.as_deref().unwrap_or_default()).map_err(Problem::bad_request)?;
    let asked = CallerContext::new(&app, &caller);
    let sight = asked.lister().await?;
    let plans = plans_of(asked).await?;
    let page = select(visible(&app, &sight, &plans, query.is_catalog), &query);
    let can = asked.can_products(&sight, page.rows.iter().map(|row| &*row.product)).await?;
    let items: Vec<_> = page.rows.iter().map(|row| rows::product_json(&row.product)).collect();
    Ok(answer(StatusCode::OK, &page.answer(&query, &items, &can)))
}

/// Products that a caller may know of, with those of the policies that they have.
pub(super) fn visible(
    app: &App,
    sight: &CallerView,
    plans: &AttachedPolicies<PlanPolicyKind>,
    only_published: bool,
) -> Vec<ProductRow> {
    let row = |product: Arc<APIProduct>| {
        let namespace = product.metadata.namespace.as_deref().unwrap_or_default();
        let route = app.stores.routes.get(namespace, &product.spec.target_ref.name);
        let policy = route.and_then(|route| plans.of(&route.facts.known));
        ProductRow { product, policy: policy.map_or_else(String::new, |policy| policy.name().to_owned()) }
    };
    let all = app.stores.products.all().into_iter();
    let seen = all
        .filter(|product| sight.sees_product(product) && (!only_published || rules::is_published(product)));
    seen.map(row).collect()
}

pub(super) async fn read(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let asked = CallerContext::new(&app, &caller);
    let (product, sight) = asked.product(&place).await?;
    let can: BTreeMap<_, _> = asked.can_products(&sight, std::iter::once(&*product)).await?;
    let can = can.get(&place.key()).cloned().unwrap_or_default();
    let mut json = rows::product_json(&product);
    json["hostnames"] = app.stores.hostnames(&namespace, &product.spec.target_ref.name).into();
    if can.contains(&"delete") {
        json["keys"] = keys_of(&app, &place);
    }
    json["can"] = can.into();
    Ok(answer(StatusCode::OK, &json))
}

/// Counts the keys of a product and their Secrets, which are deleted with it.
fn keys_of(app: &App, place: &ObjectName) -> Value {
    let all = app.stores.keys.all();
    let keys: Vec<_> = all
        .iter()
        .filter(|key| {
            key.spec.api_product_ref.name == place.name
                && key.namespace().as_deref() == Some(&place.namespace)
        })
        .collect();
    let secrets = keys.iter().filter_map(|key| key.status.as_ref());
    let secrets = secrets.map(|status| {
        usize::from(status.secret_ref.is_some()) + usize::from(status.previous_secret_ref.is_some())
    });
    json!({"total": keys.len(), "secrets": secrets.sum::<usize>()})
}

pub(super) async fn create(
    (State(app), Extension(caller)): AppAndCaller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, sent) = input::read(request).await?;
    let (namespace, product) =
        product_change::create(&sent, &caller.user.name).map_err(Problem::bad_request)?;
    if !is_dns_label(&namespace) {
        return Err(Problem::bad_request("targetRef.namespace is not the name of a namespace"));
    }
    let written = match app.upstream.post(&paths::products(&namespace), &product, &caller.credential).await {
        Err(problem) if problem.status == StatusCode::CONFLICT && parts.headers.contains_key(IDEMPOTENCY) => {
            again(&app, &caller, &product, problem).await?
        }
        written => written?,
    };
    Ok(written_answer(StatusCode::CREATED, &*app.stores.products.take(written)?))
}

/// Returns the product that was sent before, if it was the same.
async fn again(app: &App, caller: &Caller, product: &Value, problem: Problem) -> Result<Value, Problem> {
    let text = |member: &str| product["metadata"][member].as_str().unwrap_or_default();
    let place = ObjectName::new(text("namespace"), text("name"))?;
    let found = app.upstream.get(&place.product(), &caller.credential).await?;
    if product_change::is_made_of(&found, product) { Ok(found) } else { Err(problem) }
}

fn written_answer(code: StatusCode, product: &APIProduct) -> Response {
    since::<APIProduct>(answer(code, &rows::product_json(product)), Some(version(product.meta())))
}

pub(super) async fn change(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (_, sent) = input::read(request).await?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let is_retired = rules::lifecycle(&product) == "retired";
    let patch = product_change::patch(&sent, is_retired).map_err(Problem::bad_request)?;
    let written = app.upstream.patch(&place.product(), &patch, &caller.credential).await?;
    Ok(written_answer(StatusCode::OK, &*app.stores.products.take(written)?))
}

pub(super) async fn delete(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (product, _) = CallerContext::new(&app, &caller).product(&place).await?;
    let said = app.upstream.delete(&place.product(), product.uid().as_deref(), &caller.credential).await?;
    Ok(since::<APIProduct>(nothing(), app.stores.products.take_end(said, &product).await?))
}
