//! A call of a plan, and what is known of its answer.

use super::{
    asking::Fragment,
    flow::Flow,
    sink::{Sink, Stopped},
};
use crate::{
    error::{Code, GraphError},
    plan::Call,
    scan::Step,
};

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

impl Reply<'_> {
    /// The answer as a whole.
    pub(super) async fn whole(self) -> Result<Fragment, GraphError> {
        let flow = match self {
            Self::Done(fragment) => return Ok(fragment),
            Self::Flowing(flow) => flow,
        };
        let mut sink = Sink::kept();
        match flow.write(&mut sink).await {
            Ok(errors) => Ok(Fragment { json: sink.out, errors }),
            Err(Stopped::Broken(error)) => Err(error),
            Err(Stopped::Gone) => Err(GraphError::new(Code::Internal, "nobody reads the answer")),
        }
    }
}
