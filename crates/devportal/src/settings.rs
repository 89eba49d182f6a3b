//! The settings that reconciles read.

use std::time::Duration;

/// What flags decide.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Number of keys that a user may have of a product that says nothing else.
    pub(crate) max_keys_per_user: usize,
    /// Time for which a key still works after its rotation.
    pub(crate) rotation_overlap: Duration,
}
