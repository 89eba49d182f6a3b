//! The fields that follow: one object, lists, and the log of a pod.

use std::collections::BTreeMap;

use apollo_compiler::{
    Name, Node,
    ast::{Type, Value},
};

use super::{ObjectFields, OperationAdder, OperationLevel, OperationVerb};
use crate::{
    document::{ApiResource, KindName},
    names,
    schema::groups::version_name,
};

impl OperationAdder<'_, '_> {
    pub(super) fn subscriptions(&mut self, groups: &BTreeMap<String, String>) {
        let mut root = OperationLevel::default();
        let watched: Vec<(usize, ApiResource, String, String)> = (0..self.builder.kinds.len())
            .map(|index| {
                let (resource, type_name) = self.kind(index);
                let prefix = version_name(groups, &resource.name);
                (index, resource, type_name, prefix)
            })
            .filter(|(_, resource, _, _)| resource.takes("watch") && resource.takes("list"))
            .collect();
        for (index, resource, type_name, prefix) in &watched {
            let event = self.event_type(type_name);
            let kind = &resource.name.kind;
            let mut arguments = self.of_one(resource);
            arguments.extend(self.arguments.watch.iter().cloned());
            let item_names = (format!("{prefix}_{}", kind.to_ascii_lowercase()), format!("{prefix}_{kind}"));
            let ty = self.builder.nodes.named(&event);
            self.put_or(&mut root, item_names, (arguments, ty), (OperationVerb::WatchOne, *index));
        }
        for (index, resource, type_name, prefix) in &watched {
            let kind = &resource.name.kind;
            let event = format!("{type_name}Event");
            let event = if self.builder.is_event(&event) { event } else { format!("{type_name}_Event") };
            let mut arguments = self.arguments.list.clone();
            arguments.extend(resource.is_namespaced.then(|| self.arguments.namespace.clone()));
            arguments.extend(self.arguments.watch.iter().cloned());
            let list_names = (
                format!("{prefix}_{}", names::plural(kind).to_ascii_lowercase()),
                format!("{prefix}_{kind}_list"),
            );
            let ty = self.builder.nodes.named(&event);
            self.put_or(&mut root, list_names, (arguments, ty), (OperationVerb::Watch, *index));
        }
        self.pod_logs(&mut root);
        if !root.fields.is_empty() {
            self.close("Subscription", root);
        }
    }

    fn event_type(&mut self, type_name: &str) -> String {
        let name = self.builder.type_name_or(&format!("{type_name}Event"), &format!("{type_name}_Event"));
        let nodes = &mut self.builder.nodes;
        let mut fields = ObjectFields::default();
        let (kind, object) = (nodes.required("WatchEventType"), nodes.named(type_name));
        fields.insert(nodes.name("type"), nodes.field("type", kind, None));
        fields.insert(nodes.name("object"), nodes.field("object", object, None));
        let ty = nodes.object(&name, fields, None);
        self.builder.add(&name, ty);
        name
    }

    fn pod_logs(&mut self, root: &mut OperationLevel) {
        let is_pod = |name: &KindName| name.group.is_empty() && name.version == "v1" && name.kind == "Pod";
        let Some(index) = self.builder.kinds.iter().position(|kind| is_pod(&kind.resource.name)) else {
            return;
        };
        let nodes = &mut self.builder.nodes;
        let mut input = |name: &str, ty: Type, default| Node::new(nodes.input(name, ty, default, None));
        let named = |name: &str| Type::Named(Name::new_unchecked(name));
        let arguments = vec![
            self.arguments.name.clone(),
            input("namespace", Type::NonNullNamed(Name::new_unchecked("String")), None),
            input("container", named("String"), None),
            input("tailLines", named("Int"), None),
            input("sinceSeconds", named("Int"), None),
            input("follow", named("Boolean"), Some(Value::Boolean(true))),
        ];
        self.put(
            root,
            "podLogs",
            (arguments, Type::NonNullNamed(Name::new_unchecked("PodLogEntry"))),
            (OperationVerb::PodLogs, Some(index)),
        );
    }
}
