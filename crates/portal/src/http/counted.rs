//! `GET /api/kuadrant/apiproducts/{ns}/{name}/usage`.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use serde_json::json;

use super::{
    input::{AppAndCaller, PathParams},
    reply::answer,
};
use crate::{paths::ObjectName, problem::Problem, sight::CallerContext, usage};

pub(super) async fn read(
    (State(app), Extension(caller)): AppAndCaller,
    PathParams((namespace, name)): PathParams<(String, String)>,
) -> Result<Response, Problem> {
    let place = ObjectName::new(&namespace, &name)?;
    let (product, sight) = CallerContext::new(&app, &caller).product(&place).await?;
    let Some(prometheus) = &app.usage else {
        let why = "this portal knows no Prometheus: start it with --usage-prometheus-url";
        return Ok(answer(StatusCode::OK, &json!({"available": false, "why": why})));
    };
    let status = product.status.as_ref();
    let plans = status.map(|status| status.discovered_plans.as_slice()).unwrap_or_default();
    let plans: Vec<_> = plans.iter().map(|plan| (plan.tier.clone(), json!(plan.limits))).collect();
    let decides = sight.owns(&product) || sight.manages_keys.has(&namespace);
    let told = match prometheus.of(&namespace, &product.spec.target_ref.name).await {
        Ok(counted) => usage::answer(&counted, &plans, (!decides).then_some(caller.user.name.as_str())),
        Err(why) => json!({"available": false, "why": why}),
    };
    Ok(answer(StatusCode::OK, &told))
}
