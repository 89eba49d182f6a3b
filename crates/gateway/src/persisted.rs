//! Persisted documents: queries that are files of the operator. A client names one by its id or by the hash of its bytes.

mod documents;
mod follow;
mod operations;

pub use self::{
    documents::{Named, Persisted},
    follow::{follow, read},
    operations::Known,
};
