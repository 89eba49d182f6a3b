//! Persisted documents as tools of the Model Context Protocol: pure, but for what `http` does with it.
//!
//! Two eras of the protocol are spoken. In the older one, `initialize` comes first; from 2026-07-28 on, every message says
//! its version. Nothing is remembered between messages in either.

mod envelope;
mod inputs;
mod listing;
mod message;
mod tools;

pub use self::{
    listing::ToolListing,
    message::{ClientMessage, MessageAnswer, MessageFault, ProtocolEra, initialized},
    tools::{find, listed, unknown_argument},
};
