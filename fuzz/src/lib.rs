//! Entry points that read what strangers send, each with what must hold whatever they send.
//!
//! `cargo fuzz run TARGET --features libfuzzer` looks for inputs for as long as it runs; what it finds goes to
//! `corpus/TARGET`. The plain tests here read the corpus, and some thousand mutations of it.

use std::collections::BTreeMap;

use portolan_core::{
    auth::{IssuerKeys, SigningAlgorithm, UnverifiedToken},
    kubeconfig,
};

/// Longer than any message of ours: an error that grows with its input lets strangers fill the log.
const MAX_MESSAGE: usize = 1024;

/// Panics where a message has grown with what it is about.
fn is_short(message: &str) {
    assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
}

/// A token as a caller sends it.
///
/// # Panics
/// Where a token that was taken apart is not the text that came.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match UnverifiedToken::parse(text) {
        Ok(token) => assert!(text.contains(token.text()), "another text than came"),
        Err(refusal) => is_short(&refusal.to_string()),
    }
}

/// A key set as an issuer publishes it.
///
/// # Panics
/// Where a set without keys counts as one.
pub fn jwks(data: &[u8]) {
    let algorithms: Vec<_> =
        ["RS256", "ES256", "EdDSA"].into_iter().filter_map(SigningAlgorithm::parse).collect();
    match IssuerKeys::parse(data, &algorithms) {
        Ok(keys) => assert!(!keys.is_empty(), "no key is usable"),
        Err(error) => is_short(&error.to_string()),
    }
}

/// A kubeconfig as it is in a Secret.
///
/// # Panics
/// Where one without a server is read.
pub fn kubeconfig(data: &[u8]) {
    match kubeconfig::parse(data) {
        Ok(read) => assert!(!read.server.is_empty(), "no server"),
        Err(error) => is_short(&error.to_string()),
    }
}

/// A `TokenReview` in protobuf.
pub fn protobuf(data: &[u8]) {
    if let Err(error) = portolan_token_service::fuzzing::review(data) {
        is_short(&error);
    }
}

/// Annotations of a `ServiceAccount`: a line each, key and value divided by a tab.
///
/// # Panics
/// Where an annotation is neither read nor refused.
pub fn annotations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    let annotations: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for problem in portolan_token_exchange::fuzzing::bindings(&annotations) {
        is_short(&problem);
    }
}

/// A selection of the gateway in the first line, and an answer of an API server behind it.
///
/// # Panics
/// Where something else is selected than from the values that the answer means.
pub fn scanner(data: &[u8]) {
    assert_eq!(portolan_gateway::fuzzing::selection(data), Ok(()));
}

#[cfg(test)]
mod tests;
