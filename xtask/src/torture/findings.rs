//! Findings against the rules, under the names that are reported.

use std::fmt;

/// A rule, by the name of what breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// An object of a consumer, or a copy, that went though nobody has deleted the object.
    Lost,
    /// A field of a consumer's object that changed without its user.
    Changed,
    /// An object on the provider that is not ours, and was written or deleted by us.
    Foreign,
    /// An object that is not the same on both sides once everything is quiet.
    Differ,
    /// A write of ours when there was nothing left to do.
    LateWrites,
}

pub(super) const NAMES: [Name; 5] =
    [Name::Lost, Name::Changed, Name::Foreign, Name::Differ, Name::LateWrites];

impl Name {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Changed => "changed",
            Self::Foreign => "foreign",
            Self::Differ => "differ",
            Self::LateWrites => "late_writes",
        }
    }

    /// One line for a person.
    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Lost => "objects, and copies, that went though nobody had deleted the object",
            Self::Changed => "fields of a consumer's objects that changed without their user",
            Self::Foreign => "writes on the provider to what is not ours",
            Self::Differ => "objects that are not the same on both sides in the end",
            Self::LateWrites => "writes of ours when there was nothing left to do",
        }
    }
}

/// One thing that should not have been.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) name: Name,
    pub(super) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.as_str(), self.text)
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, name: Name, text: impl fmt::Display) {
        self.0.push(Finding { name, text: text.to_string() });
    }

    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(super) fn without(mut self, name: Name) -> Self {
        self.0.retain(|finding| finding.name != name);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self, name: Name) -> usize {
        self.iter().filter(|finding| finding.name == name).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }
}
