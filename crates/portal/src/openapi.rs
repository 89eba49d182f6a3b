//! OpenAPI documents of products, from 2.0 to 3.1: an index, and one operation at a time.

pub mod document;
pub mod index;
mod length;
pub mod markdown;
pub mod operation;
pub mod schema;
pub mod text;
