//! The fields that write.

use apollo_compiler::{Node, ast::Value};

use super::{FieldArguments, OperationAdder, OperationLevel, OperationVerb};
use crate::document::{ApiResource, KindName};

impl OperationAdder<'_, '_> {
    pub(super) fn mutations(&mut self, kinds: &[usize]) -> OperationLevel {
        let mut level = OperationLevel::default();
        for &index in kinds {
            self.plain_mutations(&mut level, index);
        }
        for &index in kinds {
            let (resource, type_name) = self.kind(index);
            let kind = resource.name.kind.clone();
            let can_patch = resource.takes("patch");
            let has_status = self.has_status(&resource);
            if can_patch && resource.has("status", has_status) {
                let arguments = self.with_object(&resource, &type_name, true);
                let ty = self.builder.nodes.named(&type_name);
                let status_names = (format!("update{kind}Status"), format!("update{kind}_status"));
                self.put_or(&mut level, status_names, (arguments, ty), (OperationVerb::UpdateStatus, index));
            }
            if can_patch && resource.has("scale", usually_scales(&resource.name)) {
                let (replicas, ty) =
                    (self.builder.nodes.required("Int"), self.builder.nodes.named("ScaleResult"));
                let replicas =
                    self.builder.nodes.input("replicas", replicas, None, Some("How many there should be."));
                let mut arguments = self.of_one(&resource);
                arguments.push(Node::new(replicas));
                arguments.push(self.arguments.dry_run.clone());
                arguments.extend(self.arguments.preconditions.iter().cloned());
                let scale_names = (format!("scale{kind}"), format!("scale{kind}_replicas"));
                self.put_or(&mut level, scale_names, (arguments, ty), (OperationVerb::Scale, index));
            }
        }
        level
    }

    fn plain_mutations(&mut self, level: &mut OperationLevel, index: usize) {
        let (resource, type_name) = self.kind(index);
        let kind = resource.name.kind.clone();
        let ty = self.builder.nodes.named(&type_name);
        if resource.takes("create") {
            let mut arguments = self.with_object(&resource, &type_name, false);
            arguments.retain(|argument| argument.name != "name");
            self.put(
                level,
                &format!("create{kind}"),
                (arguments, ty.clone()),
                (OperationVerb::Create, Some(index)),
            );
        }
        if resource.takes("patch") {
            let arguments = self.with_object(&resource, &type_name, true);
            self.put(
                level,
                &format!("update{kind}"),
                (arguments.clone(), ty.clone()),
                (OperationVerb::Update, Some(index)),
            );
            let mut applied = arguments;
            let force = self.builder.nodes.named("Boolean");
            let force = self.builder.nodes.input(
                "force",
                force,
                Some(Value::Boolean(false)),
                Some("Whether fields are taken from who owns them."),
            );
            applied.push(Node::new(force));
            self.put(
                level,
                &format!("apply{kind}"),
                (applied, ty.clone()),
                (OperationVerb::Apply, Some(index)),
            );
            let patch = self.builder.nodes.required("JSON");
            let patch = self.builder.nodes.input(
                "patch",
                patch,
                None,
                Some("The operations of RFC 6902, as a list."),
            );
            let mut arguments = self.of_one(&resource);
            arguments.push(Node::new(patch));
            arguments.extend([self.arguments.dry_run.clone(), self.arguments.manager.clone()]);
            arguments.extend(self.arguments.preconditions.iter().cloned());
            self.put(level, &format!("patch{kind}"), (arguments, ty), (OperationVerb::Patch, Some(index)));
        }
        if resource.takes("delete") {
            let mut arguments = self.of_one(&resource);
            arguments.push(self.arguments.dry_run.clone());
            arguments.extend(self.arguments.delete.iter().cloned());
            let ty = self.builder.nodes.named("Boolean");
            self.put(level, &format!("delete{kind}"), (arguments, ty), (OperationVerb::Delete, Some(index)));
        }
    }

    /// The arguments of a write with an object.
    fn with_object(
        &mut self,
        resource: &ApiResource,
        type_name: &str,
        has_preconditions: bool,
    ) -> FieldArguments {
        let object = self.builder.nodes.required(&format!("{type_name}_Input"));
        let object = self.builder.nodes.input("object", object, None, None);
        let mut arguments = self.of_one(resource);
        arguments.push(Node::new(object));
        arguments.extend([self.arguments.dry_run.clone(), self.arguments.manager.clone()]);
        if has_preconditions {
            arguments.extend(self.arguments.preconditions.iter().cloned());
        }
        arguments
    }

    fn has_status(&self, resource: &ApiResource) -> bool {
        self.builder.has_property(&resource.definition, "status")
    }
}

/// Recognizes built-in kinds with a scale, for documents without subresources.
fn usually_scales(kind: &KindName) -> bool {
    let is = |group: &str, names: &[&str]| kind.group == group && names.contains(&kind.kind.as_str());
    is("apps", &["Deployment", "StatefulSet", "ReplicaSet"]) || is("", &["ReplicationController"])
}
