//! Sessions of browsers: a sealed cookie, and nothing on the server.

pub mod cookies;
pub mod demo;
pub mod keep;
pub mod oidc;
pub mod open;
pub mod renewals;
pub mod seal;
