//! One line of a check.

use serde::Serialize;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Subject of the check, in a few words.
    pub name: String,
    /// Result; absent where it could not be found out, because of an earlier failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// Details of the result.
    pub detail: String,
    /// The remedy, in one line; empty unless the check failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cure: String,
    /// URL of the documentation.
    pub docs: String,
}

impl Check {
    /// A check that was made. `docs` is a file with a heading, such as `docs/konnector.md#rights`.
    pub fn new(
        name: impl Into<String>,
        result: Result<String, String>,
        cure: impl Into<String>,
        docs: impl Into<String>,
    ) -> Self {
        let ok = result.is_ok();
        let cure = if ok { String::new() } else { cure.into() };
        let detail = result.unwrap_or_else(|problem| problem);
        Self { name: name.into(), ok: Some(ok), detail, cure, docs: docs.into() }
    }

    /// A check that could not be made, and why.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>, docs: impl Into<String>) -> Self {
        Self { name: name.into(), ok: None, detail: why.into(), cure: String::new(), docs: docs.into() }
    }

    pub(super) fn line(&self) -> String {
        let Self { name, detail, cure, docs, .. } = self;
        match self.ok {
            Some(true) => format!("[+] {name}: {detail}\n"),
            Some(false) => format!("[-] {name}: {detail}\n    cure: {cure} ({docs})\n"),
            None => format!("[?] {name}: not checked: {detail}\n"),
        }
    }
}
