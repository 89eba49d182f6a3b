//! Sessions of browsers: a sealed cookie, and nothing on the server.

pub(crate) mod cookies;
pub(crate) mod demo;
pub(crate) mod keep;
pub(crate) mod oidc;
pub(crate) mod open;
pub(crate) mod seal;
