//! Relations: objects that others lead to, read for all parents of an answer together.
//!
//! An answer with relations has gaps. What leads to the missing objects is written beside them, all gaps of one relation
//! are asked for with one list per kind and namespace, by the same reads as any other list, and the gaps are filled.

mod budget;
mod found;
mod gaps;
mod index;
mod leads;
mod of;
mod reads;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use futures::future::{BoxFuture, join_all};

pub use self::budget::AnswerBudget;
use self::{
    budget::WorkPace,
    found::FoundObjects,
    gaps::{RelationGap, walk},
    leads::LeadingRelation,
    of::LatestObject,
    reads::RelationReads,
};
use super::{AnswerFragment, RequestContext, broken};
use crate::{
    error::GraphError,
    plan::{OF, RelatedField, RelationTree},
    scan::{MalformedJson, PathStep},
};

/// Maximum number of errors that the relations of one level tell.
const MAX_ERRORS: usize = 100;

/// The content of a gap: objects that were read, or none if it leads nowhere. Many gaps share an error.
type GapContent = Result<Option<(Arc<FoundObjects>, usize)>, Arc<GraphError>>;
/// A question, and what is left for its answer.
pub type BoundedRequest<'a> = (RequestContext<'a>, &'a AnswerBudget);

/// The gaps of one relation.
struct OpenGaps<'t, 'j> {
    related: &'t RelatedField,
    /// The place of the first one.
    path: Vec<PathStep>,
    /// Each with its number among all gaps.
    gaps: Vec<(usize, RelationGap<'t, 'j>)>,
}

/// Fills the gaps of the answer to one call.
pub async fn fill(
    (asking, budget): BoundedRequest<'_>,
    tree: &RelationTree,
    fragment: AnswerFragment,
) -> Result<AnswerFragment, GraphError> {
    filled((asking, budget), tree, fragment, false).await
}

/// The same for what was read for others, which keeps what leads to it.
fn filled<'a>(
    (asking, budget): BoundedRequest<'a>,
    tree: &'a RelationTree,
    mut fragment: AnswerFragment,
    keeps: bool,
) -> BoxFuture<'a, Result<AnswerFragment, GraphError>> {
    Box::pin(async move {
        fragment.errors.retain(is_told);
        if fragment.json.is_empty() || tree.fields.is_empty() {
            return Ok(fragment);
        }
        let relations = open(&fragment.json, tree, keeps).map_err(broken)?;
        let count = relations.iter().map(|relation| relation.gaps.len()).sum();
        let mut fillings: Vec<GapContent> = vec![Ok(None); count];
        let all = join_all(relations.iter().map(|open| of_relation((asking, budget), open))).await;
        for (open, (found, errors)) in relations.iter().zip(all) {
            fragment.errors.extend(errors);
            for ((index, _), filling) in open.gaps.iter().zip(found) {
                fillings[*index] = filling;
            }
        }
        let (mut rest, mut told, errors) = (fillings.into_iter(), 0, &mut fragment.errors);
        let put = &mut |gap: RelationGap<'_, '_>, path: &[PathStep], out: &mut Vec<u8>| {
            let is_list = gap.related.relation.is_list();
            match rest.next().unwrap_or(Ok(None)) {
                Ok(Some((found, which))) => found.write(which, is_list, out),
                Ok(None) => out.extend_from_slice(if is_list { b"[]" } else { b"null" }),
                Err(error) => {
                    out.extend_from_slice(b"null");
                    told += 1;
                    if told <= MAX_ERRORS {
                        errors.push(GraphError::clone(&error).at(path, None));
                    }
                }
            }
        };
        fragment.json = walk(&fragment.json, tree, keeps, put).map_err(broken)?;
        Ok(fragment)
    })
}

/// What leads to other objects is for us alone, and so is what is wrong with it.
fn is_told(error: &GraphError) -> bool {
    !error.path.iter().any(|step| matches!(step, PathStep::Field(name) if name == OF))
}

/// The gaps of an answer, by relation.
fn open<'t, 'j>(
    json: &'j [u8],
    tree: &'t RelationTree,
    keeps: bool,
) -> Result<Vec<OpenGaps<'t, 'j>>, MalformedJson> {
    let (mut all, mut count): (Vec<OpenGaps<'t, 'j>>, _) = (Vec::new(), 0);
    let mut known: BTreeMap<usize, usize> = BTreeMap::new();
    walk(json, tree, keeps, &mut |gap: RelationGap<'t, 'j>, path, out| {
        let place = *known.entry(std::ptr::from_ref(gap.related).addr()).or_insert_with(|| {
            all.push(OpenGaps { related: gap.related, path: path.to_vec(), gaps: Vec::new() });
            all.len() - 1
        });
        all[place].gaps.push((count, gap));
        count += 1;
        out.extend_from_slice(b"null");
    })?;
    Ok(all)
}

/// Returns the contents of the gaps of one relation, and the errors of the reads.
async fn of_relation<'a>(
    (asking, budget): BoundedRequest<'a>,
    open: &OpenGaps<'a, '_>,
) -> (Vec<GapContent>, Vec<GraphError>) {
    let leading = match LeadingRelation::of(asking, open.related) {
        Ok(leading) => leading,
        Err(error) => return (vec![Err(Arc::new(error)); open.gaps.len()], Vec::new()),
    };
    let mut reads = RelationReads::new((asking, budget), open.related);
    let (mut tickets, mut latest, mut pace) =
        (Vec::with_capacity(open.gaps.len()), LatestObject::default(), WorkPace::default());
    for (_, gap) in &open.gaps {
        let lead = leading.lead(latest.read(gap.of), gap.json);
        tickets.push(lead.map(|lead| lead.map(|lead| reads.want(lead))));
        pace.step(1).await;
    }
    let (places, errors) = reads.all().await;
    let errors = errors.into_iter().map(|error| error.at(&open.path, None)).collect();
    let too_large = Arc::new(budget.written.too_large());
    let is_list = open.related.relation.is_list();
    let mut fillings = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let filling = ticket.map_err(Arc::new).and_then(|ticket| {
            let Some(ticket) = ticket else { return Ok(None) };
            let found = places[ticket.place].clone()?;
            // Nothing is copied that has no room.
            let size = found.size(ticket.which, is_list);
            budget.written.take(size).map_err(|_| Arc::clone(&too_large))?;
            Ok(Some((found, ticket.which)))
        });
        fillings.push(filling);
        pace.step(1).await;
    }
    (fillings, errors)
}
