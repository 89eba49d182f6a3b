//! Lists: their own few fields, and their items in the requested order.

use std::{cmp::Ordering, sync::Arc};

use super::{
    cursor::{JsonCursor, MalformedJson, at, says, text_at},
    selection::{FieldCondition, ObjectSelection},
    writer::{JsonWriter, PathStep, quote},
};

/// A selected field of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListField {
    /// The resource version of the list.
    ResourceVersion,
    /// The token of the next page; empty at the end.
    Continue,
    /// The number of remaining items, if the API server tells it.
    RemainingItemCount,
    /// The items.
    Items(Arc<ObjectSelection>),
    /// Constant JSON.
    Constant(Box<str>),
}

/// The selection from a list, in the order of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSelection {
    /// Names with quotes and colon, and their fields.
    pub fields: Vec<(Box<str>, ListField, FieldCondition)>,
}

impl ListSelection {
    /// The selection that remains for these variables.
    #[must_use]
    pub fn under(&self, says: &dyn Fn(&str) -> bool) -> Self {
        let kept = self.fields.iter().filter(|(_, _, when)| when.holds(says));
        let fields = kept.map(|(label, field, _)| {
            let field = match field {
                ListField::Items(items) => ListField::Items(Arc::new(items.under(says))),
                other => other.clone(),
            };
            (label.clone(), field, FieldCondition::default())
        });
        Self { fields: fields.collect() }
    }

    /// The selections of items.
    pub fn items(&self) -> impl Iterator<Item = &Arc<ObjectSelection>> {
        self.labelled_items().map(|(_, items)| items)
    }

    /// The same with their labels.
    fn labelled_items(&self) -> impl Iterator<Item = (&str, &Arc<ObjectSelection>)> {
        self.fields.iter().filter_map(|(label, field, _)| match field {
            ListField::Items(items) => Some((&**label, items)),
            _ => None,
        })
    }
}

impl ListField {
    /// Writes a field of a list that has this metadata and no items.
    pub(super) fn write_from(&self, metadata: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Items(_) => out.extend_from_slice(b"[]"),
            Self::Constant(json) => out.extend_from_slice(json.as_bytes()),
            Self::ResourceVersion => written(out, metadata, "resourceVersion", b"null"),
            Self::Continue => written(out, metadata, "continue", b"\"\""),
            Self::RemainingItemCount => written(out, metadata, "remainingItemCount", b"null"),
        }
    }
}

/// The order of items.
#[derive(Clone, Debug)]
pub struct ItemOrder {
    path: Vec<Box<str>>,
}

/// A list that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The list is not JSON.
    #[error(transparent)]
    Malformed(#[from] MalformedJson),
    /// The first item does not have the field to sort by.
    #[error("specified sortBy field does not exist")]
    NoSuchField,
    /// The items of a list that is written while it comes are in another order.
    #[error("the list is not in the expected order")]
    Unordered,
}

impl ItemOrder {
    /// The order by a dotted path.
    pub fn by(path: &str) -> Self {
        Self { path: path.split('.').map(Box::from).collect() }
    }

    /// Returns `true` if it is that of the names.
    pub fn is_by_name(&self) -> bool {
        self.path.iter().map(|key| &**key).eq(["metadata", "name"])
    }

    /// The value that an item is sorted by.
    pub(super) fn key<'a>(&self, item: &'a [u8]) -> Result<Option<&'a [u8]>, MalformedJson> {
        at(item, &self.path)
    }
}

/// Writes a list from an API server's answer.
pub fn list<'p>(
    writer: &mut JsonWriter<'p>,
    json: &[u8],
    selection: &'p ListSelection,
    order: Option<&ItemOrder>,
) -> Result<(), ListError> {
    let mut metadata: &[u8] = b"{}";
    let mut items: Vec<Vec<u8>> = Vec::new();
    let mut cursor = JsonCursor::new(json);
    cursor.expect(b'{')?;
    let mut more = !cursor.take(b'}')?;
    while more {
        let key = cursor.key()?;
        if says(key, "metadata") {
            metadata = cursor.value()?;
        } else if says(key, "items") && selection.items().next().is_some() {
            let here = cursor;
            items.clear();
            for (label, selected) in selection.labelled_items() {
                cursor = here;
                let start = writer.out.len();
                write_items(writer, &mut cursor, (label, selected), order)?;
                items.push(writer.cut(start));
            }
        } else {
            cursor.value()?;
        }
        more = cursor.another(b'}')?;
    }
    cursor.end()?;
    assemble(&mut writer.out, selection, metadata, items);
    Ok(())
}

