//! Pure: which of the objects that were read belong into which gap.

use std::ops::Range;

use super::{
    super::room::ByteRoom,
    budget::WorkPace,
    index::{ObjectIndex, narrow},
    leads::WantedObjects,
    of::ObjectFacts,
};
use crate::{
    error::GraphError,
    plan::OF,
    scan::{JsonCursor, MalformedJson},
};

/// The least that an object takes in an answer, with its comma.
const LEAST: usize = "{},".len();

/// The places of an object in a list.
struct ObjectRanges {
    whole: Range<usize>,
    /// Its beginning, without what leads to others, and without its last brace.
    shown: Range<usize>,
    /// The part that leads to other objects.
    of: Range<usize>,
}

/// The objects of a list that has nothing but items. What leads to others is behind everything else.
fn objects(list: &[u8]) -> Result<Vec<ObjectRanges>, MalformedJson> {
    let (mut cursor, mut all) = (JsonCursor::new(list), Vec::new());
    cursor.expect(b'{')?;
    cursor.key()?;
    cursor.expect(b'[')?;
    let mut more = !cursor.take(b']')?;
    while more {
        all.push(object(&mut cursor)?);
        more = cursor.another(b']')?;
    }
    Ok(all)
}

fn object(cursor: &mut JsonCursor<'_>) -> Result<ObjectRanges, MalformedJson> {
    cursor.peek()?;
    let start = cursor.position();
    cursor.expect(b'{')?;
    let (mut end, mut of) = (cursor.position(), 0..0);
    let mut more = !cursor.take(b'}')?;
    while more {
        let key = cursor.key()?;
        let from = cursor.position();
        cursor.value()?;
        if key == OF.as_bytes() {
            of = from..cursor.position();
        } else {
            end = cursor.position();
        }
        more = cursor.another(b'}')?;
    }
    Ok(ObjectRanges { whole: start..cursor.position(), shown: start..end, of })
}

/// Objects that were read, each with what it says of others.
pub(super) struct RelatedObjects<'j> {
    list: &'j [u8],
    objects: Vec<ObjectRanges>,
    ofs: Vec<ObjectFacts>,
}

/// Which objects belong to what leads to them: their places, in the order of the list.
pub(super) type BelongingPlaces = Vec<Box<[u32]>>;

impl<'j> RelatedObjects<'j> {
    /// Reads a list.
    pub(super) async fn of(list: &'j [u8], pace: &mut WorkPace) -> Result<Self, MalformedJson> {
        let objects = objects(list)?;
        let mut ofs = Vec::with_capacity(objects.len());
        for object in &objects {
            ofs.push(ObjectFacts::read(&list[object.of.clone()]));
            pace.step(1).await;
        }
        Ok(Self { list, objects, ofs })
    }

    /// Which of them belong to each of these, if there is room for so many.
    pub(super) async fn belonging(
        &self,
        which: &[WantedObjects],
        (room, pace): (&ByteRoom, &mut WorkPace),
    ) -> Result<BelongingPlaces, GraphError> {
        let index = ObjectIndex::of(&self.ofs, which);
        let mut all = BelongingPlaces::with_capacity(which.len());
        for which in which {
            let (found, steps) = index.find(which);
            room.take(found.len() * LEAST)?;
            all.push(found.into());
            pace.step(steps).await;
        }
        Ok(all)
    }

    /// A list of those of them that belong somewhere, which get their places in it. None if all of them do.
    pub(super) fn without_others(&self, taken: &[u32], belonging: &mut BelongingPlaces) -> Option<Vec<u8>> {
        if taken.len() == self.objects.len() {
            return None;
        }
        let mut list = b"{\"items\":[".to_vec();
        for (place, index) in taken.iter().enumerate() {
            if place > 0 {
                list.push(b',');
            }
            list.extend_from_slice(&self.list[self.objects[*index as usize].whole.clone()]);
        }
        list.extend_from_slice(b"]}");
        let place = |index: &u32| taken.binary_search(index).map_or(*index, narrow);
        for places in belonging {
            *places = places.iter().map(place).collect();
        }
        Some(list)
    }
}

/// The places that belong anywhere, in order.
pub(super) fn taken(belonging: &BelongingPlaces) -> Vec<u32> {
    let end = belonging.iter().flatten().max().map_or(0, |last| *last as usize + 1);
    let mut is_taken = vec![false; end];
    for place in belonging.iter().flatten() {
        is_taken[*place as usize] = true;
    }
    (0..narrow(end)).filter(|place| is_taken[*place as usize]).collect()
}

/// Objects that are there as a whole, and where they belong.
pub(super) struct FoundObjects {
    list: Vec<u8>,
    shown: Vec<Range<usize>>,
    belonging: BelongingPlaces,
}

impl FoundObjects {
    /// Takes the selected part of each object of a list.
    pub(super) fn of(list: Vec<u8>, belonging: BelongingPlaces) -> Result<Self, MalformedJson> {
        let shown = objects(&list)?.into_iter().map(|object| object.shown).collect();
        Ok(Self { list, shown, belonging })
    }

    fn objects(&self, which: usize) -> impl Iterator<Item = &[u8]> {
        let places = self.belonging.get(which).into_iter().flatten();
        places.map(|place| &self.list[self.shown[*place as usize].clone()])
    }

    /// The bytes that a gap takes.
    pub(super) fn size(&self, which: usize, is_list: bool) -> usize {
        let sizes = self.objects(which).map(|object| object.len() + "},".len());
        if is_list { sizes.sum::<usize>() + "[]".len() } else { sizes.take(1).sum() }
    }

    /// Fills a gap.
    pub(super) fn write(&self, which: usize, is_list: bool, out: &mut Vec<u8>) {
        let mut objects = self.objects(which);
        if !is_list {
            match objects.next() {
                Some(object) => {
                    out.extend_from_slice(object);
                    out.push(b'}');
                }
                None => out.extend_from_slice(b"null"),
            }
            return;
        }
        out.push(b'[');
        for (index, object) in objects.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(object);
            out.push(b'}');
        }
        out.push(b']');
    }
}
