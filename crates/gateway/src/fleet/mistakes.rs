//! Pure: what is wrong with a query for all of the clusters in it.

use std::collections::BTreeMap;

use super::{cluster::BlockAnswer, fixed::MissingField, unfit::unfit};
use crate::error::{ErrorCode, GraphError};

/// Fields that clusters cannot be asked for, by paths in the answer.
type CommonMissing<'a> = BTreeMap<&'a [String], &'a MissingField>;

/// A field that no cluster can be asked for is a mistake in the query, as it would be for one cluster.
pub fn refuse_what_nobody_has<'a>(
    parts: impl Iterator<Item = &'a BlockAnswer>,
) -> Result<(), Vec<GraphError>> {
    let is_mistake = |error: &GraphError| {
        matches!(
            error.code,
            ErrorCode::ParseFailed
                | ErrorCode::ValidationFailed
                | ErrorCode::Invalid
                | ErrorCode::LimitExceeded
        )
    };
    let mut common: Option<CommonMissing<'_>> = None;
    let mut mistake: Option<&Vec<GraphError>> = None;
    for part in parts {
        match part {
            BlockAnswer::Failed(errors) if errors.iter().all(is_mistake) => mistake = Some(errors),
            BlockAnswer::Failed(_) => return Ok(()),
            BlockAnswer::Answered { missing, .. } => {
                let here: CommonMissing<'_> =
                    missing.iter().map(|(path, missing)| (path.as_slice(), missing)).collect();
                common = Some(match common {
                    Some(known) => of_both(known, &here),
                    None => here,
                });
            }
        }
    }
    match (common, mistake) {
        (None, Some(errors)) => Err(errors.clone()),
        (Some(common), _) if !common.is_empty() => Err(told(common.into_values())),
        _ => Ok(()),
    }
}

/// Fields that neither of two clusters can be asked for. The error of one that has the field is better.
fn of_both<'a>(known: CommonMissing<'a>, other: &CommonMissing<'a>) -> CommonMissing<'a> {
    let both = known.into_iter().filter_map(|(path, missing)| {
        let other = *other.get(path)?;
        Some((path, if missing.why.is_some() { missing } else { other }))
    });
    both.collect()
}

fn told<'a>(all: impl Iterator<Item = &'a MissingField>) -> Vec<GraphError> {
    let (mut absent, mut errors) = (Vec::new(), Vec::new());
    for missing in all {
        match &missing.why {
            Some(error) => errors.push((**error).clone()),
            None => absent.push(missing.what.as_str()),
        }
    }
    if !absent.is_empty() {
        absent.sort_unstable();
        absent.dedup();
        errors.insert(0, unfit(format!("none of the clusters has {}", absent.join(", "))));
    }
    errors
}
