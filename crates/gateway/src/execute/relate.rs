//! Relations: objects that others lead to, read for all parents of an answer together.
//!
//! An answer with relations has gaps. What leads to the missing objects is written beside them, all gaps of one relation
//! are asked for with one list per kind and namespace, by the same reads as any other list, and the gaps are filled.

mod gaps;
mod leads;
mod reads;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
};

use futures::future::BoxFuture;

use self::{
    gaps::{Gap, walk},
    reads::{Child, Reads},
};
use super::{Asking, Fragment, broken};
use crate::{
    error::{Code, GraphError},
    plan::Tree,
    scan::Step,
};

/// Maximum number of reads for the relations of one answer.
const MAX_READS: usize = 1_000;
/// Maximum number of errors that one relation tells.
const MAX_ERRORS: usize = 100;

/// What fills a gap.
type Filling = Result<Arc<[u8]>, GraphError>;

/// Fills the gaps of an answer.
pub async fn fill(asking: Asking<'_>, tree: &Tree, fragment: Fragment) -> Result<Fragment, GraphError> {
    filled((asking, &AtomicUsize::new(MAX_READS)), tree, fragment, false).await
}

/// The same for what was read for others, which keeps what leads to it.
fn filled<'a>(
    (asking, left): (Asking<'a>, &'a AtomicUsize),
    tree: &'a Tree,
    mut fragment: Fragment,
    keeps: bool,
) -> BoxFuture<'a, Result<Fragment, GraphError>> {
    Box::pin(async move {
        if fragment.json.is_empty() || tree.fields.is_empty() {
            return Ok(fragment);
        }
        let mut gaps: Vec<Gap<'_>> = Vec::new();
        walk(&fragment.json, tree, keeps, &mut |gap, out| {
            gaps.push(gap);
            out.extend_from_slice(b"null");
        })
        .map_err(broken)?;
        let mut by_relation: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, gap) in gaps.iter().enumerate() {
            by_relation.entry(std::ptr::from_ref(gap.related).addr()).or_default().push(index);
        }
        let mut fillings: Vec<Option<Filling>> = gaps.iter().map(|_| None).collect();
        for indices in by_relation.into_values() {
            let of_one: Vec<&Gap<'_>> = indices.iter().map(|index| &gaps[*index]).collect();
            let (found, errors) = of_relation((asking, left), &of_one).await;
            fragment.errors.extend(errors);
            for (index, filling) in indices.into_iter().zip(found) {
                fillings[index] = Some(filling);
            }
        }
        let (mut rest, mut told, mut size) = (fillings.into_iter(), 0, 0_usize);
        let errors = &mut fragment.errors;
        let put = &mut |gap: Gap<'a>, out: &mut Vec<u8>| {
            let filling = rest.next().flatten().unwrap_or_else(|| Ok((*b"null").into()));
            let filling = filling.and_then(|json| {
                size = size.saturating_add(json.len());
                if size > asking.max_response { Err(too_large(asking.max_response)) } else { Ok(json) }
            });
            match filling {
                Ok(json) => out.extend_from_slice(&json),
                Err(error) => {
                    out.extend_from_slice(b"null");
                    told += 1;
                    if told <= MAX_ERRORS {
                        errors.push(error.at(&gap.path, None));
                    }
                }
            }
        };
        fragment.json = walk(&fragment.json, tree, keeps, put).map_err(broken)?;
        Ok(fragment)
    })
}

fn too_large(limit: usize) -> GraphError {
    let message = format!("related objects have more than {limit} bytes: use limit, or select less");
    GraphError::new(Code::ResponseTooLarge, message)
}

/// What fills the gaps of one relation, and what went wrong in what was read.
async fn of_relation<'a>(
    (asking, left): (Asking<'a>, &'a AtomicUsize),
    gaps: &[&Gap<'a>],
) -> (Vec<Filling>, Vec<GraphError>) {
    let Some(first) = gaps.first() else { return (Vec::new(), Vec::new()) };
    let related = first.related;
    let leads: Vec<_> =
        gaps.iter().map(|gap| leads::of(asking, related, (gap.of.as_deref(), &gap.json))).collect();
    let mut reads = Reads::new((asking, left), related);
    for lead in leads.iter().flatten() {
        reads.want(lead);
    }
    let errors = reads.all().await;
    let errors = errors.into_iter().map(|error| error.at(&first.path, None)).collect();
    let fill = |lead: Result<leads::Lead, GraphError>| {
        let lead = lead?;
        let found = reads.found(&lead)?;
        Ok(written(&lead, &found))
    };
    (leads.into_iter().map(fill).collect(), errors)
}

fn written(lead: &leads::Lead, found: &[&Child]) -> Arc<[u8]> {
    if !lead.is_list {
        return found.first().map_or_else(|| (*b"null").into(), |child| child.json.as_slice().into());
    }
    let mut out = vec![b'['];
    for (index, child) in found.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&child.json);
    }
    out.push(b']');
    out.into()
}

/// The field of a list that has its items.
fn items_step() -> Step {
    Step::Field("items".to_owned())
}