fn assemble(out: &mut Vec<u8>, selection: &ListSelection, metadata: &[u8], items: Vec<Vec<u8>>) {
    let mut items = items.into_iter().peekable();
    out.push(b'{');
    for (index, (label, field, _)) in selection.fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label.as_bytes());
        match items.next_if(|_| matches!(field, ListField::Items(_))) {
            Some(items) => out.extend_from_slice(&items),
            None => field.write_from(metadata, out),
        }
    }
    out.push(b'}');
}

fn written(out: &mut Vec<u8>, metadata: &[u8], key: &str, otherwise: &[u8]) {
    let found = at(metadata, &[key]).ok().flatten();
    out.extend_from_slice(found.unwrap_or(otherwise));
}

fn write_items<'p>(
    writer: &mut JsonWriter<'p>,
    cursor: &mut JsonCursor<'_>,
    (label, selection): (&'p str, &'p ObjectSelection),
    order: Option<&ItemOrder>,
) -> Result<(), ListError> {
    writer.out.push(b'[');
    if cursor.peek()? != b'[' {
        // Go writes an empty list as `null`.
        cursor.value()?;
        writer.out.push(b']');
        return Ok(());
    }
    let (start, told) = (writer.out.len(), writer.mismatches.len());
    let mut sorted: Vec<(Option<&[u8]>, usize, usize)> = Vec::new();
    cursor.expect(b'[')?;
    let mut more = !cursor.take(b']')?;
    let mut index = 0;
    while more {
        let from = writer.out.len();
        let item = *cursor;
        writer.item(cursor, (label, selection), index)?;
        writer.out.push(b',');
        if let Some(order) = order {
            let key = order.key(cursor.since(item))?;
            if index == 0 && key.is_none() {
                return Err(ListError::NoSuchField);
            }
            sorted.push((key, from, writer.out.len()));
        }
        index += 1;
        more = cursor.another(b']')?;
    }
    if !sorted.is_sorted_by(|(a, _, _), (b, _, _)| compare(*a, *b) != Ordering::Greater) {
        put_in_order(writer, &sorted, (start, told));
    }
    if index > 0 {
        // The comma after the last item.
        writer.out.pop();
    }
    writer.out.push(b']');
    Ok(())
}

/// Sorts items that are in the output already, each followed by a comma, and says where they are now of what was told.
fn put_in_order(
    writer: &mut JsonWriter<'_>,
    items: &[(Option<&[u8]>, usize, usize)],
    (start, told): (usize, usize),
) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| compare(items[*a].0, items[*b].0));
    let unordered = writer.out.split_off(start);
    writer.out.reserve(unordered.len() + 1);
    for index in &order {
        let (_, from, to) = items[*index];
        writer.out.extend_from_slice(&unordered[from - start..to - start]);
    }
    for mismatch in &mut writer.mismatches[told..] {
        // Behind the name of the items.
        if let Some(PathStep::Index(index)) = mismatch.path.get_mut(1) {
            *index = order.iter().position(|before| *before == *index).unwrap_or(*index);
        }
    }
}

/// Compares Booleans, numbers and strings with their like; objects and lists are equal. What is not there comes first,
/// then null, then one sort after another: whatever is mixed has one order.
pub(super) fn compare(a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
    let (one, other) = (sort(a), sort(b));
    match one {
        _ if one != other => one.cmp(&other),
        SortRank::Text if !a.contains(&b'\\') && !b.contains(&b'\\') => {
            a[1..a.len() - 1].cmp(&b[1..b.len() - 1])
        }
        SortRank::Text => text_at(a, &[]).cmp(&text_at(b, &[])),
        SortRank::Boolean => a.starts_with(b"t").cmp(&b.starts_with(b"t")),
        SortRank::Number => numbers(a, b),
        SortRank::Null | SortRank::Other => Ordering::Equal,
    }
}

/// What a value is, in the order of sorts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SortRank {
    Null,
    Boolean,
    Number,
    Text,
    Other,
}

fn sort(value: &[u8]) -> SortRank {
    match value.first() {
        Some(b'n') => SortRank::Null,
        Some(b't' | b'f') => SortRank::Boolean,
        Some(b'-' | b'0'..=b'9') => SortRank::Number,
        Some(b'"') => SortRank::Text,
        _ => SortRank::Other,
    }
}

/// Compares numbers, whole ones to their last digit.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let about = |text: &[u8]| read::<f64>(text).unwrap_or_default();
    about(a).total_cmp(&about(b)).then_with(|| read::<i128>(a).cmp(&read::<i128>(b)))
}

fn read<T: std::str::FromStr>(number: &[u8]) -> Option<T> {
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// A text as JSON.
pub fn quoted(text: &str) -> Box<str> {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into()
}
