//! A call of a plan, and what is known of its answer.

use tokio::sync::mpsc;

use super::{
    asking::Fragment,
    flow::Flow,
    room::Room,
    sink::{PART, Part, Sink, Stopped},
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
    /// The answer as a whole, if there is room for it.
    pub(super) async fn whole(self, room: &Room) -> Result<Fragment, GraphError> {
        match self {
            Self::Done(fragment) => room.take(fragment.json.len()).map(|()| fragment),
            Self::Flowing(flow) => gathered(*flow, room).await,
        }
    }
}

/// Keeps a list that is still coming.
async fn gathered(flow: Flow<'_>, room: &Room) -> Result<Fragment, GraphError> {
    let (parts, mut coming) = mpsc::channel(1);
    let mut sink = Sink::handed_on(PART, parts);
    let writing = async move {
        let errors = flow.write(&mut sink).await.map_err(failure)?;
        Ok::<_, GraphError>((sink.end().await.map_err(failure)?, errors))
    };
    let keeping = async move {
        let mut json = Vec::new();
        while let Some(Part::Bytes(bytes)) = coming.recv().await {
            room.take(bytes.len())?;
            json.extend_from_slice(&bytes);
        }
        Ok::<_, GraphError>(json)
    };
    let ((small, errors), large) = tokio::try_join!(writing, keeping)?;
    let Some(small) = small else { return Ok(Fragment { json: large, errors }) };
    room.take(small.len())?;
    Ok(Fragment { json: small, errors })
}

fn failure(stopped: Stopped) -> GraphError {
    match stopped {
        Stopped::Broken(error) => error,
        Stopped::Gone => GraphError::new(Code::Internal, "nobody reads the answer"),
    }
}
