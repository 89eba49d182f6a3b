//! Reads the objects of all gaps of one relation: one list for each kind and namespace, or one object if it is the only
//! one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use apollo_compiler::response::JsonValue;
use futures::{StreamExt as _, stream};

use super::{
    super::{AnswerFragment, CallArguments, SIDE_BY_SIDE, broken, read},
    BoundedRequest,
    budget::{MAX_READS, WorkPace},
    filled,
    found::{BelongingPlaces, FoundObjects, RelatedObjects, taken},
    leads::{GapLead, WantedObjects},
};
use crate::{
    error::{ErrorCode, GraphError},
    input::PlanArgument,
    memory,
    plan::{PlanCall, RelatedField, WantedSelection},
    scan::{FieldCondition, ListField, ListSelection, ObjectSelection, PathStep, ValueShape, quoted},
    schema::{FieldOperation, OperationVerb, TypedKind},
};

/// Maximum number of namespaces to which one relation leads.
const MAX_NAMESPACES: usize = 100;

/// A kind, and a namespace or all of them.
type ReadPlace = (usize, Option<String>);
/// The result of a read in one place.
type ReadResult = Result<Arc<FoundObjects>, Arc<GraphError>>;

/// The place of what a gap needs among all that is read.
#[derive(Clone, Copy)]
pub(super) struct ReadTicket {
    pub(super) place: usize,
    pub(super) which: usize,
}

/// The reads of one relation.
pub(super) struct RelationReads<'a> {
    bounded: BoundedRequest<'a>,
    related: &'a RelatedField,
    places: BTreeMap<ReadPlace, usize>,
    /// The wanted objects of each place, with their numbers.
    wanted: Vec<HashMap<WantedObjects, usize>>,
}

impl<'a> RelationReads<'a> {
    /// Nothing is wanted yet.
    pub(super) const fn new(bounded: BoundedRequest<'a>, related: &'a RelatedField) -> Self {
        Self { bounded, related, places: BTreeMap::new(), wanted: Vec::new() }
    }

    /// Adds what a gap needs.
    pub(super) fn want(&mut self, lead: GapLead) -> ReadTicket {
        let place = *self.places.entry((lead.kind, lead.namespace)).or_insert(self.wanted.len());
        if place == self.wanted.len() {
            self.wanted.push(HashMap::new());
        }
        let wanted = &mut self.wanted[place];
        let next = wanted.len();
        ReadTicket { place, which: *wanted.entry(lead.which).or_insert(next) }
    }

    /// Reads everything. Returns what is wrong with parts of it, too.
    pub(super) async fn all(self) -> (Vec<ReadResult>, Vec<GraphError>) {
        let mut errors = Vec::new();
        if let Err(error) = self.is_bounded() {
            return (vec![Err(Arc::new(error)); self.wanted.len()], errors);
        }
        let mut places: Vec<(ReadPlace, usize)> = self.places.into_iter().collect();
        places.sort_unstable_by_key(|(_, number)| *number);
        let reader = PlaceReader { bounded: self.bounded, related: self.related };
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
        let exceeded = |message: String| Err(GraphError::new(ErrorCode::LimitExceeded, message));
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
struct PlaceReader<'a> {
    bounded: BoundedRequest<'a>,
    related: &'a RelatedField,
}

impl PlaceReader<'_> {
    /// Reads a place. What belongs to nobody leads nowhere.
    async fn read(
        self,
        place: ReadPlace,
        which: Vec<WantedObjects>,
    ) -> Result<(FoundObjects, Vec<GraphError>), GraphError> {
        let mut fragment = self.fetch(&place, &which).await?;
        let belonging = self.sort_out(&mut fragment, &which).await?;
        let mut fragment = filled(self.bounded, &self.related.tree, fragment, true).await?;
        for error in &mut fragment.errors {
            leave_out_place(&mut error.path);
        }
        Ok((FoundObjects::of(fragment.json, belonging).map_err(broken)?, fragment.errors))
    }

