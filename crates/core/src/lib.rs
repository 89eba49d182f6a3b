//! What Portolan's services agree on: CRD types, conditions, object names and the restricted kubeconfig.
//!
//! Nothing here performs IO: no client, no clock, no environment, no async runtime. Time is passed in.

pub mod api;
pub mod condition;
pub mod crds;
pub mod digest;
pub mod kubeconfig;
pub mod names;
