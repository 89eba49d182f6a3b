//! The fields that read: one object, its YAML, and lists.

use apollo_compiler::{Name, ast::Type};

use super::{ObjectFields, OperationAdder, OperationLevel, OperationVerb};
use crate::{document::ApiResource, names};

impl OperationAdder<'_, '_> {
    pub(super) fn queries(&mut self, kinds: &[usize]) -> OperationLevel {
        let mut level = OperationLevel::default();
        // Kinds get their names first, derived names after them.
        for &index in kinds {
            let (resource, type_name) = self.kind(index);
            if resource.takes("get") {
                let ty = self.builder.nodes.named(&type_name);
                let arguments = self.of_one(&resource);
                self.put(&mut level, &resource.name.kind, (arguments, ty), (OperationVerb::Get, Some(index)));
            }
        }
        for &index in kinds {
            let (resource, type_name) = self.kind(index);
            let kind = resource.name.kind.clone();
            if resource.takes("list") {
                let list = self.list_type(&type_name, &resource);
                let (ty, mut arguments) = (self.builder.nodes.named(&list), self.arguments.list.clone());
                arguments.extend(resource.is_namespaced.then(|| self.arguments.namespace.clone()));
                let list_names = (names::plural(&kind), format!("{kind}_list"));
                self.put_or(&mut level, list_names, (arguments, ty), (OperationVerb::List, index));
            }
            if resource.takes("get") {
                let (ty, arguments) = (self.builder.nodes.named("String"), self.of_one(&resource));
                let yaml_names = (format!("{kind}Yaml"), format!("{kind}_yaml"));
                self.put_or(&mut level, yaml_names, (arguments, ty), (OperationVerb::Yaml, index));
            }
        }
        level
    }

    fn list_type(&mut self, type_name: &str, resource: &ApiResource) -> String {
        let name = self.builder.type_name_or(&format!("{type_name}List"), &format!("{type_name}_List"));
        let nodes = &mut self.builder.nodes;
        let mut fields = ObjectFields::default();
        let items = Type::NonNullList(Box::new(nodes.required(type_name)));
        let mut put = |name: &str, ty: Type| {
            let key = nodes.name(name);
            fields.insert(key, nodes.field(name, ty, None));
        };
        put("items", items);
        for (field, ty) in
            [("resourceVersion", "String"), ("continue", "String"), ("remainingItemCount", "Long")]
        {
            let ty = Type::Named(Name::new_unchecked(ty));
            put(field, ty);
        }
        let description = format!("A page of {}.", resource.plural);
        let ty = nodes.object(&name, fields, Some(&description));
        self.builder.add(&name, ty);
        name
    }
}