    /// Finds out what belongs where. What belongs nowhere has no errors, and goes if the rest leads on.
    async fn sort_out(
        self,
        fragment: &mut AnswerFragment,
        which: &[WantedObjects],
    ) -> Result<BelongingPlaces, GraphError> {
        let (mut pace, room) = (WorkPace::default(), &self.bounded.1.belonging);
        let children = RelatedObjects::of(&fragment.json, &mut pace).await.map_err(broken)?;
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

    async fn fetch(
        &self,
        (kind, namespace): &ReadPlace,
        which: &[WantedObjects],
    ) -> Result<AnswerFragment, GraphError> {
        let (asking, budget) = self.bounded;
        let known = asking.endpoint.api.kinds.get(*kind);
        let known = known.ok_or_else(|| GraphError::new(ErrorCode::Internal, "the kind is not there"))?;
        let selection = Arc::new(self.selection(known));
        let mut arguments = Vec::new();
        let mut put =
            |name: &str, text: &str| arguments.push((name.into(), PlanArgument::Json(quoted(text))));
        if let Some(namespace) = namespace {
            put("namespace", namespace);
        }
        let _turn = budget.turn().await;
        if let [WantedObjects::Names(names, _)] = which
            && let [name] = &names[..]
        {
            put("name", name);
            let call = call(OperationVerb::Get, *kind, arguments, WantedSelection::Object(selection));
            let fragment = one(read::get(asking, &CallArguments::new(asking, &call), &call, known).await)?;
            return budget.read.take(fragment.json.len()).map(|()| fragment);
        }
        if let Some((name, text)) = narrowed(which) {
            put(name, &text);
        }
        if let Some(owners) = owners(which) {
            arguments.push((memory::OWNERS.into(), PlanArgument::Json(owners)));
        }
        let items = ("\"items\":".into(), ListField::Items(selection), FieldCondition::default());
        let wanted = WantedSelection::List(Arc::new(ListSelection { fields: vec![items] }));
        let call = call(OperationVerb::List, *kind, arguments, wanted);
        read::list(asking, &CallArguments::new(asking, &call), &call, known).await?.whole(&budget.read).await
    }

    /// The selection of objects of a kind.
    fn selection(&self, kind: &TypedKind) -> ObjectSelection {
        let variables = self.bounded.0.variables;
        let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
        let mut selection = self.related.selection.under(&says);
        for field in selection.fields.iter_mut().filter(|_| self.related.is_any_kind) {
            match (&*field.key, &field.shape) {
                ("kind", _) => field.shape = ValueShape::Constant(quoted(&kind.resource.name.kind)),
                ("apiVersion", _) => field.shape = ValueShape::Constant(quoted(&kind.resource.api_version())),
                (_, ValueShape::Whole(inner)) if **inner == ValueShape::Plain => {
                    field.shape = ValueShape::Whole(Box::new(ValueShape::With(kind.members())));
                }
                _ => {}
            }
        }
        selection
    }
}

/// The argument that makes a list shorter, if all that is wanted of it has something in common.
pub(super) fn narrowed(which: &[WantedObjects]) -> Option<(&'static str, String)> {
    match which {
        [WantedObjects::Labelled(labels)] => Some(("labelselector", labels.clone())),
        [WantedObjects::About(uid)] => Some(("fieldselector", format!("involvedObject.uid={uid}"))),
        // Those of a Node have one of two things in the place of its uid.
        _ if which.iter().all(|which| matches!(which, WantedObjects::AboutNode(..))) => {
            Some(("fieldselector", "involvedObject.kind=Node".to_owned()))
        }
        _ => None,
    }
}

/// The owners of all that is wanted, as JSON. No API server selects by them, but memory does.
pub(super) fn owners(which: &[WantedObjects]) -> Option<Box<str>> {
    let uids = which.iter().map(|which| match which {
        WantedObjects::OwnedBy(uid) => Some(uid),
        _ => None,
    });
    let uids = uids.collect::<Option<Vec<_>>>()?;
    serde_json::to_string(&uids).ok().map(String::into_boxed_str)
}

/// Returns `true` unless the error is of an object of a list that belongs to nobody.
pub(super) fn is_of(error: &GraphError, taken: &[u32]) -> bool {
    let is_taken = |index: usize| u32::try_from(index).is_ok_and(|index| taken.binary_search(&index).is_ok());
    match &error.path[..] {
        [items, PathStep::Index(index), ..] if is_items(items) => is_taken(*index),
        _ => true,
    }
}

/// Leaves out where an object is among all that were read, which means nothing to the caller. What is within it stays: an
/// object may have `items`, too.
pub(super) fn leave_out_place(path: &mut Vec<PathStep>) {
    if matches!(&path[..], [items, PathStep::Index(_), ..] if is_items(items)) {
        path.drain(..2);
    }
}

fn is_items(step: &PathStep) -> bool {
    matches!(step, PathStep::Field(name) if name == "items")
}

/// One object as a list. An object that does not exist leaves its gap empty.
fn one(read: Result<AnswerFragment, GraphError>) -> Result<AnswerFragment, GraphError> {
    let list = |json: &[u8]| [b"{\"items\":[", json, b"]}"].concat();
    match read {
        Ok(AnswerFragment { json, errors }) => {
            let first = [PathStep::Field("items".to_owned()), PathStep::Index(0)];
            let errors = errors.into_iter().map(|error| error.at(&first, None)).collect();
            Ok(AnswerFragment { json: list(&json), errors })
        }
        Err(error) if error.code == ErrorCode::NotFound => Ok(AnswerFragment::of(list(b""))),
        Err(error) => Err(error),
    }
}

const fn call(
    verb: OperationVerb,
    kind: usize,
    arguments: Vec<(Box<str>, PlanArgument)>,
    wanted: WantedSelection,
) -> PlanCall {
    PlanCall { operation: FieldOperation { verb, kind: Some(kind) }, arguments, wanted, relations: None }
}
