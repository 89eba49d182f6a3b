//! Pure: one answer, made of what the clusters say. What one of them cannot say is null, with an error beside it.

use std::collections::BTreeMap;

use apollo_compiler::response::JsonMap;
use serde_json::{Value, json};

use super::{
    block::{ClustersBlock, QueryRoots, RootField},
    cluster::{AllMissing, BlockAnswer, CallerStanding, ClusterOutcome},
    fixed,
    mistakes::refuse_what_nobody_has,
    rewrite::keys,
    unfit::unfit,
    written::WrittenQuery,
};
use crate::{
    error::{ErrorCode, GraphError},
    identity::refusal,
    scan::quoted,
};

/// Everything that an answer is made of, but what the clusters say.
pub struct FleetAnswer<'a> {
    /// The query.
    pub roots: &'a QueryRoots,
    /// The same, as it is written.
    pub written: &'a WrittenQuery,
    /// By block: the clusters that it means.
    pub chosen: &'a [Vec<String>],
    /// The fields of introspection.
    pub introspected: Option<JsonMap>,
    /// The labels of clusters.
    pub labels: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
}

/// One cluster of a block.
struct ClusterRow {
    name: String,
    part: BlockAnswer,
}

impl BlockAnswer {
    /// Returns `true` if there is no answer.
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

struct AnswerOutput {
    json: Vec<u8>,
    errors: Vec<Value>,
    /// Bytes that are left for blocks.
    room: usize,
}

/// Writes the answer, of at most `room` bytes in blocks.
pub fn compose(
    answers: &FleetAnswer<'_>,
    mut outcomes: BTreeMap<String, ClusterOutcome>,
    room: usize,
) -> Result<Vec<u8>, Vec<GraphError>> {
    let mut output = AnswerOutput { json: b"{\"data\":{".to_vec(), errors: Vec::new(), room };
    for (place, root) in answers.roots.fields.iter().enumerate() {
        if place > 0 {
            output.json.push(b',');
        }
        let (RootField::Clusters(key, _) | RootField::TypeName(key) | RootField::Introspect(key)) = root;
        output.json.extend_from_slice(quoted(key).as_bytes());
        output.json.push(b':');
        match root {
            RootField::Clusters(key, index) => {
                let rows = rows(answers, *index, &mut outcomes);
                refuse_what_nobody_has(rows.iter().map(|row| &row.part))?;
                answers.block(&mut output, (key, &answers.roots.blocks[*index]), rows)?;
            }
            RootField::TypeName(_) => output.json.extend_from_slice(b"\"Query\""),
            RootField::Introspect(key) => {
                let value = answers.introspected.as_ref().and_then(|data| data.get(key.as_str()));
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(&mut output.json, &value);
            }
        }
    }
    output.json.push(b'}');
    if !output.errors.is_empty() {
        output.json.extend_from_slice(b",\"errors\":");
        let _ = serde_json::to_writer(&mut output.json, &output.errors);
    }
    output.json.push(b'}');
    Ok(output.json)
}

/// The clusters of a block that are shown: not those that refuse the caller, unless they are named.
fn rows(
    answers: &FleetAnswer<'_>,
    index: usize,
    outcomes: &mut BTreeMap<String, ClusterOutcome>,
) -> Vec<ClusterRow> {
    let (mut rows, is_named) = (Vec::new(), answers.roots.blocks[index].is_named());
    for name in &answers.chosen[index] {
        let Some(outcome) = outcomes.get_mut(name) else { continue };
        let part = match &outcome.standing {
            CallerStanding::Refused if is_named => Some(BlockAnswer::Failed(vec![refusal()])),
            CallerStanding::Refused => None,
            CallerStanding::Unanswered(error) => Some(BlockAnswer::Failed(vec![error.clone()])),
            CallerStanding::Accepted => {
                let place = outcome.parts.iter().position(|(block, _)| *block == index);
                place.map(|place| outcome.parts.swap_remove(place).1)
            }
        };
        rows.extend(part.map(|part| ClusterRow { name: name.clone(), part }));
    }
    rows
}

impl FleetAnswer<'_> {
    fn block(
        &self,
        output: &mut AnswerOutput,
        (key, block): (&str, &ClustersBlock),
        rows: Vec<ClusterRow>,
    ) -> Result<(), Vec<GraphError>> {
        output.json.push(b'[');
        for (index, ClusterRow { name, part }) in rows.into_iter().enumerate() {
            if index > 0 {
                output.json.push(b',');
            }
            let mut place = ErrorPlace { key, index, cluster: &name, errors: &mut output.errors };
            let failed = match part {
                BlockAnswer::Answered { block, errors, missing } if block.get().len() <= output.room => {
                    output.room -= block.get().len();
                    output.json.extend_from_slice(block.get().as_bytes());
                    place.answered(errors, missing);
                    continue;
                }
                BlockAnswer::Answered { .. } => {
                    let message = "the answers of all clusters are too large: use limit, or select less";
                    vec![GraphError::new(ErrorCode::ResponseTooLarge, message)]
                }
                BlockAnswer::Failed(errors) => errors,
            };
            place.failed(&failed);
            let json = self.empty(block, &name, &failed).map_err(|error| vec![error])?;
            output.json.extend_from_slice(json.as_bytes());
        }
        output.json.push(b']');
        Ok(())
    }

    /// The block of a cluster that has not answered.
    fn empty(&self, block: &ClustersBlock, name: &str, errors: &[GraphError]) -> Result<String, GraphError> {
        let first = errors.first().map(|error| error.message.as_str());
        let labels = self.labels.get(name).map(|labels| json!(labels)).unwrap_or_default().to_string();
        let mut fields = Vec::new();
        for (key, source) in keys(self.written, block)? {
            let json = source.map(|source| fixed::json(&source, name, &labels, first));
            fields.push(format!("{}:{}", quoted(&key), json.as_deref().unwrap_or("null")));
        }
        Ok(format!("{{{}}}", fields.join(",")))
    }
}

/// A place in the answer, at which errors are told.
struct ErrorPlace<'a> {
    key: &'a str,
    index: usize,
    cluster: &'a str,
    errors: &'a mut Vec<Value>,
}

impl ErrorPlace<'_> {
    fn answered(&mut self, errors: Vec<Value>, missing: AllMissing) {
        for (path, missing) in missing {
            let mut error = unfit(missing.says()).to_json();
            error["path"] = json!(path);
            self.tell(error);
        }
        for error in errors {
            self.tell(error);
        }
    }

    fn failed(&mut self, errors: &[GraphError]) {
        for error in errors {
            self.tell(error.to_json());
        }
    }

    fn tell(&mut self, mut error: Value) {
        let inner = error["path"].as_array().cloned().unwrap_or_default();
        let mut path = vec![json!(self.key), json!(self.index)];
        path.extend(inner);
        error["path"] = json!(path);
        if let Some(error) = error.as_object_mut() {
            // Positions in the query of one cluster mean nothing here.
            error.remove("locations");
        }
        error["extensions"]["cluster"] = json!(self.cluster);
        self.errors.push(error);
    }
}
