//! Evidence of a failed step: the conditions on both clusters and the ends of the services' logs.

use anyhow::Error;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use portolan_core::api::kubebind::{
    APIServiceBinding, APIServiceBindingBundle, APIServiceExport, APIServiceNamespace, BoundSchema,
};

use super::world::World;
use crate::output;

/// Limit on the part of an error that is shown. One of a wait holds the whole object, whose conditions follow anyway.
const LONGEST: usize = 300;

/// Says which step failed, why, and what there is to see.
pub(super) async fn failure(world: &World, step: &str, error: &Error) {
    let why: String = format!("{error:#}").chars().take(LONGEST).collect();
    output::problem(format_args!("\nFAILED  {step}: {why}\n\nOn the consumer:"));
    let kinds =
        [ApiResource::erase::<APIServiceBindingBundle>(&()), ApiResource::erase::<APIServiceBinding>(&())];
    objects(&world.consumer(), &kinds).await;
    output::problem("\nOn the provider:");
    let kinds = [
        ApiResource::erase::<APIServiceExport>(&()),
        ApiResource::erase::<BoundSchema>(&()),
        ApiResource::erase::<APIServiceNamespace>(&()),
    ];
    objects(&world.provider(), &kinds).await;
    for (service, log) in world.logs() {
        output::problem(format_args!("\nThe log of {service} ends with:\n{log}"));
    }
}

async fn objects(client: &Client, kinds: &[ApiResource]) {
    for kind in kinds {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
        match api.list(&ListParams::default()).await {
            Err(error) => output::problem(format_args!("  {}: {error}", kind.kind)),
            Ok(list) if list.items.is_empty() => output::problem(format_args!("  no {}", kind.kind)),
            Ok(list) => list.iter().flat_map(|object| lines(&kind.kind, object)).for_each(output::problem),
        }
    }
}

/// An object and its conditions, or the whole status of one that has none.
fn lines(kind: &str, object: &DynamicObject) -> Vec<String> {
    let place = object.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let status = &object.data["status"];
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let what = if conditions.is_empty() { format!(" status: {status}") } else { String::new() };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let condition = |c: &serde_json::Value| {
        let [kind, status, reason, message] =
            ["type", "status", "reason", "message"].map(|field| text(&c[field]));
        format!("    {kind}={status} {reason} {message}").trim_end().to_owned()
    };
    std::iter::once(format!("  {kind} {place}{}{what}", object.name_any()))
        .chain(conditions.iter().map(condition))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_shown_with_its_conditions_or_its_status() {
        let shown = |status| {
            let object = json!({"metadata": {"name": "a", "namespace": "n"}, "status": status});
            lines("K", &serde_json::from_value(object).unwrap())
        };
        let conditions = json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "R", "message": "m"},
            {"type": "Synced", "status": "True"},
        ]});
        assert_eq!(shown(conditions), ["  K n/a", "    Ready=False R m", "    Synced=True"]);
        assert_eq!(shown(json!({"namespace": "x"})), [r#"  K n/a status: {"namespace":"x"}"#]);
    }
}
