//! Credentials that are kept between calls of kubectl: one file each, for its owner only.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use portolan_core::digest::sha256_hex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ask::{Answer, Question};

/// The least time that a kept credential must have left.
const ENOUGH: SignedDuration = SignedDuration::from_secs(60);
/// More files than this are not looked through for ended ones.
const MAX_FILES: usize = 1000;

/// The file of one question.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
}

/// A kept credential that has not ended.
#[derive(Debug)]
pub struct Kept {
    pub answer: Answer,
    /// `true` if the credential has more than a moment left.
    pub lasts: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    token: String,
    expiration_timestamp: Timestamp,
}

impl Cache {
    /// Another URL, namespace, account or source token is another file. Its name tells none of them.
    pub fn new(directory: &Path, question: &Question) -> Self {
        let source = sha256_hex(question.token.expose_secret().as_bytes());
        let key = json!([question.url, question.namespace, question.account, source]).to_string();
        Self { path: directory.join(format!("{}.json", sha256_hex(key.as_bytes()))) }
    }

    /// Reads the file, unless its credential has ended, or others can read it.
    pub fn read(&self, now: Timestamp) -> Option<Kept> {
        let written = read(&self.path)?;
        let left = written.expiration_timestamp.duration_since(now);
        let body =
            json!({"status": {"token": written.token, "expirationTimestamp": written.expiration_timestamp}});
        let expires = Some(written.expiration_timestamp);
        let answer = Answer { token: SecretString::from(written.token), expires, body };
        left.is_positive().then_some(Kept { answer, lasts: left > ENOUGH })
    }

    /// Keeps an answer whose end is known, and removes what has ended.
    pub fn write(&self, answer: &Answer, now: Timestamp) -> io::Result<()> {
        let (Some(expires), Some(directory)) = (answer.expires, self.path.parent()) else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        remove_ended(directory, now);
        let written =
            Written { token: answer.token.expose_secret().to_owned(), expiration_timestamp: expires };
        let aside = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(serde_json::to_string(&written)?.as_bytes())?;
        fs::rename(&aside, &self.path)
    }

    /// Forgets it.
    pub fn remove(&self) {
        // It may not be there, which is what is wanted.
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Option<Written> {
    let mut file = File::open(path).ok()?;
    let for_others = file.metadata().ok()?.permissions().mode() & 0o077 != 0;
    if for_others {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn remove_ended(directory: &Path, now: Timestamp) {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_FILES);
    for path in files.map(|file| file.path()).filter(|path| is_ours(path)) {
        if read(&path).is_some_and(|written| written.expiration_timestamp <= now) {
            // Another call may have done it.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Returns `true` if a file has the name of one of ours: the directory may be somebody else's, too.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
    name.is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn question(url: &str, token: &str) -> Question {
        Question {
            url: url.to_owned(),
            token: SecretString::from(token),
            namespace: "n".to_owned(),
            account: "a".to_owned(),
            timeout: Duration::from_secs(1),
            authorities: None,
        }
    }

    fn answer(expires: i64) -> Answer {
        let expires = Some(Timestamp::from_second(expires).unwrap());
        Answer { token: SecretString::from("new"), expires, body: json!({}) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_credential_is_kept_for_its_owner_until_shortly_before_its_end() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(&home.path().join("a/b"), &question("u", "source"));
        assert!(cache.read(at(0)).is_none());
        cache.write(&answer(3600), at(0)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cache.path), mode(cache.path.parent().unwrap())), (0o600, 0o700));
        let kept = |now| cache.read(at(now)).map(|kept| kept.lasts);
        assert_eq!(
            (kept(0), kept(3539), kept(3540), kept(3600)),
            (Some(true), Some(true), Some(false), None)
        );
        let name = cache.path.file_name().unwrap().to_str().unwrap();
        assert!(!name.contains("source") && name.len() == 69);
        fs::set_permissions(&cache.path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(kept(0), None, "others can read it");
        cache.remove();
        assert!(!cache.path.exists());
    }

    #[test]
    fn every_question_has_a_file_of_its_own_and_ended_ones_go() {
        let home = tempfile::tempdir().unwrap();
        let caches = [("u", "s"), ("u", "t"), ("v", "s")]
            .map(|(url, token)| Cache::new(home.path(), &question(url, token)));
        for cache in &caches {
            cache.write(&answer(100), at(0)).unwrap();
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
        let ended = fs::read_to_string(&caches[1].path).unwrap();
        for (name, text) in [("package.json", ended.as_str()), (&format!("{}.json", "a".repeat(64)), "{}")] {
            fs::write(home.path().join(name), text).unwrap();
        }
        caches[0].write(&answer(1000), at(200)).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3, "what is not a credential of ours stays");
    }
}
