//! Answers from memory. Where memory cannot answer, or may not, the API server is asked.

use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;
use tracing::info;

use super::{
    cluster::ClusterMemory,
    fill,
    held::HeldObjects,
    kept::TOO_OLD,
    object::{KeptObject, key},
    page::PageStart,
    reading::MemoryReading,
    review::KindRight,
    run::ObjectRun,
    selector::ObjectSelector,
};
use crate::{
    document::ApiResource,
    error::GraphError,
    execute::{CallArguments, RequestContext},
    plan::{PlanCall, WantedSelection},
    scan::{ObjectSelection, ValueShape},
    schema::TypedKind,
    upstream::checked_namespace,
};

/// The argument of lists that relations ask for: the identities of those whose objects are enough. An API server is not
/// told, and answers with all.
pub const OWNERS: &str = "owners";

/// A read of a kind that may be in memory.
struct SoughtKind<'a> {
    asking: RequestContext<'a>,
    memory: &'a Arc<ClusterMemory>,
    reading: &'a MemoryReading,
    resource: &'a ApiResource,
}

/// One object from memory. None if the API server has to be asked: always for an object that memory does not know, since
/// it may be new.
pub async fn get(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<Option<KeptObject>, GraphError> {
    let Some(sought) = SoughtKind::of(asking, call, kind) else { return Ok(None) };
    let (name, namespace) = (arguments.name()?, arguments.namespace(sought.resource)?);
    let namespace = namespace.as_deref();
    let key = key(namespace.unwrap_or_default(), &name);
    let found = sought.looked(("get", namespace), |held| held.get(&key).cloned()).await;
    let Some((Some(found), proof)) = found else { return Ok(sought.through()) };
    sought.told(("get", namespace, &name), proof);
    Ok(Some(found))
}

/// A list from memory. None if the API server has to be asked.
pub async fn list(
    asking: RequestContext<'_>,
    arguments: &CallArguments<'_>,
    call: &PlanCall,
    kind: &TypedKind,
) -> Result<Option<FoundPage>, GraphError> {
    let Some(sought) = SoughtKind::of(asking, call, kind) else { return Ok(None) };
    let namespace = arguments.text("namespace")?.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.as_deref().filter(|_| sought.resource.is_namespaced);
    if let Some(namespace) = namespace {
        checked_namespace(namespace)?;
    }
    let text = |name: &str| Ok::<_, GraphError>(arguments.text(name)?.unwrap_or_default());
    let selector = ObjectSelector::read(&text("labelselector")?, &text("fieldselector")?, sought.resource);
    let token = text("continue")?;
    let place = if token.is_empty() { Some(None) } else { PageStart::read(&token).map(Some) };
    let (Some(selector), Some(place)) = (selector, place) else { return Ok(sought.through()) };
    let owners = arguments.texts(OWNERS)?;
    let limit = arguments.number("limit")?.filter(|limit| *limit > 0);
    let limit: Option<usize> = limit.and_then(|limit| limit.try_into().ok());
    let page = SoughtPage { namespace, selector, owners, place, limit };
    let found = sought.looked(("list", namespace), |held| page.of(held)).await;
    let Some((Some(found), proof)) = found else { return Ok(sought.through()) };
    let found = found.selected(&page);
    if found.bytes > asking.max_response {
        // The API server's answer is as large, and the error says what to do.
        return Ok(sought.through());
    }
    sought.told(("list", namespace, ""), proof);
    Ok(Some(found))
}

impl<'a> SoughtKind<'a> {
    /// None if there is no memory, or if it is not wanted, or never has what is selected.
    fn of(asking: RequestContext<'a>, call: &PlanCall, kind: &'a TypedKind) -> Option<Self> {
        let (memory, reading) = (asking.endpoint.memory.as_ref()?, asking.reading?);
        let sought = Self { asking, memory, reading, resource: &kind.resource };
        if reading.wishes.is_off || !memory.may_keep(&kind.resource) || !has_all(&call.wanted) {
            return sought.through();
        }
        Some(sought)
    }

    fn through<T>(&self) -> Option<T> {
        self.reading.went_through();
        self.memory.reads.count("cluster");
        None
    }

    /// Looks into memory, if the caller may, and if it is young enough. Returns the time up to which it is known, too.
    async fn looked<T>(
        &self,
        (verb, namespace): (&'static str, Option<&str>),
        find: impl FnOnce(&HeldObjects) -> T,
    ) -> Option<(T, Instant)> {
        let kept = self.memory.kept(self.resource);
        kept.note_read();
        if !kept.is_open() {
            fill::asked(self.memory, &kept, self.asking.authorization, namespace);
            return None;
        }
        if !kept.is_fresh() {
            return None;
        }
        let right = KindRight { verb, resource: self.resource, namespace };
        if !self.memory.allows(self.asking.authorization, right).await
            || !kept.reaches(self.reading.wishes.at_least).await
        {
            return None;
        }
        let look = kept.look(find)?;
        (look.proof.elapsed() < TOO_OLD).then_some((look.found, look.proof))
    }

    /// Notes an answer from memory, for the caller and for whoever audits: the API server has not seen it.
    fn told(&self, (verb, namespace, name): (&str, Option<&str>, &str), proof: Instant) {
        self.reading.remembered(proof);
        self.memory.reads.count("memory");
        let caller = self.reading.caller.as_deref().unwrap_or("-");
        let (group, resource) = (self.resource.name.group.as_str(), self.resource.plural.as_str());
        let namespace = namespace.unwrap_or_default();
        info!(target: "access", cluster = self.memory.cluster, caller, verb, group, resource, namespace, name, "read from memory");
    }
}

/// The page that is asked for.
struct SoughtPage<'a> {
    namespace: Option<&'a str>,
    selector: ObjectSelector,
    owners: Option<Vec<String>>,
    place: Option<PageStart>,
    limit: Option<usize>,
}

/// Part of a list.
pub struct FoundPage {
    objects: ObjectRun,
    /// The version of the list.
    version: u64,
    /// Where the next page begins.
    next: Option<PageStart>,
    /// Number of objects after this page, if that is known.
    left: Option<usize>,
    /// The bytes of its items.
    pub bytes: usize,
}

impl SoughtPage<'_> {
    /// The objects from which the page is selected. None if the list has changed since its first page: later pages are of
    /// the same version, which the API server still has.
    fn of(&self, held: &HeldObjects) -> Option<FoundPage> {
        let place = self.place.as_ref();
        if place.is_some_and(|place| !(held.changed..=held.version).contains(&place.version)) {
            return None;
        }
        let version = place.map_or(held.version, |place| place.version);
        let from = place.map(|place| place.key(self.namespace)).unwrap_or_default();
        let mut objects = match &self.owners {
            Some(owners) => held.owned_by(owners, self.namespace),
            None => held.within(self.namespace, &from),
        };
        let count = objects.count();
        let wanted = self.limit.filter(|_| self.selector.is_empty()).unwrap_or(count);
        objects.truncate(wanted);
        let left = Some(count.saturating_sub(wanted)).filter(|left| *left > 0);
        let next = left.and_then(|_| self.after(objects.last(), version));
        Some(FoundPage { objects, version, next, left, bytes: 0 })
    }

    fn after(&self, last: Option<&KeptObject>, version: u64) -> Option<PageStart> {
        PageStart::after(last?.key(), self.namespace, version)
    }
}

