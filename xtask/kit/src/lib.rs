//! The parts that `xtask` and its benches have in common: the display, signals, and how services are built and started.

pub mod clusters;
pub mod display;
pub mod interrupt;
pub mod output;
pub mod services;
pub mod workspace;
