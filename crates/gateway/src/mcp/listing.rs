//! The tools of a cluster as they were listed last.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde_json::Value;

use crate::persisted::NamedOperation;

/// The tools of a cluster as they were listed last. They are the same as long as its endpoint and the documents are.
#[derive(Debug, Default)]
pub struct ToolListing(Mutex<Option<(Weak<[NamedOperation]>, Value)>>);

impl ToolListing {
    /// Returns the last list if it is of these documents, or makes another one.
    pub fn of(&self, known: &Arc<[NamedOperation]>, make: impl FnOnce() -> Value) -> Value {
        let mut last = self.0.lock();
        match &*last {
            Some((of, tools)) if of.ptr_eq(&Arc::downgrade(known)) => tools.clone(),
            _ => {
                let tools = make();
                *last = Some((Arc::downgrade(known), tools.clone()));
                tools
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_made_once_for_the_same_documents() {
        let known = |tool: &str| -> Arc<[NamedOperation]> {
            let known = NamedOperation {
                tool: tool.to_owned(),
                description: None,
                id: tool.to_owned(),
                operation: None,
                text: "{a}".into(),
            };
            [known].into()
        };
        let (listing, one, other) = (ToolListing::default(), known("a"), known("a"));
        let mut made = 0;
        for documents in [&one, &one, &other, &other, &one] {
            let listed = listing.of(documents, || {
                made += 1;
                json!(made)
            });
            assert_eq!(listed, json!(made));
        }
        assert_eq!(made, 3, "documents that were read again may differ");
    }
}
