//! The audit log of an API server, read as it grows: what was really asked of it, and by whom.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

/// Names the directory of audit logs that outlive their API servers: `cargo xtask rights` reads them.
const KEPT: &str = "PORTOLAN_AUDIT_LOGS";

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Makes `path` a link to a new file in the directory for kept logs, if the environment names one.
pub(crate) fn keep_elsewhere(path: &Path, name: &str) -> Result<()> {
    let Some(folder) = std::env::var_os(KEPT).filter(|folder| !folder.is_empty()).map(PathBuf::from) else {
        return Ok(());
    };
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let log = tempfile::Builder::new().prefix(&format!("{name}-")).suffix(".log").tempfile_in(&folder)?;
    let (_, log) = log.keep().context("cannot keep the audit log")?;
    std::os::unix::fs::symlink(log.canonicalize()?, path).context("cannot link the audit log")
}

/// One request, as the API server saw it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    #[serde(rename = "auditID")]
    id: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// User who asked.
    pub user: AuditUser,
    /// Object of the request; absent for a path that is no resource.
    pub object_ref: Option<ObjectRef>,
    /// The answer; absent while a watch is open.
    pub response_status: Option<ResponseStatus>,
    /// The path and query.
    #[serde(rename = "requestURI", default)]
    pub request_uri: String,
    /// The `User-Agent` header.
    #[serde(default)]
    pub user_agent: String,
    /// When the request came in.
    #[serde(rename = "requestReceivedTimestamp")]
    pub received: Timestamp,
    /// Body of the request, where the policy keeps bodies.
    #[serde(default)]
    pub request_object: Option<Value>,
    /// Body of the answer, where the policy keeps bodies: the object as it is then, or a `Status`.
    #[serde(default)]
    pub response_object: Option<Value>,
}

/// User of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// The user's name, for instance `system:serviceaccount:portolan:konnector`.
    #[serde(default)]
    pub username: String,
}

/// Object of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// The plural.
    pub resource: String,
    /// Empty for cluster-scoped resources and for requests over all namespaces.
    pub namespace: String,
    /// Empty for collections, and for a `create`.
    pub name: String,
    /// For instance `status`.
    pub subresource: String,
    /// Empty for the core group.
    pub api_group: String,
}

/// The answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// The HTTP status.
    pub code: u16,
}

impl AuditEntry {
    /// Returns `true` if the request asked for a change.
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }

    /// Returns `true` if the request is about a lease: leader election writes those all the time.
    pub fn is_lease(&self) -> bool {
        self.object_ref.as_ref().is_some_and(|object| object.resource == "leases")
    }

    /// The status of the answer; 0 while there is none.
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        let path = &self.request_uri;
        format!("{} {} {} {path} -> {}", self.received, self.user.username, self.verb, self.code())
    }
}

/// A place in the log, from [`AuditLog::mark`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(usize);

/// Number of requests by (verb, resource, subresource).
pub type Summary = BTreeMap<(String, String, String), usize>;

/// The audit log of one API server. Clones share what was read.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    offset: u64,
    rest: Vec<u8>,
    entries: Vec<AuditEntry>,
    seen: HashSet<String>,
}

impl AuditLog {
    /// Reads the file at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, state: Arc::default() }
    }

    /// The place after the newest entry.
    pub fn mark(&self) -> Result<Mark> {
        let mut state = self.state.lock();
        self.read_on(&mut state)?;
        Ok(Mark(state.entries.len()))
    }

    /// The entries after `mark`. `Mark::default()` is the beginning.
    pub fn entries_since(&self, mark: Mark) -> Result<Vec<AuditEntry>> {
        let mut state = self.state.lock();
        self.read_on(&mut state)?;
        Ok(state.entries.get(mark.0..).unwrap_or_default().to_vec())
    }

    /// The entries after `mark`, which then stands behind the last of them: nothing that comes meanwhile is missed.
    pub fn take_since(&self, mark: &mut Mark) -> Result<Vec<AuditEntry>> {
        let entries = self.entries_since(*mark)?;
        mark.0 += entries.len();
        Ok(entries)
    }

    /// The writes of `user` after `mark`; those of leases only when asked for.
    pub fn writes_by_user(&self, user: &str, mark: Mark, leases: bool) -> Result<Vec<AuditEntry>> {
        let mut entries = self.entries_since(mark)?;
        entries
            .retain(|entry| entry.user.username == user && entry.is_write() && (leases || !entry.is_lease()));
        Ok(entries)
    }

    /// All writes of `user` except those of leases.
    pub fn writes(&self, user: &str) -> Result<Vec<AuditEntry>> {
        self.writes_by_user(user, Mark::default(), false)
    }

    /// Waits until the log has not grown for `quiet`, at most ten times as long: an entry is written after
    /// its answer was sent, and what a controller does about it comes later still.
    pub async fn settled(&self, quiet: Duration) -> Result<()> {
        let start = Instant::now();
        let (mut last, mut since) = (self.mark()?.0, start);
        while since.elapsed() < quiet && start.elapsed() < quiet * 10 {
            tokio::time::sleep(quiet.div_f32(5.0)).await;
            let now = self.mark()?.0;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    fn read_on(&self, state: &mut State) -> Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.with_context(|| format!("cannot open {}", self.path.display()))?,
        };
        file.seek(SeekFrom::Start(state.offset))?;
        let mut fresh = std::mem::take(&mut state.rest);
        state.offset += u64::try_from(file.read_to_end(&mut fresh)?)?;
        state.take_lines(fresh)
    }
}

impl State {
    /// Takes the whole lines of `fresh`; a line that is still being written waits for the next time.
    fn take_lines(&mut self, mut fresh: Vec<u8>) -> Result<()> {
        let whole = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        self.rest = fresh.split_off(whole);
        for line in fresh.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: AuditEntry = serde_json::from_slice(line).context("not an audit event")?;
            // A watch has an event for its begin and one for its end, under one id.
            if entry.verb != "watch" || self.seen.insert(entry.id.clone()) {
                self.entries.push(entry);
            }
        }
        Ok(())
    }
}

/// Counts entries by what was done to what.
pub fn summary(entries: &[AuditEntry]) -> Summary {
    let mut counts = Summary::new();
    for entry in entries {
        let object = entry.object_ref.clone().unwrap_or_default();
        *counts.entry((entry.verb.clone(), object.resource, object.subresource)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
