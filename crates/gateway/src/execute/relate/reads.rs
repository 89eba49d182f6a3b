//! Reads the objects of all gaps of one relation: one list for each kind and namespace, or one object if it is the only
//! one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use apollo_compiler::response::JsonValue;
use futures::{StreamExt as _, stream};

use super::{
    super::{Arguments, Asking, Fragment, SIDE_BY_SIDE, broken, read},
    filled,
    gaps::members,
    items_step,
    leads::{Lead, Of, Which},
};
use crate::{
    error::{Code, GraphError},
    input::Argument,
    memory::Selector,
    plan::{Call, OF, Related, Wanted},
    scan::{Cursor, ListField, ListSelection, Malformed, Selection, Shape, Step, When, quoted},
    schema::{Kind, Operation, Verb},
};

/// Maximum number of lists for one relation.
const MAX_LISTS: usize = 100;

/// A kind, and a namespace or all of them.
type Place = (usize, Option<String>);

/// An object that was read.
pub(super) struct Child {
    of: Of,
    /// What is selected of it.
    pub(super) json: Vec<u8>,
}

/// The objects of a place, by what leads to them.
#[derive(Default)]
struct Found {
    children: Vec<Child>,
    by_name: HashMap<String, usize>,
    by_owner: HashMap<String, Vec<usize>>,
    by_subject: HashMap<String, Vec<usize>>,
}

/// The reads of one relation.
pub(super) struct Reads<'a> {
    asking: Asking<'a>,
    /// Number of reads that are left for the whole answer.
    left: &'a AtomicUsize,
    related: &'a Related,
    wanted: BTreeMap<Place, BTreeSet<Which>>,
    found: BTreeMap<Place, Result<Found, GraphError>>,
}

impl<'a> Reads<'a> {
    /// Nothing is read yet.
    pub(super) const fn new((asking, left): (Asking<'a>, &'a AtomicUsize), related: &'a Related) -> Self {
        Self { asking, left, related, wanted: BTreeMap::new(), found: BTreeMap::new() }
    }

    /// Adds what a gap needs.
    pub(super) fn want(&mut self, lead: &Lead) {
        if lead.which != Which::Nothing {
            let place = (lead.kind, lead.namespace.clone());
            self.wanted.entry(place).or_default().insert(lead.which.clone());
        }
    }

    /// Reads everything. Returns what is wrong with parts of it.
    pub(super) async fn all(&mut self) -> Vec<GraphError> {
        let mut errors = Vec::new();
        let wanted = std::mem::take(&mut self.wanted);
        let count = wanted.len();
        let take = |left: usize| left.checked_sub(count);
        let is_left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if count > MAX_LISTS || !is_left {
            let message = format!("too many reads: a relation leads to at most {MAX_LISTS} namespaces");
            let error = GraphError::new(Code::LimitExceeded, message);
            self.found = wanted.into_keys().map(|place| (place, Err(error.clone()))).collect();
            return errors;
        }
        let reads: Vec<_> = wanted.iter().map(|(place, which)| self.read(place, which)).collect();
        let read: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
        for (place, result) in wanted.into_keys().zip(read) {
            let result = result.and_then(|fragment| {
                errors.extend(fragment.errors);
                Found::of(&fragment.json).map_err(broken)
            });
            self.found.insert(place, result);
        }
        errors
    }

    async fn read(&self, (kind, namespace): &Place, which: &BTreeSet<Which>) -> Result<Fragment, GraphError> {
        let known = self.asking.endpoint.api.kinds.get(*kind);
        let known = known.ok_or_else(|| GraphError::new(Code::Internal, "the kind is not there"))?;
        let selection = Arc::new(self.selection(known));
        let mut arguments = Vec::new();
        let mut put = |name: &str, text: &str| arguments.push((name.into(), Argument::Json(quoted(text))));
        if let Some(namespace) = namespace {
            put("namespace", namespace);
        }
        let mut names = which.iter().filter_map(|which| match which {
            Which::Names(names, _) => Some(names),
            _ => None,
        });
        let only_name = match (names.next(), names.next()) {
            (Some(names), None) if names.len() == 1 => names.first(),
            _ => None,
        };
        let fragment = if let Some(name) = only_name.filter(|_| which.len() == 1) {
            put("name", name);
            let call = call(Verb::Get, *kind, arguments, Wanted::Object(selection));
            one(read::get(self.asking, &Arguments::new(self.asking, &call), &call, known).await)?
        } else {
            match which.first().filter(|_| which.len() == 1) {
                Some(Which::Labelled(labels)) => put("labelselector", labels),
                Some(Which::About(uid)) => put("fieldselector", &format!("involvedObject.uid={uid}")),
                _ => {}
            }
            let items = ("\"items\":".into(), ListField::Items(selection), When::default());
            let wanted = Wanted::List(Arc::new(ListSelection { fields: vec![items] }));
            let call = call(Verb::List, *kind, arguments, wanted);
            read::list(self.asking, &Arguments::new(self.asking, &call), &call, known).await?.whole().await?
        };
        let mut fragment = filled((self.asking, self.left), &self.related.tree, fragment, true).await?;
        for error in &mut fragment.errors {
            // Where that is among all objects read means nothing to the caller.
            error.path.retain(|step| *step != items_step() && !matches!(step, Step::Index(_)));
        }
        Ok(fragment)
    }

