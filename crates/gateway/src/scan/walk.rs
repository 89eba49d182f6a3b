//! The way through a list that is still coming: one step after another, each of which is there as a whole.

use super::cursor::{JsonCursor, MalformedJson, says};

/// The part of a list that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ListStage {
    #[default]
    Begin,
    FirstField,
    Field,
    Item,
    AfterItems,
    End,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum ListPart<T> {
    /// The list begins.
    Begin,
    /// Nothing that is written.
    Other,
    /// The items begin.
    Items {
        /// `true` if there are none.
        is_empty: bool,
    },
    /// An item.
    Item {
        /// The result for it.
        item: T,
        /// `true` if no other one follows.
        is_last: bool,
    },
    /// The list has ended.
    End,
}

/// A place in a list.
#[derive(Debug, Default)]
pub struct ListWalk {
    stage: ListStage,
    had_items: bool,
    /// The metadata, once they are there.
    pub metadata: Option<Vec<u8>>,
}

impl ListWalk {
    /// Returns `true` if the list has ended.
    pub fn is_done(&self) -> bool {
        self.stage == ListStage::End
    }

    /// Returns `true` if the list has begun.
    pub fn has_begun(&self) -> bool {
        self.stage != ListStage::Begin
    }

    /// Finds the next part, or fails and stays where it is. `read` reads an item.
    pub fn step<'a, T>(
        &mut self,
        cursor: &mut JsonCursor<'a>,
        read: impl FnOnce(&mut JsonCursor<'a>) -> Result<T, MalformedJson>,
    ) -> Result<ListPart<T>, MalformedJson> {
        match self.stage {
            ListStage::Begin => {
                cursor.expect(b'{')?;
                self.stage = ListStage::FirstField;
                Ok(ListPart::Begin)
            }
            ListStage::FirstField if cursor.take(b'}')? => Ok(self.after_field(false)),
            ListStage::FirstField | ListStage::Field => self.field(cursor),
            ListStage::Item => {
                let item = read(cursor)?;
                let is_last = !cursor.another(b']')?;
                self.stage = if is_last { ListStage::AfterItems } else { ListStage::Item };
                Ok(ListPart::Item { item, is_last })
            }
            ListStage::AfterItems => {
                let more = cursor.another(b'}')?;
                Ok(self.after_field(more))
            }
            ListStage::End => Ok(ListPart::End),
        }
    }

    fn field<T>(&mut self, cursor: &mut JsonCursor<'_>) -> Result<ListPart<T>, MalformedJson> {
        let key = cursor.key()?;
        if says(key, "items") {
            return self.items(cursor);
        }
        let value = cursor.value()?;
        let more = cursor.another(b'}')?;
        if says(key, "metadata") {
            self.metadata = Some(value.to_vec());
        }
        Ok(self.after_field(more))
    }

    fn items<T>(&mut self, cursor: &mut JsonCursor<'_>) -> Result<ListPart<T>, MalformedJson> {
        if self.had_items {
            return Err(cursor.malformed());
        }
        let is_empty = if cursor.take(b'[')? {
            cursor.take(b']')?
        } else {
            // Go writes an empty list as `null`.
            cursor.value()?;
            true
        };
        self.had_items = true;
        self.stage = if is_empty { ListStage::AfterItems } else { ListStage::Item };
        Ok(ListPart::Items { is_empty })
    }

    const fn after_field<T>(&mut self, more: bool) -> ListPart<T> {
        self.stage = if more { ListStage::Field } else { ListStage::End };
        if more { ListPart::Other } else { ListPart::End }
    }
}
