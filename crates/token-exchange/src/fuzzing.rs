//! The entry point that `fuzz/` calls.

use std::collections::BTreeMap;

use crate::binding::AccountBindings;

/// Reads the annotations of an account, and returns the complaints about them.
pub fn bindings(annotations: &BTreeMap<String, String>) -> Vec<String> {
    AccountBindings::of(Some(annotations)).broken.into_iter().map(|broken| broken.problem).collect()
}
