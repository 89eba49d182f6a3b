//! Keeps the objects of one bound resource in sync: spec down to the provider, status up to the consumer.
//!
//! [`watches`] follow both sides and feed [`index`], which holds identities and digests, never whole objects. [`plan`]
//! looks at one object on both sides and names the next step; [`perform`] takes it. The answer of every write goes back
//! into the index, so that the next step does not wait for a watch event. All of them share an [`agenda`], and
//! [`engine`] starts and ends them.

mod agenda;
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
mod orphans;
mod owned;
mod perform;
mod placement;
mod places;
mod plan;
mod report;
mod selector;
mod spec;
mod told;
mod turned;
mod watches;
mod whose;

pub use contested::writers;
pub use defaults::SchemaDefaults;
pub use engines::{EngineKey, SyncEngines};
pub use health::EngineState;
pub use key::ObjectKey;
pub use keys::KeyRules;
pub use owned::{comparable, holds_updates, owned};
pub use placement::Placement;
pub use plan::{EngineMode, NamespaceState};
pub use report::tries;
pub use spec::{EngineContext, SchemaVersions, SyncSpec};
pub use whose::is_left_of_ours;
