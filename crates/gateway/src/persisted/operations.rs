//! Pure: the operations of persisted documents, each under a name that is its own.

use std::{collections::BTreeSet, sync::Arc};

use apollo_compiler::{
    ast::{Definition, OperationType},
    parser::Parser,
};

use crate::bounds::{MAX_RECURSION, MAX_TOKENS};

/// Maximum length of the name of a tool.
const MAX_NAME: usize = 128;

/// An operation that is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOperation {
    /// The name as a tool: that of the operation, or else of its document.
    pub tool: String,
    /// The comment above it.
    pub description: Option<String>,
    /// The id of its document.
    pub id: String,
    /// Its name in the document, if it has one.
    pub operation: Option<String>,
    /// The text of the document.
    pub text: Arc<str>,
}

/// The queries and mutations of documents. What cannot be read is left out.
pub(super) fn of<'d>(documents: impl Iterator<Item = (&'d String, &'d Arc<str>)>) -> Vec<NamedOperation> {
    let (mut all, mut taken) = (Vec::new(), BTreeSet::new());
    for (id, text) in documents {
        let mut parser = Parser::new().token_limit(MAX_TOKENS).recursion_limit(MAX_RECURSION);
        let Ok(document) = parser.parse_ast(&**text, "document.graphql") else { continue };
        for definition in &document.definitions {
            let Definition::OperationDefinition(operation) = definition else { continue };
            if operation.operation_type == OperationType::Subscription {
                continue;
            }
            let name = operation.name.as_ref().map(ToString::to_string);
            let of_document = sanitized(id);
            let wanted = name.clone().unwrap_or_else(|| of_document.clone());
            let longer = || format!("{of_document}_{}", name.as_deref().unwrap_or_default());
            let tool = if taken.contains(&wanted) { longer() } else { wanted };
            if tool.is_empty() || tool.len() > MAX_NAME || !taken.insert(tool.clone()) {
                continue;
            }
            let begins = operation.location().map_or(0, |location| location.offset());
            let description = comment(text.get(..begins).unwrap_or_default());
            let (id, text) = (id.clone(), Arc::clone(text));
            all.push(NamedOperation { tool, description, id, operation: name, text });
        }
    }
    all
}

/// The id of a document as the name of a tool.
fn sanitized(id: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    id.chars().map(letter).collect()
}

/// The comment at the end of a text.
fn comment(before: &str) -> Option<String> {
    let mut lines: Vec<&str> = before
        .trim_end()
        .lines()
        .rev()
        .map_while(|line| line.trim().strip_prefix('#'))
        .map(str::trim)
        .collect();
    lines.reverse();
    let text = lines.join(" ").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_names_and_comments() {
        let documents = [
            (
                "a b",
                "# Not this one.\nfragment F on Query { a }\n\n# Names the\n# pods.\n\nquery Pods { a }\n\n{ b }",
            ),
            ("b", "query Pods { a } subscription S { a }"),
            ("c", "{"),
            ("d", "# All of it.\n{ a }"),
        ];
        let documents: Vec<(String, Arc<str>)> =
            documents.into_iter().map(|(id, text)| (id.to_owned(), text.into())).collect();
        let known = of(documents.iter().map(|(id, text)| (id, text)));
        let found: Vec<_> =
            known.iter().map(|known| (known.tool.as_str(), known.description.as_deref())).collect();
        let expected =
            [("Pods", Some("Names the pods.")), ("a_b", None), ("b_Pods", None), ("d", Some("All of it."))];
        assert_eq!(found, expected);
    }
}
