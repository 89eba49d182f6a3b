//! The watches of an engine. What they see goes into the index.

mod consumer;
mod provider;

pub(super) use consumer::ConsumerWatch;
pub(super) use provider::ProviderWatch;
