//! The arguments of a call.

use serde::de::DeserializeOwned;

use super::asking::RequestContext;
use crate::{
    document::ApiResource,
    error::{ErrorCode, GraphError},
    input::ArgumentEvaluator,
    plan::PlanCall,
    upstream::{ApiPath, checked_name, checked_namespace},
};

/// The arguments of a call, with the values of variables.
#[derive(Clone, Copy)]
pub struct CallArguments<'a> {
    asking: RequestContext<'a>,
    call: &'a PlanCall,
}

impl<'a> CallArguments<'a> {
    /// The arguments of one call.
    pub const fn new(asking: RequestContext<'a>, call: &'a PlanCall) -> Self {
        Self { asking, call }
    }

    /// The JSON of an argument, if it is present.
    pub fn json(&self, name: &str) -> Result<Option<Vec<u8>>, GraphError> {
        let evaluator =
            ArgumentEvaluator { api: &self.asking.endpoint.api, variables: self.asking.variables };
        evaluator.named(&self.call.arguments, name)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, GraphError> {
        let Some(json) = self.json(name)? else { return Ok(None) };
        let read: Result<Option<T>, _> = serde_json::from_slice(&json);
        read.map_err(|_| GraphError::new(ErrorCode::Invalid, format!("the argument {name} has another type")))
    }

    /// A text, unless it is absent or null.
    pub fn text(&self, name: &str) -> Result<Option<String>, GraphError> {
        self.read(name)
    }

    /// Some texts, unless they are absent or null.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, GraphError> {
        self.read(name)
    }

    /// A Boolean; `false` if absent.
    pub fn is(&self, name: &str) -> Result<bool, GraphError> {
        Ok(self.read(name)?.unwrap_or_default())
    }

    /// A number that is not negative.
    pub fn number(&self, name: &str) -> Result<Option<u64>, GraphError> {
        let number: Option<i64> = self.read(name)?;
        let checked = number.map(|number| {
            u64::try_from(number)
                .map_err(|_| GraphError::new(ErrorCode::Invalid, format!("{name} must not be negative")))
        });
        checked.transpose()
    }

    /// The name of the object.
    pub fn name(&self) -> Result<String, GraphError> {
        let name = self.text("name")?.unwrap_or_default();
        checked_name(&name).map(str::to_owned)
    }

    /// The namespace of one object, if it is namespaced.
    pub fn namespace(&self, resource: &ApiResource) -> Result<Option<String>, GraphError> {
        if !resource.is_namespaced {
            return Ok(None);
        }
        let missing = || GraphError::new(ErrorCode::Invalid, "missing required argument: namespace");
        let namespace = self.text("namespace")?.ok_or_else(missing)?;
        checked_namespace(&namespace).map(|namespace| Some(namespace.to_owned()))
    }

    /// The path of the object that the arguments name.
    pub fn path(&self, resource: &ApiResource) -> Result<ApiPath, GraphError> {
        let (name, namespace) = (self.name()?, self.namespace(resource)?);
        Ok(ApiPath::of(resource, namespace.as_deref()).then(&name))
    }

    /// The path of a list, in a namespace or in all of them.
    pub fn list_path(&self, resource: &ApiResource) -> Result<ApiPath, GraphError> {
        let namespace = self.text("namespace")?.filter(|namespace| !namespace.is_empty());
        if let Some(namespace) = &namespace {
            checked_namespace(namespace)?;
        }
        let path = ApiPath::of(resource, namespace.as_deref().filter(|_| resource.is_namespaced));
        let path = path.with_some("labelSelector", self.text("labelselector")?.as_deref());
        Ok(path.with_some("fieldSelector", self.text("fieldselector")?.as_deref()))
    }

    /// Returns `true` if a list has no objects of several namespaces.
    pub fn is_of_one_namespace(&self, resource: &ApiResource) -> Result<bool, GraphError> {
        Ok(!resource.is_namespaced || self.text("namespace")?.is_some_and(|namespace| !namespace.is_empty()))
    }

    /// Adds the options that all writes have.
    pub fn write_options(&self, path: ApiPath) -> Result<ApiPath, GraphError> {
        let path = path.with_some("fieldManager", self.text("fieldManager")?.as_deref());
        Ok(if self.is("dryRun")? { path.with("dryRun", "All") } else { path })
    }
}
