//! Limits of queries. They are checked before anything else, in time linear in the length of the query.

use apollo_compiler::{
    Name,
    ast::{Definition, Document, Selection},
    collections::HashMap,
};

use crate::error::{ErrorCode, GraphError};

/// Limits of a query; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct QueryBounds {
    /// Fields within fields.
    pub depth: usize,
    /// Fields, each as often as its fragment is used.
    pub fields: usize,
}

/// Maximum number of tokens that are read.
pub const MAX_TOKENS: usize = 20_000;
/// Maximum nesting that the parser follows.
pub const MAX_RECURSION: usize = 200;
/// Number of fragments that are allowed per allowed field.
const FRAGMENTS_PER_FIELD: usize = 4;

#[derive(Clone, Copy, Default)]
struct SelectionCost {
    depth: usize,
    fields: usize,
    fragments: usize,
}

struct CostCounter<'d> {
    fragments: HashMap<&'d Name, &'d [Selection]>,
    /// None while a fragment is being counted, so that cycles end.
    known: HashMap<&'d Name, Option<SelectionCost>>,
}

/// Refuses a document that exceeds the limits.
pub fn check(document: &Document, bounds: QueryBounds) -> Result<(), GraphError> {
    let mut counter = CostCounter { fragments: HashMap::default(), known: HashMap::default() };
    for definition in &document.definitions {
        if let Definition::FragmentDefinition(fragment) = definition {
            counter.fragments.insert(&fragment.name, &fragment.selection_set);
        }
    }
    let mut all = SelectionCost::default();
    for definition in &document.definitions {
        let cost = match definition {
            Definition::OperationDefinition(operation) => counter.cost(&operation.selection_set),
            // Unused fragments count, because they are validated, too.
            Definition::FragmentDefinition(fragment) => counter.fragment(&fragment.name),
            _ => continue,
        };
        all.depth = all.depth.max(cost.depth);
        all.fields = all.fields.max(cost.fields);
        all.fragments = all.fragments.max(cost.fragments);
    }
    let exceeded = |what: String| Err(GraphError::new(ErrorCode::LimitExceeded, what));
    let QueryBounds { depth, fields } = bounds;
    if depth > 0 && all.depth > depth {
        return exceeded(format!("query depth {} exceeds maximum allowed depth of {depth}", all.depth));
    }
    if fields > 0 && all.fields > fields {
        return exceeded(format!(
            "query complexity {} exceeds maximum allowed complexity of {fields}",
            all.fields
        ));
    }
    let fragments = fields.saturating_mul(FRAGMENTS_PER_FIELD);
    if fields > 0 && all.fragments > fragments {
        return exceeded(format!(
            "the query uses fragments {} times; at most {fragments} are allowed",
            all.fragments
        ));
    }
    Ok(())
}

impl<'d> CostCounter<'d> {
    fn cost(&mut self, selections: &'d [Selection]) -> SelectionCost {
        let mut sum = SelectionCost::default();
        for selection in selections {
            let cost = match selection {
                // Introspection nests deeply and costs little.
                Selection::Field(field) if field.name.starts_with("__") => {
                    SelectionCost { depth: 1, ..self.cost(&field.selection_set) }.with_field()
                }
                Selection::Field(field) => {
                    let inner = self.cost(&field.selection_set);
                    SelectionCost { depth: inner.depth.saturating_add(1), ..inner }.with_field()
                }
                Selection::InlineFragment(fragment) => self.cost(&fragment.selection_set).with_fragment(),
                Selection::FragmentSpread(spread) => self.fragment(&spread.fragment_name).with_fragment(),
            };
            sum.depth = sum.depth.max(cost.depth);
            sum.fields = sum.fields.saturating_add(cost.fields);
            sum.fragments = sum.fragments.saturating_add(cost.fragments);
        }
        sum
    }

    fn fragment(&mut self, name: &Name) -> SelectionCost {
        let Some((name, selections)) =
            self.fragments.get_key_value(name).map(|(name, found)| (*name, *found))
        else {
            return SelectionCost::default();
        };
        match self.known.get(name) {
            Some(Some(cost)) => *cost,
            // A cycle; validation refuses it.
            Some(None) => SelectionCost::default(),
            None => {
                self.known.insert(name, None);
                let cost = self.cost(selections);
                self.known.insert(name, Some(cost));
                cost
            }
        }
    }
}

impl SelectionCost {
    const fn with_field(self) -> Self {
        Self { fields: self.fields.saturating_add(1), ..self }
    }

    const fn with_fragment(self) -> Self {
        Self { fragments: self.fragments.saturating_add(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn refused(query: &str) -> Option<String> {
        let document = Document::parse(query, "q").unwrap();
        check(&document, QueryBounds { depth: 20, fields: 5000 }).err().map(|error| error.message)
    }

    #[test]
    fn bombs_of_fragments_are_counted_in_no_time() {
        let mut bomb = "{...f0}".to_owned();
        for n in 0..60 {
            write!(bomb, " fragment f{n} on Query {{ ...f{m} ...f{m} }}", m = n + 1).unwrap();
        }
        bomb.push_str(" fragment f60 on Query { a }");
        let begin = std::time::Instant::now();
        assert!(refused(&bomb).unwrap().contains("complexity"));
        assert!(begin.elapsed() < std::time::Duration::from_millis(100));
        assert_eq!(
            refused(
                "{...a} fragment a on Query {...b} fragment b on Query {...c} fragment c on Query {...a}"
            ),
            None
        );
    }

    #[test]
    fn depth_counts_fields_and_not_introspection() {
        let nested = |n: usize| format!("{{{}a{}}}", "a{".repeat(n - 1), "}".repeat(n - 1));
        assert_eq!(refused(&nested(20)), None);
        assert_eq!(refused(&nested(21)).unwrap(), "query depth 21 exceeds maximum allowed depth of 20");
        assert_eq!(refused(&format!("{{__schema{}}}", nested(40))), None);
        let inline = format!("{{{}a{}}}", "...{".repeat(50), "}".repeat(50));
        assert_eq!(refused(&inline), None);
    }
}
