//! The parts that a process waits for before it can do its work: the content of `/readyz`.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

/// Named parts of a process, each ready or not with a reason.
///
/// # Examples
///
/// ```
/// use portolan_runtime::readiness::Readiness;
///
/// let readiness = Readiness::default();
/// let cache = readiness.expect("cache", "waiting for the first list");
/// assert!(!readiness.is_ready());
/// cache.ready();
/// assert_eq!(readiness.report(), "[+] cache\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<RwLock<BTreeMap<String, Part>>>);

/// A part: what is missing, and what is to be known although nothing is.
#[derive(Clone, Debug, Default)]
struct Part {
    missing: Option<String>,
    note: Option<String>,
}

impl Readiness {
    /// Adds a part that is not ready yet, and why.
    pub fn expect(&self, part: &str, waiting_for: &str) -> ReadyHandle {
        let handle = ReadyHandle { readiness: self.clone(), part: part.to_owned() };
        handle.not_ready(waiting_for);
        handle
    }

    /// Returns `true` if every part is ready.
    pub fn is_ready(&self) -> bool {
        self.0.read().values().all(|part| part.missing.is_none())
    }

    /// One line per part: what is ready, and what is missing.
    pub fn report(&self) -> String {
        let parts = self.0.read();
        let line = |(name, part): (&String, &Part)| match (&part.missing, &part.note) {
            (None, None) => format!("[+] {name}\n"),
            (None, Some(note)) => format!("[+] {name}: {note}\n"),
            (Some(missing), _) => format!("[-] {name}: {missing}\n"),
        };
        parts.iter().map(line).collect()
    }
}

/// Sets the state of one part.
#[derive(Clone, Debug)]
pub struct ReadyHandle {
    readiness: Readiness,
    part: String,
}

impl ReadyHandle {
    /// The part can do its work.
    pub fn ready(&self) {
        self.readiness.0.write().insert(self.part.clone(), Part::default());
    }

    /// The part can do its work, and somebody should know this of it.
    pub fn ready_but(&self, note: &str) {
        let part = Part { missing: None, note: Some(note.to_owned()) };
        self.readiness.0.write().insert(self.part.clone(), part);
    }

    /// Removes the part from the report.
    pub fn forget(&self) {
        self.readiness.0.write().remove(&self.part);
    }

    /// The part cannot do its work, because of `missing`.
    pub fn not_ready(&self, missing: &str) {
        self.readiness
            .0
            .write()
            .insert(self.part.clone(), Part { missing: Some(missing.to_owned()), note: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_part_is_enough_not_to_be_ready() {
        let readiness = Readiness::default();
        let (caches, lease) = (readiness.expect("caches", "first list"), readiness.expect("lease", "leader"));
        caches.ready();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.report(), "[+] caches\n[-] lease: leader\n");
        lease.ready();
        assert!(readiness.is_ready());
        caches.not_ready("watch broke");
        assert!(!readiness.is_ready());
        caches.ready_but("one is old");
        assert!(readiness.is_ready());
        assert_eq!(readiness.report(), "[+] caches: one is old\n[+] lease\n");
        caches.forget();
        assert_eq!(readiness.report(), "[+] lease\n");
    }
}
