//! Keeps what a provider claims beside the bound resources in sync: `ConfigMap`s, Secrets and `ServiceAccount`s, from
//! the side that owns each to the other.
//!
//! One engine per binding and claimed resource. [`watches`] follows both sides as [`scope`] says, and feeds
//! [`index`], which holds identities and digests, never content. [`references`] counts which objects bound
//! objects name. [`plan`] looks at one object on both sides and names the next step; [`perform`] takes it. [`fate`]
//! knows whether an absent original was deleted.

mod body;
mod engine;
mod engines;
mod fate;
mod health;
mod index;
mod perform;
mod plan;
mod references;
mod report;
mod scope;
mod seen;
mod side;
mod trouble;
mod watches;

pub use engine::{ClaimContext, ClaimSpec};
pub use engines::{ClaimEngines, ClaimKey};
pub use health::ClaimState;
