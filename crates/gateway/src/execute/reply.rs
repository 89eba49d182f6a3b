//! A call of a plan, and what is known of its answer.

use tokio::sync::mpsc;

use super::{
    asking::AnswerFragment,
    flow::ListFlow,
    room::ByteRoom,
    sink::{AnswerPart, AnswerSink, PART, StopReason},
};
use crate::{
    error::{ErrorCode, GraphError},
    plan::PlanCall,
    scan::PathStep,
};

/// A call, and the place of its answer.
pub(super) struct PlacedCall<'p> {
    pub(super) call: &'p PlanCall,
    pub(super) path: Vec<PathStep>,
    pub(super) location: Option<(usize, usize)>,
}

impl PlacedCall<'_> {
    /// An error of the call, with its place.
    pub(super) fn error(&self, error: GraphError) -> GraphError {
        error.at(&self.path, self.location)
    }
}

/// The answer to a call.
pub(super) enum CallReply<'p> {
    Done(AnswerFragment),
    /// A list that is still coming.
    Flowing(Box<ListFlow<'p>>),
}

impl CallReply<'_> {
    /// The answer as a whole, if there is room for it.
    pub(super) async fn whole(self, room: &ByteRoom) -> Result<AnswerFragment, GraphError> {
        match self {
            Self::Done(fragment) => room.take(fragment.json.len()).map(|()| fragment),
            Self::Flowing(flow) => gathered(*flow, room).await,
        }
    }
}

/// Keeps a list that is still coming.
async fn gathered(flow: ListFlow<'_>, room: &ByteRoom) -> Result<AnswerFragment, GraphError> {
    let (parts, mut coming) = mpsc::channel(1);
    let mut sink = AnswerSink::handed_on(PART, parts);
    let writing = async move {
        let errors = flow.write(&mut sink).await.map_err(failure)?;
        Ok::<_, GraphError>((sink.end().await.map_err(failure)?, errors))
    };
    let keeping = async move {
        let mut json = Vec::new();
        while let Some(AnswerPart::Bytes(bytes)) = coming.recv().await {
            room.take(bytes.len())?;
            json.extend_from_slice(&bytes);
        }
        Ok::<_, GraphError>(json)
    };
    let ((small, errors), large) = tokio::try_join!(writing, keeping)?;
    let Some(small) = small else { return Ok(AnswerFragment { json: large, errors }) };
    room.take(small.len())?;
    Ok(AnswerFragment { json: small, errors })
}

fn failure(stopped: StopReason) -> GraphError {
    match stopped {
        StopReason::Broken(error) => error,
        StopReason::Gone => GraphError::new(ErrorCode::Internal, "nobody reads the answer"),
    }
}
