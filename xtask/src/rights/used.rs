//! What audit logs say that services have asked for, and were allowed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use portolan_testkit::AuditEntry;

use super::granted::Right;

/// Requests that differ in what allows them.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeSet<Request>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    account: String,
    verb: String,
    group: String,
    resource: String,
    /// Of the object, also where a list or watch was limited to it.
    name: String,
}

impl Used {
    /// Reads every log of a folder, and says how many there were.
    pub(super) fn read(&mut self, folder: &Path) -> Result<usize> {
        let mut logs = 0;
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                logs += 1;
                let lines = BufReader::new(File::open(&path)?).lines();
                // The last line of a server that was killed may be half of one.
                self.0.extend(lines.map_while(Result::ok).filter_map(|line| request(&line)));
            }
        }
        Ok(logs)
    }

    /// Whether a service has made use of a right.
    pub(super) fn has(&self, service: &str, right: &Right) -> bool {
        let fits = |request: &&Request| {
            let named = right.names.is_empty() || right.names.contains(&request.name);
            let of_right = (&request.verb, &request.group, &request.resource)
                == (&right.verb, &right.group, &right.resource);
            request.account == service && of_right && named
        };
        self.0.iter().any(|request| fits(&request))
    }
}

fn request(line: &str) -> Option<Request> {
    let entry: AuditEntry = serde_json::from_str(line).ok()?;
    let account = entry.user.username.strip_prefix("system:serviceaccount:")?.split_once(':')?.1.to_owned();
    if matches!(entry.code(), 401 | 403) {
        return None;
    }
    let name = || entry.request_uri.split_once("metadata.name%3D").map(|(_, rest)| rest.to_owned());
    let object = entry.object_ref.as_ref()?;
    let selected = name().map(|rest| rest.split('&').next().unwrap_or_default().to_owned());
    let subresource =
        if object.subresource.is_empty() { String::new() } else { format!("/{}", object.subresource) };
    Some(Request {
        account,
        verb: entry.verb.clone(),
        group: object.api_group.clone(),
        resource: format!("{}{subresource}", object.resource),
        name: if object.name.is_empty() { selected.unwrap_or_default() } else { object.name.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, name: &str, uri: &str, code: u16) -> String {
        format!(
            r#"{{"auditID":"1","verb":"{verb}","user":{{"username":"system:serviceaccount:ns:konnector"}},
            "objectRef":{{"resource":"secrets","namespace":"ns","name":"{name}"}},"responseStatus":{{"code":{code}}},
            "requestURI":"{uri}","requestReceivedTimestamp":"2026-01-01T00:00:00Z"}}"#
        )
        .replace('\n', " ")
    }

    fn right(verb: &str, names: &[&str]) -> Right {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Right { verb: verb.into(), group: String::new(), resource: "secrets".into(), names }
    }

    #[test]
    fn what_was_allowed_counts_and_names_do() {
        let lines = [
            line("get", "a", "/api", 200),
            line("watch", "", "/api?fieldSelector=metadata.name%3Db&watch=true", 200),
            line("list", "", "/api", 403),
        ];
        let used = Used(lines.iter().filter_map(|line| request(line)).collect());
        assert_eq!(used.0.len(), 2);
        assert!(used.has("konnector", &right("get", &[])) && used.has("konnector", &right("get", &["a"])));
        assert!(used.has("konnector", &right("watch", &["b"])));
        for (service, right) in [
            ("konnector", right("get", &["b"])),
            ("konnector", right("list", &[])),
            ("provider", right("get", &[])),
        ] {
            assert!(!used.has(service, &right), "{service}: {right}");
        }
    }
}
