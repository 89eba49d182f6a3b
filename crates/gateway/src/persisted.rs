//! Persisted documents: queries that are files of the operator. A client names one by its id or by the hash of its bytes.

mod documents;
mod follow;
mod operations;

pub use self::{
    documents::{PersistedQueries, QueryReference},
    follow::{follow, read},
    operations::NamedOperation,
};
