//! The settings that reconciles read.

use std::time::Duration;

/// Settings from flags.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Number of keys that a user may have of a product that says nothing else.
    pub max_keys_per_user: usize,
    /// Time for which a key still works after its rotation.
    pub rotation_overlap: Duration,
}
