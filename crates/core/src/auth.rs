//! Bearer tokens of clusters: what may be read from them before and after their signature is checked, and the
//! TokenReview that asks about them.
//!
//! The order is fixed by types: [`UnverifiedToken`] gives only what is needed to find a key, [`IssuerKeys`] checks the
//! signature, and [`TokenClaims`] are read once, strictly, from a token whose signature was right.

pub mod algorithm;
pub mod audience;
pub mod claims;
pub mod compact;
pub mod credential;
#[cfg(test)]
#[path = "../../testkit/src/forge.rs"]
mod forge;
pub mod identity;
pub mod jwk;
pub mod keys;
pub mod members;
pub mod refusal;
pub mod review;
#[cfg(test)]
mod tests;
pub mod words;

pub use algorithm::SigningAlgorithm;
pub use claims::TokenClaims;
pub use compact::UnverifiedToken;
pub use credential::OwnToken;
pub use identity::UserIdentity;
pub use keys::IssuerKeys;
pub use refusal::TokenRefusal;
pub use review::{ReviewAnswer, ReviewRequest, ReviewVersion};
