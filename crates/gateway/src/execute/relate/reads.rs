//! Reads the objects of all gaps of one relation: one list for each kind and namespace, or one object if it is the only
//! one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use apollo_compiler::response::JsonValue;
use futures::{StreamExt as _, stream};

use super::{
    super::{Arguments, Fragment, SIDE_BY_SIDE, broken, read},
    Bounded,
    budget::{MAX_READS, Pace},
    filled,
    found::{Belonging, Children, Found, taken},
    leads::{Lead, Which},
};
use crate::{
    error::{Code, GraphError},
    input::Argument,
    memory,
    plan::{Call, Related, Wanted},
    scan::{ListField, ListSelection, Selection, Shape, Step, When, quoted},
    schema::{Kind, Operation, Verb},
};

/// Maximum number of namespaces to which one relation leads.
const MAX_NAMESPACES: usize = 100;

/// A kind, and a namespace or all of them.
type Place = (usize, Option<String>);
/// The result of a read in one place.
type Read = Result<Arc<Found>, Arc<GraphError>>;

/// The place of what a gap needs among all that is read.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    pub(super) place: usize,
    pub(super) which: usize,
}

/// The reads of one relation.
pub(super) struct Reads<'a> {
    bounded: Bounded<'a>,
    related: &'a Related,
    places: BTreeMap<Place, usize>,
    /// The wanted objects of each place, with their numbers.
    wanted: Vec<HashMap<Which, usize>>,
}

impl<'a> Reads<'a> {
    /// Nothing is wanted yet.
    pub(super) const fn new(bounded: Bounded<'a>, related: &'a Related) -> Self {
        Self { bounded, related, places: BTreeMap::new(), wanted: Vec::new() }
    }

    /// Adds what a gap needs.
    pub(super) fn want(&mut self, lead: Lead) -> Ticket {
        let place = *self.places.entry((lead.kind, lead.namespace)).or_insert(self.wanted.len());
        if place == self.wanted.len() {
            self.wanted.push(HashMap::new());
        }
        let wanted = &mut self.wanted[place];
        let next = wanted.len();
        Ticket { place, which: *wanted.entry(lead.which).or_insert(next) }
    }

    /// Reads everything. Returns what is wrong with parts of it, too.
    pub(super) async fn all(self) -> (Vec<Read>, Vec<GraphError>) {
        let mut errors = Vec::new();
        if let Err(error) = self.is_bounded() {
            return (vec![Err(Arc::new(error)); self.wanted.len()], errors);
        }
        let mut places: Vec<(Place, usize)> = self.places.into_iter().collect();
        places.sort_unstable_by_key(|(_, number)| *number);
        let reader = Reader { bounded: self.bounded, related: self.related };
        let reads = places.into_iter().zip(self.wanted).map(|((place, _), wanted)| {
            let mut which: Vec<_> = wanted.into_iter().collect();
            which.sort_unstable_by_key(|(_, number)| *number);
            reader.read(place, which.into_iter().map(|(which, _)| which).collect())
        });
        let reads: Vec<_> = reads.collect();
        let mut reading = stream::iter(reads).buffered(SIDE_BY_SIDE);
        let mut all = Vec::new();
        while let Some(read) = reading.next().await {
            all.push(read.map_err(Arc::new).map(|(found, wrong)| {
                errors.extend(wrong);
                Arc::new(found)
            }));
        }
        (all, errors)
    }

    fn is_bounded(&self) -> Result<(), GraphError> {
        let namespaces: BTreeSet<_> = self.places.keys().map(|(_, namespace)| namespace).collect();
        let exceeded = |message: String| Err(GraphError::new(Code::LimitExceeded, message));
        if namespaces.len() > MAX_NAMESPACES {
            return exceeded(format!(
                "too many reads: a relation leads to at most {MAX_NAMESPACES} namespaces"
            ));
        }
        if !self.bounded.1.take_reads(self.places.len()) {
            return exceeded(format!("too many reads: the relations of an answer take at most {MAX_READS}"));
        }
        Ok(())
    }
}

/// Reads one place after another, or several at a time.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bounded: Bounded<'a>,
    related: &'a Related,
}

