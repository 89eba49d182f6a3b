//! Pure: the schema of the fleet, made for one request: what the clusters have together that accept the caller.
//!
//! Types that clusters share are in memory once, so that this costs a table of names.

use std::sync::LazyLock;

use apollo_compiler::{
    Name, Schema,
    ast::{FieldDefinition, Selection},
    collections::{HashMap, HashSet, IndexMap},
    introspection,
    response::JsonMap,
    schema::{Component, ComponentName, ExtendedType},
    validation::Valid,
};

use super::{CLUSTER, written::WrittenQuery};
use crate::{
    error::{ErrorCode, GraphError},
    plan,
    schema::ClusterApi,
};

/// The fleet's own types.
const OWN: &str = r#"
type Query {
  "The clusters that accept the token, by their names."
  clusters(
    "Only clusters whose labels match, such as `env=prod,region in (eu, us)`."
    selector: String
    "Only these. One that is not there is listed with an error."
    names: [String!]
  ): [FleetCluster!]!
}
"A cluster with everything that it has."
type FleetCluster {
  "Its name."
  name: String!
  "What is wrong with it, if it has not answered, or does not have all that is selected."
  error: String
  "The labels of its ClusterAccess."
  labels: StringMap_Input
}
scalar StringMap_Input
"#;

/// The schema of the fleet without what clusters have.
pub fn own() -> &'static Valid<Schema> {
    static OWN_ALONE: LazyLock<Valid<Schema>> = LazyLock::new(|| Valid::assume_valid(parsed()));
    &OWN_ALONE
}

/// The text is our own, and the tests of this module validate what is made of it.
fn parsed() -> Schema {
    Schema::parse(OWN, "fleet.graphql").unwrap_or_else(|invalid| invalid.partial)
}

/// The schema of some clusters together. Where they differ, the first one counts; each is asked by its own schema.
pub fn union<'a>(apis: impl Iterator<Item = &'a ClusterApi>) -> Valid<Schema> {
    let mut types: IndexMap<Name, ExtendedType> = IndexMap::default();
    // Clusters of one version mostly have one API between them.
    let mut seen: HashSet<*const ClusterApi> = HashSet::default();
    for api in apis.filter(|api| seen.insert(std::ptr::from_ref::<ClusterApi>(api))) {
        for (name, ty) in api.schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
            match types.get_mut(name) {
                Some(known) => merge(known, ty),
                None => {
                    types.insert(name.clone(), ty.clone());
                }
            }
        }
    }
    let mut schema = parsed();
    let query = types.swap_remove("Query");
    if let (Some(ExtendedType::Object(query)), Some(ExtendedType::Object(cluster))) =
        (&query, schema.types.get_mut(CLUSTER))
    {
        let fields = &mut cluster.make_mut().fields;
        for (name, field) in &query.fields {
            fields.entry(name.clone()).or_insert_with(|| nullable(field));
        }
    }
    for (name, ty) in types {
        schema.types.entry(name).or_insert(ty);
    }
    let root = |name: &'static str| ComponentName::from(Name::new_unchecked(name));
    let definition = schema.schema_definition.make_mut();
    (definition.query, definition.mutation, definition.subscription) = (Some(root("Query")), None, None);
    let reached = reached(&schema);
    schema.types.retain(|name, ty| ty.is_built_in() || reached.contains(name));
    schema.types.sort_unstable_keys();
    Valid::assume_valid(schema)
}

/// A field of a cluster, which is null if the cluster does not answer.
fn nullable(field: &Component<FieldDefinition>) -> Component<FieldDefinition> {
    let mut field = field.clone();
    if field.ty.is_non_null() {
        let definition = field.make_mut();
        definition.ty = definition.ty.clone().nullable();
    }
    field
}

/// Adds the fields that a type has elsewhere.
fn merge(known: &mut ExtendedType, other: &ExtendedType) {
    match (known, other) {
        (ExtendedType::Object(known), ExtendedType::Object(other))
            if has_more(&known.fields, &other.fields) =>
        {
            add(&mut known.make_mut().fields, &other.fields);
        }
        (ExtendedType::InputObject(known), ExtendedType::InputObject(other))
            if has_more(&known.fields, &other.fields) =>
        {
            add(&mut known.make_mut().fields, &other.fields);
        }
        _ => {}
    }
}

fn has_more<T>(known: &IndexMap<Name, T>, other: &IndexMap<Name, T>) -> bool {
    !std::ptr::eq(known, other) && other.keys().any(|name| !known.contains_key(name))
}

fn add<T: Clone>(known: &mut IndexMap<Name, T>, other: &IndexMap<Name, T>) {
    for (name, field) in other {
        known.entry(name.clone()).or_insert_with(|| field.clone());
    }
}

/// The types that a query can get to.
fn reached(schema: &Schema) -> HashSet<Name> {
    let (mut reached, mut waiting) = (HashSet::default(), vec![Name::new_unchecked("Query")]);
    while let Some(name) = waiting.pop() {
        let Some(ty) = schema.types.get(&name).filter(|_| reached.insert(name.clone())) else { continue };
        match ty {
            ExtendedType::Object(object) => {
                for field in object.fields.values() {
                    waiting.push(field.ty.inner_named_type().clone());
                    let arguments = field.arguments.iter();
                    waiting.extend(arguments.map(|argument| argument.ty.inner_named_type().clone()));
                }
            }
            ExtendedType::InputObject(input) => {
                waiting.extend(input.fields.values().map(|field| field.ty.inner_named_type().clone()));
            }
            _ => {}
        }
    }
    reached
}

/// Answers `__schema` and `__type` of the fleet.
pub fn introspect<'a>(
    written: &WrittenQuery,
    fields: Vec<Selection>,
    apis: impl Iterator<Item = &'a ClusterApi>,
) -> Result<JsonMap, Vec<GraphError>> {
    let schema = union(apis);
    let document = written.alone(fields);
    let document = document
        .to_executable_validate(&schema)
        .map_err(|invalid| plan::told(ErrorCode::ValidationFailed, &invalid.errors))?;
    let failed = |error: apollo_compiler::request::RequestError| {
        vec![GraphError::compiled(ErrorCode::ValidationFailed, error.to_graphql_error(&document.sources))]
    };
    let operation = document.operations.get(None).map_err(failed)?;
    introspection::check_max_depth(&document, operation).map_err(failed)?;
    let variables = apollo_compiler::request::coerce_variable_values(&schema, operation, &written.given)
        .map_err(failed)?;
    let done = introspection::partial_execute(&schema, &HashMap::default(), &document, operation, &variables)
        .map_err(failed)?;
    match done.data {
        Some(data) if done.errors.is_empty() => Ok(data),
        _ => Err(done
            .errors
            .into_iter()
            .map(|error| GraphError::compiled(ErrorCode::ValidationFailed, error))
            .collect()),
    }
}
