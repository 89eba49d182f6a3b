//! Keeps the objects of one bound resource in sync: spec down to the provider, status up to the consumer.
//!
//! [`engine`] watches the consumer, [`reach`] the provider, and both feed [`index`], which holds identities
//! and digests, never whole objects. [`plan`] looks at one object on both sides and names the next step;
//! [`perform`] takes it. The answer of every write goes back into the index, so that the next step does not
//! wait for a watch event.

mod contested;
mod defaults;
mod departed;
mod desired;
mod emptied;
mod engine;
mod engines;
mod generations;
mod health;
mod index;
mod key;
mod keys;
mod known;
mod latency;
mod owned;
mod perform;
mod placement;
mod places;
mod plan;
mod reach;
mod report;
mod selector;
mod told;
mod turned;
mod whose;

pub(crate) use contested::writers;
pub(crate) use defaults::Defaults;
pub(crate) use engine::{EngineContext, SchemaVersions, SyncSpec};
pub(crate) use engines::{EngineKey, SyncEngines};
pub(crate) use health::EngineState;
pub(crate) use key::ObjectKey;
pub(crate) use keys::KeyRules;
pub(crate) use owned::{comparable, holds_updates, owned};
pub(crate) use placement::Placement;
pub(crate) use plan::{EngineMode, NamespaceState};
pub(crate) use report::tries;
pub(crate) use whose::is_left_of_ours;