impl FoundPage {
    /// Its items, in the order of the API server or in that of their names, as those of one namespace are already. Nothing
    /// is read for that.
    pub fn items(&self, is_by_name: bool) -> Vec<&[u8]> {
        let mut objects: Vec<&KeptObject> = Vec::with_capacity(self.objects.count());
        objects.extend(self.objects.all());
        if is_by_name {
            objects.sort_by(|a, b| a.name().cmp(b.name()));
        }
        objects.into_iter().map(KeptObject::json).collect()
    }

    /// Its metadata as JSON.
    pub fn metadata(&self) -> String {
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next.text());
        }
        if let Some(left) = self.left {
            metadata["remainingItemCount"] = json!(left);
        }
        metadata.to_string()
    }

    /// Applies the selector, and counts the bytes.
    fn selected(mut self, page: &SoughtPage<'_>) -> Self {
        if !page.selector.is_empty() {
            let taken = self.objects.all().filter(|object| page.selector.takes(object.json()));
            let mut taken: Vec<_> = taken.cloned().collect();
            if let Some(limit) = page.limit.filter(|limit| *limit < taken.len()) {
                taken.truncate(limit);
                self.next = page.after(taken.last(), self.version);
            }
            self.objects = taken.into();
        }
        self.bytes = self.objects.all().map(|object| object.json().len()).sum();
        self
    }
}

/// Returns `true` if memory has everything that is selected. It has no managed fields, and nothing above an object's
/// own members.
fn has_all(wanted: &WantedSelection) -> bool {
    match wanted {
        WantedSelection::Object(selection) => is_kept(selection),
        WantedSelection::List(list) => list.items().all(|items| is_kept(items)),
        WantedSelection::Event(_) | WantedSelection::Leaf => false,
    }
}

fn is_kept(selection: &ObjectSelection) -> bool {
    selection.fields.iter().all(|field| match (&*field.key, &field.shape) {
        (_, ValueShape::Constant(_)) => true,
        ("metadata", ValueShape::Object(metadata)) => metadata
            .fields
            .iter()
            .all(|field| &*field.key != "managedFields" && !matches!(field.shape, ValueShape::Whole(_))),
        // What leads to other objects is never all of the object.
        (_, ValueShape::Whole(inner)) if matches!(**inner, ValueShape::Object(_)) => match &**inner {
            ValueShape::Object(selection) => is_kept(selection),
            _ => false,
        },
        (_, ValueShape::Whole(_)) | ("kind" | "apiVersion" | "metadata", _) => false,
        _ => true,
    })
}

#[cfg(test)]
mod tests;
