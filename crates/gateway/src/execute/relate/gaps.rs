//! Pure: finds the gaps of an answer, and copies everything else.

use crate::{
    plan::{Branch, OF, Related, Tree},
    scan::{Cursor, Malformed, Step},
};

/// A gap: an object, or a list, that is not read yet.
#[derive(Clone, Copy)]
pub(super) struct Gap<'t, 'j> {
    /// The relation.
    pub(super) related: &'t Related,
    /// The facts of the object that the gap is in.
    pub(super) of: Option<&'j [u8]>,
    /// The JSON in its place: the reference, or null.
    pub(super) json: &'j [u8],
}

/// Is told of each gap, with its place in the answer, and writes what is in it.
type Visit<'v, 't, 'j> = &'v mut dyn FnMut(Gap<'t, 'j>, &[Step], &mut Vec<u8>);

struct Walker<'v, 't, 'j> {
    out: Vec<u8>,
    path: Vec<Step>,
    keeps: bool,
    visit: Visit<'v, 't, 'j>,
}

/// Copies an answer. `visit` writes what is in each gap. What leads to objects is left out, unless it `keeps` that.
pub(super) fn walk<'t, 'j>(
    json: &'j [u8],
    tree: &'t Tree,
    keeps: bool,
    visit: Visit<'_, 't, 'j>,
) -> Result<Vec<u8>, Malformed> {
    let mut walker = Walker { out: Vec::with_capacity(json.len()), path: Vec::new(), keeps, visit };
    walker.value(json, tree, None)?;
    Ok(walker.out)
}

impl<'t, 'j> Walker<'_, 't, 'j> {
    fn value(&mut self, json: &'j [u8], tree: &'t Tree, of: Option<&'j [u8]>) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(json);
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
        cursor: &mut Cursor<'j>,
        tree: &'t Tree,
        of: Option<&'j [u8]>,
    ) -> Result<(), Malformed> {
        cursor.expect(b'[')?;
        self.out.push(b'[');
        let (mut more, mut index) = (!cursor.take(b']')?, 0);
        while more {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(Step::Index(index));
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
        cursor: &mut Cursor<'j>,
        tree: &'t Tree,
        of: Option<&'j [u8]>,
    ) -> Result<(), Malformed> {
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
            self.path.push(Step::Field(name.to_string()));
            match branch {
                Branch::Below(tree) => self.value(json, tree, of)?,
                Branch::Related(related) => {
                    (self.visit)(Gap { related, of, json }, &self.path, &mut self.out);
                }
            }
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }
}

type Members<'j> = Vec<(&'j [u8], &'j [u8])>;

/// The members of an object.
fn members<'j>(cursor: &mut Cursor<'j>) -> Result<Members<'j>, Malformed> {
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
