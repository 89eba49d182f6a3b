//! Reads from memory: kinds that are asked for again and again are kept, filled with the gateway's own credential, and
//! shown to callers whom the API server allows to read them.

mod budget;
mod cluster;
mod fill;
mod held;
mod kept;
mod object;
mod owned;
mod page;
mod read;
mod reading;
mod review;
mod run;
mod selector;
#[cfg(test)]
mod tests;

pub use self::{
    budget::MemoryBudget,
    cluster::{ClusterMemories, ClusterMemory},
    read::{FoundPage, OWNERS, get, list},
    reading::{MemoryReading, MemoryWishes, untold},
    selector::ObjectSelector,
};
