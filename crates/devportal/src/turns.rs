//! Turns: requests of one user for one product are decided one after another.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use kube::ResourceExt as _;
use portolan_core::api::devportal::APIKey;
use tokio::sync::{Mutex, MutexGuard};

/// Number of locks, many more than workers; users that share one wait for each other, and nothing else.
const LOCKS: u64 = 1024;

/// Locks by user and product.
#[derive(Debug)]
pub struct TurnLocks(Box<[Mutex<()>]>);

impl Default for TurnLocks {
    fn default() -> Self {
        Self((0..LOCKS).map(|_| Mutex::default()).collect())
    }
}

impl TurnLocks {
    /// Waits for the turn of a key. It ends when the guard is dropped.
    pub async fn take(&self, key: &APIKey) -> MutexGuard<'_, ()> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let spec = &key.spec;
        let hash = hasher.hash_one((key.namespace(), &spec.api_product_ref.name, &spec.requested_by.user_id));
        let place = usize::try_from(hash % LOCKS).unwrap_or_default();
        self.0[place].lock().await
    }
}
