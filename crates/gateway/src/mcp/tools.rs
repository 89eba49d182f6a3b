//! Operations of persisted documents as tools of one cluster: those that fit its schema.

use apollo_compiler::executable::OperationType;
use serde_json::{Value, json};

use super::inputs::of_variables;
use crate::{
    bounds::QueryBounds,
    endpoint::ClusterEndpoint,
    persisted::NamedOperation,
    plan::{QueryPlan, prepare},
    schema::ClusterApi,
};

/// A tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its operation.
    pub known: NamedOperation,
    /// `true` if it only reads.
    is_reading: bool,
    /// The schema of its arguments.
    inputs: Value,
}

impl Tool {
    fn of(api: &ClusterApi, plan: &QueryPlan, known: &NamedOperation) -> Self {
        Self {
            known: known.clone(),
            is_reading: plan.kind == OperationType::Query,
            inputs: of_variables(&api.schema, &plan.operation.variables),
        }
    }

    fn to_json(&self) -> Value {
        let mut tool = json!({
            "name": self.known.tool,
            "inputSchema": self.inputs,
            "annotations": {"readOnlyHint": self.is_reading},
        });
        if let Some(description) = &self.known.description {
            tool["description"] = json!(description);
        }
        tool
    }
}

/// The tools of a cluster, for `tools/list`. Their plans are not kept: those of queries that are asked need the room.
pub fn listed(api: &ClusterApi, known: &[NamedOperation], bounds: QueryBounds) -> Value {
    let tool = |known: &NamedOperation| {
        let plan = prepare(api, &known.text, known.operation.as_deref(), bounds).ok()?;
        Some(Tool::of(api, &plan, known).to_json())
    };
    json!({"tools": known.iter().filter_map(tool).collect::<Vec<_>>()})
}

/// The tool of a name.
pub fn find(
    endpoint: &ClusterEndpoint,
    known: &[NamedOperation],
    name: &str,
    bounds: QueryBounds,
) -> Option<Tool> {
    let known = known.iter().find(|known| known.tool == name)?;
    let plan = endpoint.plan(&known.text, known.operation.as_deref(), bounds).ok()?;
    Some(Tool::of(&endpoint.api, &plan, known))
}

/// An argument that a tool does not have.
pub fn unknown_argument(tool: &Tool, arguments: &serde_json::Map<String, Value>) -> Option<String> {
    arguments.keys().find(|name| tool.inputs["properties"].get(name.as_str()).is_none()).cloned()
}
