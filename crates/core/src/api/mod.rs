//! The custom resources that Portolan serves or reads, one module per API group.

pub mod devportal;
pub mod gateway;
pub mod kubebind;
