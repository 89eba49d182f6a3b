//! The part that Portolan's services agree on: CRD types, the kinds of others, conditions, object names, the restricted
//! kubeconfig, and tokens with the reviews that ask about them.
//!
//! Nothing here performs IO: no client, no clock, no environment, no async runtime. Time is passed in.

pub mod api;
pub mod auth;
pub mod claims;
pub mod condition;
pub mod crds;
pub mod digest;
pub mod duration;
pub mod foreign;
pub mod groups;
pub mod json_text;
pub mod kubeconfig;
mod moment;
pub mod names;
pub mod object;
pub mod outline;
pub mod pattern;
pub mod schema_document;
pub mod sketch;
pub mod standard_condition;
pub mod text;
