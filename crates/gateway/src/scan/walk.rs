//! The way through a list that is still coming: one step after another, each of which is there as a whole.

use super::cursor::{Cursor, Malformed, says};

/// The part of a list that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
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
pub enum Found<T> {
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
pub struct Walk {
    stage: Stage,
    had_items: bool,
    /// The metadata, once they are there.
    pub metadata: Option<Vec<u8>>,
}

impl Walk {
    /// Returns `true` if the list has ended.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::End
    }

    /// Returns `true` if the list has begun.
    pub fn has_begun(&self) -> bool {
        self.stage != Stage::Begin
    }

    /// Finds the next part, or fails and stays where it is. `read` reads an item.
    pub fn step<'a, T>(
        &mut self,
        cursor: &mut Cursor<'a>,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Malformed>,
    ) -> Result<Found<T>, Malformed> {
        match self.stage {
            Stage::Begin => {
                cursor.expect(b'{')?;
                self.stage = Stage::FirstField;
                Ok(Found::Begin)
            }
            Stage::FirstField if cursor.take(b'}')? => Ok(self.after_field(false)),
            Stage::FirstField | Stage::Field => self.field(cursor),
            Stage::Item => {
                let item = read(cursor)?;
                let is_last = !cursor.another(b']')?;
                self.stage = if is_last { Stage::AfterItems } else { Stage::Item };
                Ok(Found::Item { item, is_last })
            }
            Stage::AfterItems => {
                let more = cursor.another(b'}')?;
                Ok(self.after_field(more))
            }
            Stage::End => Ok(Found::End),
        }
    }

    fn field<T>(&mut self, cursor: &mut Cursor<'_>) -> Result<Found<T>, Malformed> {
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

    fn items<T>(&mut self, cursor: &mut Cursor<'_>) -> Result<Found<T>, Malformed> {
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
        self.stage = if is_empty { Stage::AfterItems } else { Stage::Item };
        Ok(Found::Items { is_empty })
    }

    const fn after_field<T>(&mut self, more: bool) -> Found<T> {
        self.stage = if more { Stage::Field } else { Stage::End };
        if more { Found::Other } else { Found::End }
    }
}
