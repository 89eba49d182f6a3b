//! The directory: files are written, renamed and removed in an order that leaves whole files and a correct index after
//! a crash at any point.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use portolan_core::schema_document::{FILE_SUFFIX, INDEX_FILE};

use super::index::Index;
use crate::documents::{DocumentSnapshot, SchemaDocument};

/// Prefix of the name of a file that is not complete yet.
const PREFIX_OF_UNFINISHED: &str = ".portolan-";
const SUFFIX_OF_UNFINISHED: &str = ".tmp";

/// The action of whoever removes a file.
pub(super) const REMOVE: &str = "remove";

/// Reasons why a document is not in its file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Somebody else's file is in the way.
    #[error(
        "{0:?} exists and was not written by the listener: move it away, or give the cluster another path"
    )]
    NotOurs(PathBuf),
    /// The file system refuses it.
    #[error("failed to {action} {path:?}")]
    Failed {
        /// The attempted action.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Failed { action, path, source }
}

/// The directory of documents.
pub(super) struct DocumentDirectory {
    path: PathBuf,
    /// None until it has been read.
    index: Option<Index>,
    /// The files that have been written or compared.
    written: BTreeMap<String, WrittenFile>,
}

/// A file with its document.
#[derive(Debug, PartialEq, Eq)]
struct WrittenFile {
    digest: String,
    /// Changes with the file, whoever changes it. None if it is not there.
    stamp: Option<[i128; 4]>,
}

impl DocumentDirectory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, index: None, written: BTreeMap::new() }
    }

    /// Writes what has changed, and removes what is gone. Returns the result for each document.
    pub(super) fn bring_up_to_date(
        &mut self,
        snapshot: &DocumentSnapshot,
    ) -> Result<BTreeMap<String, Result<(), FileError>>, FileError> {
        self.open()?;
        let results =
            snapshot.documents.values().map(|document| (document.name().to_owned(), self.write(document)));
        let mut results: BTreeMap<_, _> = results.collect();
        results.extend(self.remove_others(snapshot));
        Ok(results)
    }

    fn open(&mut self) -> Result<(), FileError> {
        if self.index.is_some() && self.path.is_dir() {
            return Ok(());
        }
        self.written.clear();
        fs::create_dir_all(&self.path).map_err(failed("create the directory", &self.path))?;
        self.sweep()?;
        let path = self.path.join(INDEX_FILE);
        let index = match fs::read(&path) {
            // A damaged index does not say which files are ours: then none is.
            Ok(bytes) => Index::read(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), "the index of our files cannot be read, so that none of them counts as ours: {error}");
                Index::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        self.index = Some(index);
        Ok(())
    }

    /// Removes files that a crash has left incomplete.
    fn sweep(&self) -> Result<(), FileError> {
        let entries = fs::read_dir(&self.path).map_err(failed("list", &self.path))?;
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let is_unfinished = name.to_str().is_some_and(|name| {
                name.starts_with(PREFIX_OF_UNFINISHED) && name.ends_with(SUFFIX_OF_UNFINISHED)
            });
            if is_unfinished {
                // The next start tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn write(&mut self, document: &SchemaDocument) -> Result<(), FileError> {
        let name = format!("{}{FILE_SUFFIX}", document.name());
        let target = self.path.join(&name);
        let current = || WrittenFile { digest: document.digest.clone(), stamp: stamp(&target) };
        if self.written.get(&name).is_some_and(|written| *written == current()) {
            return Ok(());
        }
        let owner = self.index.as_ref().and_then(|index| index.documents.get(&name));
        let (is_ours, has_owner) = (owner.is_some(), owner.is_some_and(|owner| **owner == *document.access));
        if !is_ours && target.symlink_metadata().is_ok() {
            return Err(FileError::NotOurs(target));
        }
        if !has_owner {
            // Before the file exists: otherwise nobody would know later whose it is.
            self.change_index(|documents| _ = documents.insert(name.clone(), document.access.to_string()))?;
        }
        self.replace(&name, |file| document.write(file))?;
        self.written.insert(name, current());
        Ok(())
    }

    /// Removes what is gone. Returns what cannot be removed; it holds up nothing else.
    fn remove_others(&mut self, snapshot: &DocumentSnapshot) -> BTreeMap<String, Result<(), FileError>> {
        let mut left = BTreeMap::new();
        if !snapshot.listed {
            return left;
        }
        let ours = self.index.as_ref().map(|index| index.documents.clone()).unwrap_or_default();
        for (name, access) in &ours {
            let document = name.strip_suffix(FILE_SUFFIX).unwrap_or(name);
            // The document of a cluster that cannot be reached at present is kept.
            if snapshot.documents.contains_key(document) || snapshot.keeps(document, access) {
                continue;
            }
            if let Err(failure) = self.remove(name) {
                left.insert(document.to_owned(), Err(failure));
            }
        }
        left
    }

    fn remove(&mut self, name: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "removed the document of a cluster that is gone");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(REMOVE, &path)(error)),
        }
        self.written.remove(name);
        self.change_index(|documents| _ = documents.remove(name))
    }

    fn change_index(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<(), FileError> {
        let mut index = self.index.clone().unwrap_or_default();
        change(&mut index.documents);
        self.replace(INDEX_FILE, |file| file.write_all(&index.to_bytes()))?;
        self.index = Some(index);
        Ok(())
    }

    /// Writes a file aside, and moves it into place if it differs from the current one.
    fn replace(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let target = self.path.join(name);
        let stem = name.trim_start_matches('.');
        let aside = self.path.join(format!("{PREFIX_OF_UNFINISHED}{stem}{SUFFIX_OF_UNFINISHED}"));
        let put = || -> io::Result<()> {
            // One that a crash has left may have other permissions.
            if let Err(error) = fs::remove_file(&aside)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            let mut file = BufWriter::with_capacity(64 * 1024, file);
            write(&mut file)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            if is_same(&aside, &target)? {
                return fs::remove_file(&aside);
            }
            fs::rename(&aside, &target)?;
            File::open(&self.path)?.sync_all()
        };
        put().map_err(|error| {
            // If this fails, the next start removes it.
            let _ = fs::remove_file(&aside);
            failed("write", &target)(error)
        })
    }
}

