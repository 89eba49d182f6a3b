//! The base of tests, benches and `cargo xtask up`: control planes that are real, and the tools to put load on them
//! and to see what happened.
//!
//! [`ControlPlane`] starts etcd, kube-apiserver and kube-controller-manager as child processes on free
//! loopback ports, with an audit log. [`ServiceProcess`] runs one of our own binaries beside them, as a
//! `ServiceAccount` with exactly the rules of its chart. Both take everything with them when they are
//! dropped and when the process that started them dies, whatever it dies of.

pub mod audit;
pub mod binaries;
pub mod cert_manager;
pub mod checker;
pub mod clients;
pub mod command;
pub mod control_plane;
pub mod eventually;
pub mod forge;
pub mod hostile;
mod http;
pub mod isolated;
pub mod issuer;
pub mod kubeconfig;
pub mod load;
pub mod login;
pub mod node;
pub mod percentiles;
mod pki;
pub mod ports;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod raw;
pub mod real_crds;
pub mod relay;
pub mod self_signed;
pub mod service;
pub mod toystore;
pub mod workdir;
pub mod workload;

pub use audit::{AuditEntry, AuditLog};
pub use binaries::ControlPlaneBinaries;
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use eventually::{eventually, watch_until, watch_until_gone};
pub use percentiles::{Percentiles, table};
pub use progress::{PlainLines, Progress, Silent};
pub use service::{Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess};
