//! The context of a request, and the parts of its answer.

use apollo_compiler::{response::JsonMap, validation::Valid};
use bytes::Bytes;
use http::HeaderValue;

use super::unreadable::mismatched;
use crate::{
    document::ApiResource,
    endpoint::ClusterEndpoint,
    error::GraphError,
    memory::MemoryReading,
    scan::TypeMismatch,
    upstream::{self, AnswerFeed, ApiRequest},
};

/// The context of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The cluster.
    pub endpoint: &'a ClusterEndpoint,
    /// The caller's own credential.
    pub authorization: &'a HeaderValue,
    /// The variables, coerced.
    pub variables: &'a Valid<JsonMap>,
    /// Limit for an API server's answer, in bytes.
    pub max_response: usize,
    /// The wishes of the request about memory, and the facts to report. None if memory is not read.
    pub reading: Option<&'a MemoryReading>,
}

impl RequestContext<'_> {
    /// Sends a request and returns the answer. A refusal is an error that begins with `doing`, if it is given.
    pub async fn ask(&self, question: ApiRequest, doing: Option<&str>) -> Result<Bytes, GraphError> {
        self.open(question, doing).await?.whole().await
    }

    /// The same for an answer that is read while it comes.
    pub async fn open(&self, question: ApiRequest, doing: Option<&str>) -> Result<AnswerFeed, GraphError> {
        let answer = self.endpoint.upstream.open(self.authorization, question, self.max_response).await?;
        answer.map_err(|refused| upstream::of_answer(&refused, doing))
    }

    /// An object was written. Later reads do not show the one before.
    pub fn wrote(&self, resource: &ApiResource, answer: &[u8]) {
        let Some(memory) = &self.endpoint.memory else { return };
        let version = memory.wrote(resource, answer);
        if let Some((reading, version)) = self.reading.zip(version) {
            reading.wrote(version);
        }
    }

    /// Something is read from the API server that memory never has.
    pub fn goes_through(&self) {
        if let Some(reading) = self.reading.filter(|_| self.endpoint.memory.is_some()) {
            reading.went_through();
        }
    }
}

/// A part of the answer.
#[derive(Debug, Default)]
pub struct AnswerFragment {
    /// Its JSON.
    pub json: Vec<u8>,
    /// Its errors.
    pub errors: Vec<GraphError>,
}

impl AnswerFragment {
    /// A part without errors.
    pub const fn of(json: Vec<u8>) -> Self {
        Self { json, errors: Vec::new() }
    }

    /// A part with values that do not fit the schema.
    pub fn with(json: Vec<u8>, mismatches: &[TypeMismatch]) -> Self {
        Self { json, errors: mismatches.iter().map(mismatched).collect() }
    }
}