fn stamp(path: &Path) -> Option<[i128; 4]> {
    let known = path.symlink_metadata().ok()?;
    Some([known.ino().into(), known.size().into(), known.ctime().into(), known.ctime_nsec().into()])
}

/// Returns `true` if both files have the same content, and the old one the right permissions.
fn is_same(new: &Path, old: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(known) = fs::symlink_metadata(old) else { return Ok(false) };
    if !known.is_file()
        || known.permissions().mode() & 0o777 != 0o600
        || known.len() != fs::metadata(new)?.len()
    {
        return Ok(false);
    }
    Ok(fs::read(new)? == fs::read(old)?)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{discovery::DiscoveredApi, documents::DocumentStore};

    fn documents(paths: &[&str]) -> DocumentStore {
        let documents = DocumentStore::default();
        for path in paths {
            let metadata = serde_json::json!({"host": "https://h", "path": path, "auth": {"type": "token", "token": "YQ=="}});
            documents.put(path, serde_json::from_value(metadata).unwrap(), &DiscoveredApi::default());
        }
        let paths = paths.iter().map(|path| ((*path).to_owned(), (*path).to_owned())).collect();
        documents.set_paths(paths, true);
        documents
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn bring(folder: &Path, paths: &[&str]) -> BTreeMap<String, Result<(), FileError>> {
        DocumentDirectory::new(folder.to_owned()).bring_up_to_date(&documents(paths).snapshot()).unwrap()
    }

    #[test]
    fn files_are_for_us_alone_and_rewritten_only_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        bring(folder.path(), &["a"]);
        let first = fs::metadata(&file).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o600);
        bring(folder.path(), &["a"]);
        assert_eq!(
            fs::metadata(&file).unwrap().ino(),
            first.ino(),
            "the same is not written again after a restart"
        );
        fs::write(&file, "{\"definit").unwrap();
        bring(folder.path(), &["a"]);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&fs::read(&file).unwrap()).is_ok(),
            "half a file is replaced"
        );
        assert_eq!(names(folder.path()), set(&["a.json", INDEX_FILE]));
    }

    #[test]
    fn what_is_gone_goes_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        bring(folder.path(), &["a", "b"]);
        fs::write(folder.path().join("foreign.json"), "x").unwrap();
        fs::write(folder.path().join(".portolan-a.json.tmp"), "half").unwrap();
        bring(folder.path(), &["b"]);
        assert_eq!(names(folder.path()), set(&["b.json", "foreign.json", INDEX_FILE]));
        let results = bring(folder.path(), &["b", "foreign"]);
        assert!(matches!(results["foreign"], Err(FileError::NotOurs(_))), "{results:?}");
        assert_eq!(fs::read(folder.path().join("foreign.json")).unwrap(), b"x");
        assert!(results["b"].is_ok());
    }

    #[test]
    fn what_somebody_takes_away_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("definitions");
        let (file, snapshot) = (folder.join("a.json"), documents(&["a"]).snapshot());
        let mut directory = DocumentDirectory::new(folder.clone());
        for taken in ["nothing", "file", "content", "folder"] {
            match taken {
                "file" => fs::remove_file(&file).unwrap(),
                "content" => fs::write(&file, "{}").unwrap(),
                "folder" => fs::remove_dir_all(&folder).unwrap(),
                _ => {}
            }
            let results = directory.bring_up_to_date(&snapshot).unwrap();
            assert!(results["a"].is_ok(), "{taken}: {results:?}");
            assert!(fs::read_to_string(&file).unwrap().contains("https://h"));
            assert_eq!(names(&folder), set(&["a.json", INDEX_FILE]));
        }
    }

    #[test]
    fn what_cannot_be_removed_holds_up_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        bring(folder.path(), &["a", "b", "gone"]);
        let obstacle = folder.path().join("a.json");
        fs::remove_file(&obstacle).unwrap();
        fs::create_dir(&obstacle).unwrap();
        let results = bring(folder.path(), &["b"]);
        assert!(results["b"].is_ok() && results["a"].is_err(), "{results:?}");
        assert_eq!(names(folder.path()), set(&["a.json", "b.json", INDEX_FILE]));
        fs::remove_dir(&obstacle).unwrap();
        assert!(bring(folder.path(), &["b"]).values().all(Result::is_ok));
    }

    #[test]
    fn a_cluster_without_a_document_keeps_its_last_one() {
        let folder = tempfile::tempdir().unwrap();
        bring(folder.path(), &["down"]);
        let without = DocumentStore::default();
        without.set_paths([("down".to_owned(), "down".to_owned())].into(), true);
        DocumentDirectory::new(folder.path().to_owned()).bring_up_to_date(&without.snapshot()).unwrap();
        assert!(names(folder.path()).contains("down.json"));
        let unknown = DocumentStore::default();
        DocumentDirectory::new(folder.path().to_owned()).bring_up_to_date(&unknown.snapshot()).unwrap();
        assert!(names(folder.path()).contains("down.json"), "nothing goes before somebody has looked");
        without.set_paths([("heir".to_owned(), "down".to_owned())].into(), true);
        DocumentDirectory::new(folder.path().to_owned()).bring_up_to_date(&without.snapshot()).unwrap();
        assert!(!names(folder.path()).contains("down.json"));
    }

    #[test]
    fn a_spoilt_index_makes_nothing_ours() {
        let folder = tempfile::tempdir().unwrap();
        bring(folder.path(), &["a"]);
        fs::write(folder.path().join(INDEX_FILE), "nonsense").unwrap();
        let results = bring(folder.path(), &["a"]);
        assert!(matches!(results["a"], Err(FileError::NotOurs(_))));
    }
}
