//! The fields of roots, groups and versions, with their operations.

mod common;
mod mutations;
mod queries;
mod subscriptions;

use std::collections::BTreeMap;

use apollo_compiler::{
    Name, Node,
    ast::{Type, Value},
    collections::HashMap,
};

use self::common::{FieldArguments, SharedArguments};
use super::{groups::group_names, nodes::ObjectFields, types::TypeBuilder};
use crate::{
    document::{ApiResource, KindName},
    names,
};

/// The action of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationVerb {
    /// Lists objects.
    List,
    /// Gets one.
    Get,
    /// Gets one as YAML.
    Yaml,
    /// Creates one.
    Create,
    /// Changes one by a merge patch.
    Update,
    /// Applies one by server-side apply.
    Apply,
    /// Changes one by a JSON patch.
    Patch,
    /// Changes the status of one.
    UpdateStatus,
    /// Sets the number of replicas.
    Scale,
    /// Deletes one.
    Delete,
    /// Follows one object.
    WatchOne,
    /// Follows objects.
    Watch,
    /// Names the kinds of a category.
    TypeByCategory,
    /// Lists the objects of every kind of a category.
    ResourcesByCategory,
    /// Applies one document.
    ApplyYaml,
    /// Applies several.
    ApplyYamlAll,
    /// Follows the log of a container.
    PodLogs,
}

/// The action of a field, and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldOperation {
    /// The action.
    pub verb: OperationVerb,
    /// Index of the kind, if it has one.
    pub kind: Option<usize>,
}

type FieldOperations = HashMap<(Name, Name), FieldOperation>;

struct OperationAdder<'b, 'd> {
    builder: &'b mut TypeBuilder<'d>,
    arguments: SharedArguments,
    operations: FieldOperations,
}

/// The fields of one type, with their operations.
#[derive(Default)]
struct OperationLevel {
    fields: ObjectFields,
    entries: Vec<(String, FieldOperation)>,
}

/// Adds the three roots with everything below them.
pub fn add(builder: &mut TypeBuilder<'_>) -> FieldOperations {
    common::common_types(builder);
    let arguments = common::shared(builder);
    let groups = group_names(builder.kinds.iter().map(|kind| &kind.resource.name));
    let mut adder = OperationAdder { builder, arguments, operations: FieldOperations::default() };
    adder.tree(&groups, "Query");
    adder.tree(&groups, "Mutation");
    adder.subscriptions(&groups);
    adder.operations
}

impl OperationAdder<'_, '_> {
    /// The root of queries or mutations, its groups and their versions.
    fn tree(&mut self, groups: &BTreeMap<String, String>, suffix: &str) {
        let mut by_group: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
        for (index, kind) in self.builder.kinds.iter().enumerate() {
            let KindName { group, version, .. } = &kind.resource.name;
            by_group.entry(group.clone()).or_default().entry(version.clone()).or_default().push(index);
        }
        let mut root = OperationLevel::default();
        for (group, versions) in by_group {
            let group_name = groups.get(&group).cloned().unwrap_or_default();
            let mut level = OperationLevel::default();
            for (version, kinds) in versions {
                let field = names::sanitized(&version);
                let full =
                    if group_name.is_empty() { field.clone() } else { format!("{group_name}_{field}") };
                let made = if suffix == "Query" { self.queries(&kinds) } else { self.mutations(&kinds) };
                if made.fields.is_empty() {
                    continue;
                }
                let ty = self.level_type(&names::pascal(&full), suffix, &format!("{group}/{version}"), made);
                let target = if group_name.is_empty() { &mut root } else { &mut level };
                self.wrapper(target, &field, &ty);
            }
            if !level.fields.is_empty() {
                let ty = self.level_type(&names::pascal(&group_name), suffix, &group, level);
                self.wrapper(&mut root, &group_name, &ty);
            }
        }
        self.root_fields(&mut root, suffix);
        self.close(suffix, root);
    }