    /// What is selected of objects of a kind.
    fn selection(&self, kind: &Kind) -> Selection {
        let variables = self.asking.variables;
        let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
        let mut selection = self.related.selection.under(&says);
        for field in selection.fields.iter_mut().filter(|_| self.related.is_any_kind) {
            match &*field.key {
                "kind" => field.shape = Shape::Constant(quoted(&kind.resource.name.kind)),
                "apiVersion" => field.shape = Shape::Constant(quoted(&kind.resource.api_version())),
                _ => {}
            }
        }
        selection
    }

    /// The objects of a gap.
    pub(super) fn found(&self, lead: &Lead) -> Result<Vec<&Child>, GraphError> {
        let found = match self.found.get(&(lead.kind, lead.namespace.clone())) {
            Some(Ok(found)) => found,
            Some(Err(error)) => return Err(error.clone()),
            None => return Ok(Vec::new()),
        };
        let all = |indices: Option<&Vec<usize>>| -> Vec<&Child> {
            indices.into_iter().flatten().map(|index| &found.children[*index]).collect()
        };
        Ok(match &lead.which {
            Which::Nothing => Vec::new(),
            Which::Names(names, uid) => {
                let indices = names.iter().filter_map(|name| found.by_name.get(name));
                let is_same =
                    |child: &&Child| uid.as_ref().is_none_or(|uid| child.of.uid() == Some(uid.as_str()));
                indices.map(|index| &found.children[*index]).filter(is_same).collect()
            }
            Which::OwnedBy(uid) => all(found.by_owner.get(uid)),
            Which::About(uid) => all(found.by_subject.get(uid)),
            Which::Labelled(text) => {
                let selector = Selector::of_labels(text);
                let is_selected = |child: &&Child| {
                    selector.as_ref().is_some_and(|selector| selector.takes(child.of.labels().as_bytes()))
                };
                found.children.iter().filter(is_selected).collect()
            }
        })
    }
}

/// One object as a list. An object that does not exist leaves its gap empty.
fn one(read: Result<Fragment, GraphError>) -> Result<Fragment, GraphError> {
    let list = |json: &[u8]| [b"{\"items\":[", json, b"]}"].concat();
    match read {
        Ok(fragment) => Ok(Fragment { json: list(&fragment.json), ..fragment }),
        Err(error) if error.code == Code::NotFound => Ok(Fragment::of(list(b""))),
        Err(error) => Err(error),
    }
}

const fn call(verb: Verb, kind: usize, arguments: Vec<(Box<str>, Argument)>, wanted: Wanted) -> Call {
    Call { operation: Operation { verb, kind: Some(kind) }, arguments, wanted, relations: None }
}

impl Found {
    /// Takes a list apart.
    fn of(json: &[u8]) -> Result<Self, Malformed> {
        let mut found = Self::default();
        let all = members(&mut Cursor::new(json))?;
        let Some((_, items)) = all.first() else { return Ok(found) };
        let mut cursor = Cursor::new(items);
        cursor.expect(b'[')?;
        let mut more = !cursor.take(b']')?;
        while more {
            found.add(Child::of(cursor.value()?)?);
            more = cursor.another(b']')?;
        }
        Ok(found)
    }

    fn add(&mut self, child: Child) {
        let index = self.children.len();
        if let Some(name) = child.of.name() {
            self.by_name.insert(name.to_owned(), index);
        }
        for uid in child.of.owners() {
            self.by_owner.entry(uid.to_owned()).or_default().push(index);
        }
        if let Some(uid) = child.of.subject() {
            self.by_subject.entry(uid.to_owned()).or_default().push(index);
        }
        self.children.push(child);
    }
}

impl Child {
    fn of(object: &[u8]) -> Result<Self, Malformed> {
        let (mut of, mut json) = (Of::default(), vec![b'{']);
        for (key, value) in members(&mut Cursor::new(object))? {
            if key == OF.as_bytes() {
                of = serde_json::from_slice(value).unwrap_or_default();
                continue;
            }
            if json.len() > 1 {
                json.push(b',');
            }
            json.push(b'"');
            json.extend_from_slice(key);
            json.extend_from_slice(b"\":");
            json.extend_from_slice(value);
        }
        json.push(b'}');
        Ok(Self { of, json })
    }
}
