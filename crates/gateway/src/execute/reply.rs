//! A call of a plan, and what is known of its answer.

use super::{asking::Fragment, flow::Flow};
use crate::{error::GraphError, plan::Call, scan::Step};

/// A call, and the place of its answer.
pub(super) struct Errand<'p> {
    pub(super) call: &'p Call,
    pub(super) path: Vec<Step>,
    pub(super) location: Option<(usize, usize)>,
}

impl Errand<'_> {
    /// An error of the call, with its place.
    pub(super) fn error(&self, error: GraphError) -> GraphError {
        error.at(&self.path, self.location)
    }
}

/// The answer to a call.
pub(super) enum Reply<'p> {
    Done(Fragment),
    /// A list that is still coming.
    Flowing(Box<Flow<'p>>),
}
