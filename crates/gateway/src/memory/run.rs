//! Objects in order, as they were when somebody looked.

use std::{ops::Range, sync::Arc};

use super::object::KeptObject;

/// Neighbours. They are shared with whoever reads them.
pub type ObjectPart = Arc<Vec<KeptObject>>;

/// Some objects of a kind, by parts. No later change is in them.
#[derive(Debug, Default)]
pub struct ObjectRun {
    parts: Vec<(ObjectPart, Range<usize>)>,
}

impl From<Vec<KeptObject>> for ObjectRun {
    fn from(objects: Vec<KeptObject>) -> Self {
        let mut run = Self::default();
        let all = 0..objects.len();
        run.push(&Arc::new(objects), all);
        run
    }
}

impl ObjectRun {
    /// Adds some objects of a part.
    pub fn push(&mut self, part: &ObjectPart, range: Range<usize>) {
        if !range.is_empty() {
            self.parts.push((Arc::clone(part), range));
        }
    }

    /// The number of its objects.
    pub fn count(&self) -> usize {
        self.parts.iter().map(|(_, range)| range.len()).sum()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &KeptObject> {
        self.parts.iter().flat_map(|(part, range)| &part[range.clone()])
    }

    /// The last one.
    pub fn last(&self) -> Option<&KeptObject> {
        let (part, range) = self.parts.last()?;
        part[range.clone()].last()
    }

    /// Keeps no more than the first ones.
    pub fn truncate(&mut self, count: usize) {
        let mut left = count;
        for (_, range) in &mut self.parts {
            range.end = range.start + left.min(range.len());
            left -= range.len();
        }
        self.parts.retain(|(_, range)| !range.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::object, *};

    #[test]
    fn the_first_ones_are_kept() {
        let part =
            |keys: &str| -> ObjectPart { Arc::new(keys.split(' ').map(|key| object(key, 1, "")).collect()) };
        let mut run = ObjectRun::default();
        run.push(&part("a b c"), 1..3);
        run.push(&part("d"), 1..1);
        run.push(&part("d e"), 0..2);
        for (count, expected) in [(9, "bcde"), (4, "bcde"), (3, "bcd"), (2, "bc"), (1, "b"), (0, "")] {
            run.truncate(count);
            let keys: Vec<_> = run.all().map(|object| std::str::from_utf8(object.key()).unwrap()).collect();
            assert_eq!((keys.concat().as_str(), run.count()), (expected, expected.len()));
            assert_eq!(run.last().map(KeptObject::key), expected.as_bytes().chunks(1).next_back());
        }
        assert_eq!(ObjectRun::from(Vec::new()).count(), 0);
    }
}