impl Reader<'_> {
    /// Reads a place. What belongs to nobody leads nowhere.
    async fn read(self, place: Place, which: Vec<Which>) -> Result<(Found, Vec<GraphError>), GraphError> {
        let mut fragment = self.fetch(&place, &which).await?;
        let belonging = self.sort_out(&mut fragment, &which).await?;
        let mut fragment = filled(self.bounded, &self.related.tree, fragment, true).await?;
        for error in &mut fragment.errors {
            leave_out_place(&mut error.path);
        }
        Ok((Found::of(fragment.json, belonging).map_err(broken)?, fragment.errors))
    }

    /// Finds out what belongs where. What belongs nowhere has no errors, and goes if the rest leads on.
    async fn sort_out(self, fragment: &mut Fragment, which: &[Which]) -> Result<Belonging, GraphError> {
        let (mut pace, room) = (Pace::default(), &self.bounded.1.belonging);
        let children = Children::of(&fragment.json, &mut pace).await.map_err(broken)?;
        let mut belonging = children.belonging(which, (room, &mut pace)).await?;
        let taken = taken(&belonging);
        fragment.errors.retain(|error| is_of(error, &taken));
        if !self.related.tree.fields.is_empty()
            && let Some(list) = children.without_others(&taken, &mut belonging)
        {
            fragment.json = list;
        }
        Ok(belonging)
    }

    async fn fetch(&self, (kind, namespace): &Place, which: &[Which]) -> Result<Fragment, GraphError> {
        let (asking, budget) = self.bounded;
        let known = asking.endpoint.api.kinds.get(*kind);
        let known = known.ok_or_else(|| GraphError::new(Code::Internal, "the kind is not there"))?;
        let selection = Arc::new(self.selection(known));
        let mut arguments = Vec::new();
        let mut put = |name: &str, text: &str| arguments.push((name.into(), Argument::Json(quoted(text))));
        if let Some(namespace) = namespace {
            put("namespace", namespace);
        }
        let _turn = budget.turn().await;
        if let [Which::Names(names, _)] = which
            && let [name] = &names[..]
        {
            put("name", name);
            let call = call(Verb::Get, *kind, arguments, Wanted::Object(selection));
            let fragment = one(read::get(asking, &Arguments::new(asking, &call), &call, known).await)?;
            return budget.read.take(fragment.json.len()).map(|()| fragment);
        }
        if let Some((name, text)) = narrowed(which) {
            put(name, &text);
        }
        if let Some(owners) = owners(which) {
            arguments.push((memory::OWNERS.into(), Argument::Json(owners)));
        }
        let items = ("\"items\":".into(), ListField::Items(selection), When::default());
        let wanted = Wanted::List(Arc::new(ListSelection { fields: vec![items] }));
        let call = call(Verb::List, *kind, arguments, wanted);
        read::list(asking, &Arguments::new(asking, &call), &call, known).await?.whole(&budget.read).await
    }

    /// The selection of objects of a kind.
    fn selection(&self, kind: &Kind) -> Selection {
        let variables = self.bounded.0.variables;
        let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
        let mut selection = self.related.selection.under(&says);
        for field in selection.fields.iter_mut().filter(|_| self.related.is_any_kind) {
            match (&*field.key, &field.shape) {
                ("kind", _) => field.shape = Shape::Constant(quoted(&kind.resource.name.kind)),
                ("apiVersion", _) => field.shape = Shape::Constant(quoted(&kind.resource.api_version())),
                (_, Shape::Whole(inner)) if **inner == Shape::Plain => {
                    field.shape = Shape::Whole(Box::new(Shape::With(kind.members())));
                }
                _ => {}
            }
        }
        selection
    }
}

/// The argument that makes a list shorter, if all that is wanted of it has something in common.
pub(super) fn narrowed(which: &[Which]) -> Option<(&'static str, String)> {
    match which {
        [Which::Labelled(labels)] => Some(("labelselector", labels.clone())),
        [Which::About(uid)] => Some(("fieldselector", format!("involvedObject.uid={uid}"))),
        // Those of a Node have one of two things in the place of its uid.
        _ if which.iter().all(|which| matches!(which, Which::AboutNode(..))) => {
            Some(("fieldselector", "involvedObject.kind=Node".to_owned()))
        }
        _ => None,
    }
}

/// The owners of all that is wanted, as JSON. No API server selects by them, but memory does.
pub(super) fn owners(which: &[Which]) -> Option<Box<str>> {
    let uids = which.iter().map(|which| match which {
        Which::OwnedBy(uid) => Some(uid),
        _ => None,
    });
    let uids = uids.collect::<Option<Vec<_>>>()?;
    serde_json::to_string(&uids).ok().map(String::into_boxed_str)
}

/// Returns `true` unless the error is of an object of a list that belongs to nobody.
pub(super) fn is_of(error: &GraphError, taken: &[u32]) -> bool {
    let is_taken = |index: usize| u32::try_from(index).is_ok_and(|index| taken.binary_search(&index).is_ok());
    match &error.path[..] {
        [items, Step::Index(index), ..] if is_items(items) => is_taken(*index),
        _ => true,
    }
}

/// Leaves out where an object is among all that were read, which means nothing to the caller. What is within it stays: an
/// object may have `items`, too.
pub(super) fn leave_out_place(path: &mut Vec<Step>) {
    if matches!(&path[..], [items, Step::Index(_), ..] if is_items(items)) {
        path.drain(..2);
    }
}

fn is_items(step: &Step) -> bool {
    matches!(step, Step::Field(name) if name == "items")
}

/// One object as a list. An object that does not exist leaves its gap empty.
fn one(read: Result<Fragment, GraphError>) -> Result<Fragment, GraphError> {
    let list = |json: &[u8]| [b"{\"items\":[", json, b"]}"].concat();
    match read {
        Ok(Fragment { json, errors }) => {
            let first = [Step::Field("items".to_owned()), Step::Index(0)];
            let errors = errors.into_iter().map(|error| error.at(&first, None)).collect();
            Ok(Fragment { json: list(&json), errors })
        }
        Err(error) if error.code == Code::NotFound => Ok(Fragment::of(list(b""))),
        Err(error) => Err(error),
    }
}

const fn call(verb: Verb, kind: usize, arguments: Vec<(Box<str>, Argument)>, wanted: Wanted) -> Call {
    Call { operation: Operation { verb, kind: Some(kind) }, arguments, wanted, relations: None }
}
