//! The types and arguments that all groups share.

use apollo_compiler::{
    Node,
    ast::{InputValueDefinition, Value},
};

use crate::schema::{nodes::ObjectFields, types::TypeBuilder};

/// The arguments of a field.
pub(super) type FieldArguments = Vec<Node<InputValueDefinition>>;

/// Arguments that many fields share.
pub(super) struct SharedArguments {
    pub(super) list: FieldArguments,
    pub(super) watch: FieldArguments,
    pub(super) name: Node<InputValueDefinition>,
    pub(super) namespace: Node<InputValueDefinition>,
    pub(super) dry_run: Node<InputValueDefinition>,
    pub(super) manager: Node<InputValueDefinition>,
    pub(super) preconditions: FieldArguments,
    pub(super) delete: FieldArguments,
}

pub(super) fn shared(builder: &mut TypeBuilder<'_>) -> SharedArguments {
    let nodes = &mut builder.nodes;
    let mut optional = |name: &str, ty: &str, description: &str| {
        let ty = nodes.named(ty);
        Node::new(nodes.input(name, ty, None, Some(description)))
    };
    let mut list = vec![
        optional("labelselector", "String", "Such as `app=a,tier in (b,c)`."),
        optional("fieldselector", "String", "Such as `metadata.name=a`."),
        optional("limit", "Int", "How many at most."),
        optional("continue", "String", "Where the last page ended."),
    ];
    let version = optional("resourceVersion", "String", "The version from which on changes are sent.");
    let namespace =
        optional("namespace", "String", "The namespace; for lists all of them where it is empty.");
    let dry_run = optional("dryRun", "Boolean", "Whether nothing is to be stored.");
    let manager = optional("fieldManager", "String", "Who owns the fields.");
    let preconditions = vec![
        optional("resourceVersion", "String", "The version that the object must have."),
        optional("uid", "String", "The uid that the object must have."),
    ];
    let mut delete = preconditions.clone();
    delete.push(optional("propagationPolicy", "String", "Foreground, Background or Orphan."));
    delete.push(optional("gracePeriodSeconds", "Long", "How long the object has to end."));
    let sort = nodes.named("String");
    let by_name = Some(Value::String("metadata.name".to_owned()));
    list.insert(
        1,
        Node::new(nodes.input("sortBy", sort, by_name, Some("The field that the page is sorted by."))),
    );
    let boolean = nodes.named("Boolean");
    let all = nodes.input(
        "subscribeToAll",
        boolean,
        Some(Value::Boolean(false)),
        Some("Whether changes of other fields count, too."),
    );
    let watch = vec![Node::new(all), version];
    let name = nodes.required("String");
    let name = Node::new(nodes.input("name", name, None, Some("The name of the object.")));
    SharedArguments { list, watch, name, namespace, dry_run, manager, preconditions, delete }
}

/// The fields of an object of a category, with their types; none is a text.
const CATEGORY_RESOURCE: [(&str, Option<&str>); 5] =
    [("apiVersion", None), ("kind", None), ("metadata", Some("JSON")), ("yaml", None), ("continue", None)];

pub(super) fn common_types(builder: &mut TypeBuilder<'_>) {
    let nodes = &mut builder.nodes;
    let text = nodes.required("String");
    let mut record = |name: &str, fields: &[(&str, Option<&str>)]| {
        let mut all = ObjectFields::default();
        for (field, ty) in fields {
            let ty = ty.map_or_else(|| text.clone(), |ty| nodes.named(ty));
            all.insert(nodes.name(field), nodes.field(field, ty, None));
        }
        nodes.object(name, all, None)
    };
    let by_category = record(
        "typeByCategoryObject",
        &[("group", None), ("version", None), ("kind", None), ("scope", None)],
    );
    let resource = record("CategoryResource", &CATEGORY_RESOURCE);
    let applied = record(
        "ApplyResult",
        &[
            ("apiVersion", Some("String")),
            ("kind", Some("String")),
            ("name", Some("String")),
            ("namespace", Some("String")),
            ("object", Some("JSONString")),
            ("error", Some("String")),
            ("code", Some("String")),
        ],
    );
    let spec = record("ScaleSpec", &[("replicas", Some("Int"))]);
    let status = record("ScaleStatus", &[("replicas", Some("Int")), ("selector", Some("String"))]);
    let metadata = record(
        "ScaleMetadata",
        &[("name", Some("String")), ("namespace", Some("String")), ("resourceVersion", Some("String"))],
    );
    let scale = record(
        "ScaleResult",
        &[("metadata", Some("ScaleMetadata")), ("spec", Some("ScaleSpec")), ("status", Some("ScaleStatus"))],
    );
    let log = record("PodLogEntry", &[("message", None), ("container", None)]);
    let events = nodes.enumeration("WatchEventType", &["ADDED", "MODIFIED", "DELETED"]);
    let all = [
        ("typeByCategoryObject", by_category),
        ("CategoryResource", resource),
        ("ApplyResult", applied),
        ("ScaleSpec", spec),
        ("ScaleStatus", status),
        ("ScaleMetadata", metadata),
        ("ScaleResult", scale),
        ("PodLogEntry", log),
        ("WatchEventType", events),
    ];
    for (name, ty) in all {
        builder.add(name, ty);
    }
}
