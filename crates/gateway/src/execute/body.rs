//! Bodies of writes: the caller's values as they were written, and what only the gateway knows.

use std::collections::BTreeMap;

use serde_json::{json, value::RawValue};

use super::CallArguments;
use crate::{
    document::ApiResource,
    error::{ErrorCode, GraphError},
};

type BodyMembers = BTreeMap<String, Box<RawValue>>;

/// An object to write.
#[derive(Debug)]
pub struct ObjectBody {
    members: BodyMembers,
    metadata: BodyMembers,
}

impl ObjectBody {
    /// The object of the arguments.
    pub fn of(arguments: &CallArguments<'_>) -> Result<Self, GraphError> {
        let json = arguments.json("object")?.filter(|json| json != b"null");
        let json =
            json.ok_or_else(|| GraphError::new(ErrorCode::Invalid, "missing required argument: object"))?;
        Self::read(&json)
    }

    /// An object from its JSON.
    pub fn read(json: &[u8]) -> Result<Self, GraphError> {
        let invalid = |_| GraphError::new(ErrorCode::Invalid, "the object is not an object");
        let mut members: BodyMembers = serde_json::from_slice(json).map_err(invalid)?;
        let metadata = match members.remove("metadata") {
            Some(raw) => {
                serde_json::from_str::<Option<BodyMembers>>(raw.get()).map_err(invalid)?.unwrap_or_default()
            }
            None => BodyMembers::new(),
        };
        Ok(Self { members, metadata })
    }

    /// A text in its metadata.
    pub fn metadata(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.metadata.get(key)?.get()).ok()
    }

    /// Sets API version and kind.
    pub fn set_kind(&mut self, resource: &ApiResource) {
        self.members.insert("apiVersion".to_owned(), raw(&resource.api_version()));
        self.members.insert("kind".to_owned(), raw(&resource.name.kind));
    }

    /// Sets a text in its metadata.
    pub fn set_metadata(&mut self, key: &str, text: &str) {
        self.metadata.insert(key.to_owned(), raw(text));
    }

    /// Leaves out who manages its fields: an API server lets nobody apply that.
    pub fn leave_out_managers(&mut self) {
        self.metadata.remove("managedFields");
    }

    /// Sets the version and uid that the object must have.
    pub fn set_preconditions(&mut self, arguments: &CallArguments<'_>) -> Result<(), GraphError> {
        for key in ["resourceVersion", "uid"] {
            if let Some(text) = arguments.text(key)? {
                self.set_metadata(key, &text);
            }
        }
        Ok(())
    }

    /// The body as it is sent.
    pub fn into_json(mut self) -> Vec<u8> {
        if !self.metadata.is_empty()
            && let Ok(metadata) = serde_json::value::to_raw_value(&self.metadata)
        {
            self.members.insert("metadata".to_owned(), metadata);
        }
        serde_json::to_vec(&self.members).unwrap_or_default()
    }
}

fn raw(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a text is JSON")
}

/// The options of a delete.
pub fn delete_options(arguments: &CallArguments<'_>) -> Result<Vec<u8>, GraphError> {
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    for key in ["resourceVersion", "uid"] {
        if let Some(text) = arguments.text(key)? {
            options["preconditions"][key] = json!(text);
        }
    }
    if let Some(policy) = arguments.text("propagationPolicy")? {
        options["propagationPolicy"] = json!(policy);
    }
    if let Some(seconds) = arguments.number("gracePeriodSeconds")? {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if arguments.is("dryRun")? {
        options["dryRun"] = json!(["All"]);
    }
    Ok(options.to_string().into_bytes())
}

/// A JSON patch that first tests the version and uid that the object must have.
pub fn json_patch(arguments: &CallArguments<'_>) -> Result<Vec<u8>, GraphError> {
    let json = arguments.json("patch")?.unwrap_or_default();
    let invalid = |_| GraphError::new(ErrorCode::Invalid, "patch must be a list of operations");
    let mut operations: Vec<Box<RawValue>> = serde_json::from_slice(&json).map_err(invalid)?;
    for key in ["uid", "resourceVersion"] {
        if let Some(text) = arguments.text(key)? {
            let test = json!({"op": "test", "path": format!("/metadata/{key}"), "value": text});
            operations.insert(0, serde_json::value::to_raw_value(&test).expect("a value is JSON"));
        }
    }
    Ok(serde_json::to_vec(&operations).unwrap_or_default())
}