    fn root_fields(&mut self, root: &mut OperationLevel, suffix: &str) {
        let nodes = &mut self.builder.nodes;
        let name = self.arguments.name.clone();
        let text = nodes.required("String");
        let yaml = Node::new(nodes.input("yaml", text, None, Some("The documents.")));
        let list_of = |nodes: &mut super::nodes::SharedNodes, name: &str| {
            Type::NonNullList(Box::new(nodes.required(name)))
        };
        if suffix == "Query" {
            let ty = list_of(nodes, "typeByCategoryObject");
            self.put(root, "typeByCategory", (vec![name.clone()], ty), (OperationVerb::TypeByCategory, None));
            let ty = list_of(&mut self.builder.nodes, "CategoryResource");
            let of_lists =
                self.arguments.list.iter().filter(|argument| {
                    matches!(argument.name.as_str(), "labelselector" | "limit" | "continue")
                });
            let arguments =
                [name, self.arguments.namespace.clone()].into_iter().chain(of_lists.cloned()).collect();
            self.put(
                root,
                "resourcesByCategory",
                (arguments, ty),
                (OperationVerb::ResourcesByCategory, None),
            );
        } else {
            let boolean = nodes.named("Boolean");
            let force = Node::new(nodes.input(
                "force",
                boolean,
                Some(Value::Boolean(true)),
                Some("Whether fields are taken from who owns them."),
            ));
            let arguments = vec![yaml, self.arguments.dry_run.clone(), self.arguments.manager.clone(), force];
            let ty = nodes.named("JSONString");
            self.put(root, "applyYaml", (arguments.clone(), ty), (OperationVerb::ApplyYaml, None));
            let ty = list_of(&mut self.builder.nodes, "ApplyResult");
            self.put(root, "applyYamlAll", (arguments, ty), (OperationVerb::ApplyYamlAll, None));
        }
    }

    /// Adds the type of a level, named after group and version.
    fn level_type(&mut self, base: &str, suffix: &str, raw: &str, level: OperationLevel) -> String {
        let plain = format!("{base}{suffix}");
        let other = format!("{base}_{suffix}");
        let name = self.builder.type_name_or(&plain, &other);
        let name = if self.builder.types.contains_key(name.as_str()) {
            format!("{other}_{}", names::mark(raw))
        } else {
            name
        };
        self.close(&name, level);
        name
    }

    fn close(&mut self, name: &str, level: OperationLevel) {
        let ty = self.builder.nodes.object(name, level.fields, None);
        self.builder.add(name, ty);
        let type_name = self.builder.nodes.name(name);
        for (field, operation) in level.entries {
            let field = self.builder.nodes.name(&field);
            self.operations.insert((type_name.clone(), field), operation);
        }
    }

    fn wrapper(&mut self, level: &mut OperationLevel, field: &str, ty: &str) {
        let ty = self.builder.nodes.named(ty);
        let name = self.builder.nodes.name(field);
        level.fields.insert(name, self.builder.nodes.field(field, ty, None));
    }

    fn put(
        &mut self,
        level: &mut OperationLevel,
        name: &str,
        (arguments, ty): (FieldArguments, Type),
        (verb, kind): (OperationVerb, Option<usize>),
    ) {
        let key = self.builder.nodes.name(name);
        level.fields.insert(key, self.builder.nodes.field_with(name, arguments, ty, None));
        level.entries.push((name.to_owned(), FieldOperation { verb, kind }));
    }

    /// Adds a field under a derived name; if that is taken, under one that no kind can have.
    fn put_or(
        &mut self,
        level: &mut OperationLevel,
        (wanted, otherwise): (String, String),
        (arguments, ty): (FieldArguments, Type),
        (verb, kind): (OperationVerb, usize),
    ) {
        let name = if level.fields.contains_key(wanted.as_str()) { otherwise } else { wanted };
        self.put(level, &name, (arguments, ty), (verb, Some(kind)));
    }

    fn kind(&self, index: usize) -> (ApiResource, String) {
        let kind = &self.builder.kinds[index];
        (kind.resource.clone(), kind.type_name.to_string())
    }

    /// The arguments that name one object.
    fn of_one(&self, resource: &ApiResource) -> FieldArguments {
        let namespace = resource.is_namespaced.then(|| self.arguments.namespace.clone());
        [self.arguments.name.clone()].into_iter().chain(namespace).collect()
    }
}
