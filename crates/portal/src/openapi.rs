//! OpenAPI documents of products, from 2.0 to 3.1: an index, and one operation at a time.

pub(crate) mod document;
pub(crate) mod index;
pub(crate) mod markdown;
pub(crate) mod operation;
pub(crate) mod schema;
pub(crate) mod text;
