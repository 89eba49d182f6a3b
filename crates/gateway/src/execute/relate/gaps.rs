//! Pure: finds the gaps of an answer, and copies everything else.

use crate::{
    plan::{OF, RelatedField, RelationBranch, RelationTree},
    scan::{JsonCursor, MalformedJson, PathStep},
};

/// A gap: an object, or a list, that is not read yet.
#[derive(Clone, Copy)]
pub(super) struct RelationGap<'t, 'j> {
    /// The relation.
    pub(super) related: &'t RelatedField,
    /// The facts of the object that the gap is in.
    pub(super) of: Option<&'j [u8]>,
    /// The JSON in its place: the reference, or null.
    pub(super) json: &'j [u8],
}

/// Is told of each gap, with its place in the answer, and writes what is in it.
type GapVisitor<'v, 't, 'j> = &'v mut dyn FnMut(RelationGap<'t, 'j>, &[PathStep], &mut Vec<u8>);

struct GapWalker<'v, 't, 'j> {
    out: Vec<u8>,
    path: Vec<PathStep>,
    keeps: bool,
    visit: GapVisitor<'v, 't, 'j>,
}

/// Copies an answer. `visit` writes what is in each gap. What leads to objects is left out, unless it `keeps` that.
pub(super) fn walk<'t, 'j>(
    json: &'j [u8],
    tree: &'t RelationTree,
    keeps: bool,
    visit: GapVisitor<'_, 't, 'j>,
) -> Result<Vec<u8>, MalformedJson> {
    let mut walker = GapWalker { out: Vec::with_capacity(json.len()), path: Vec::new(), keeps, visit };
    walker.value(json, tree, None)?;
    Ok(walker.out)
}

impl<'t, 'j> GapWalker<'_, 't, 'j> {
    fn value(
        &mut self,
        json: &'j [u8],
        tree: &'t RelationTree,
        of: Option<&'j [u8]>,
    ) -> Result<(), MalformedJson> {
        let mut cursor = JsonCursor::new(json);
        match cursor.peek()? {
            b'{' => self.object(&mut cursor, tree, of),
            b'[' => self.list(&mut cursor, tree, of),
            _ => {
                self.out.extend_from_slice(json);
                Ok(())
            }
        }
    }

    fn list(
        &mut self,
        cursor: &mut JsonCursor<'j>,
        tree: &'t RelationTree,
        of: Option<&'j [u8]>,
    ) -> Result<(), MalformedJson> {
        cursor.expect(b'[')?;
        self.out.push(b'[');
        let (mut more, mut index) = (!cursor.take(b']')?, 0);
        while more {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(PathStep::Index(index));
            self.value(cursor.value()?, tree, of)?;
            self.path.pop();
            index += 1;
            more = cursor.another(b']')?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(
        &mut self,
        cursor: &mut JsonCursor<'j>,
        tree: &'t RelationTree,
        of: Option<&'j [u8]>,
    ) -> Result<(), MalformedJson> {
        let members = members(cursor)?;
        let own = members.iter().find(|(key, _)| *key == OF.as_bytes());
        let of = own.map(|(_, json)| *json).or(of);
        self.out.push(b'{');
        let mut is_first = true;
        let keeps = self.keeps;
        for (key, json) in members.iter().filter(|(key, _)| keeps || *key != OF.as_bytes()) {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.out.push(b'"');
            self.out.extend_from_slice(key);
            self.out.extend_from_slice(b"\":");
            let branch = tree.fields.iter().find(|(name, _)| name.as_bytes() == *key);
            let Some((name, branch)) = branch else {
                self.out.extend_from_slice(json);
                continue;
            };
            self.path.push(PathStep::Field(name.to_string()));
            match branch {
                RelationBranch::Below(tree) => self.value(json, tree, of)?,
                RelationBranch::Related(related) => {
                    (self.visit)(RelationGap { related, of, json }, &self.path, &mut self.out);
                }
            }
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }
}

type JsonMembers<'j> = Vec<(&'j [u8], &'j [u8])>;

/// The members of an object.
fn members<'j>(cursor: &mut JsonCursor<'j>) -> Result<JsonMembers<'j>, MalformedJson> {
    let mut all = Vec::new();
    cursor.expect(b'{')?;
    let mut more = !cursor.take(b'}')?;
    while more {
        let key = cursor.key()?;
        all.push((key, cursor.value()?));
        more = cursor.another(b'}')?;
    }
    Ok(all)
}
