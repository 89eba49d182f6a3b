//! Writes that cannot take what is not ours.
//!
//! Between looking at an object and writing it, somebody else may delete it, or make another of the same
//! name. So what was absent is created by POST, which fails where something has appeared; what was present
//! is applied with the uid that was seen, which fails where it is another; and deletes carry the uid too.

mod precondition;
mod versions;

use std::fmt::Debug;

use kube::{
    Api, Resource,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::versions::Unfit;
pub use self::{
    precondition::{HandOver, Precondition, merge_fields},
    versions::renamed,
};

/// Limit on the versions of one object that may be withdrawn at a time.
const MENDS: usize = 4;

/// Reasons why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is not the one that was seen: look again.
    #[error("the object changed hands between reading and writing it")]
    Conflict(#[source] kube::Error),
    /// We may not.
    #[error("the API server does not allow it")]
    Forbidden(#[source] kube::Error),
    /// The object is not acceptable to the API server.
    #[error("the API server does not accept the object")]
    Invalid(#[source] kube::Error),
    /// Anything else: try again.
    #[error("the request failed")]
    Failed(#[source] kube::Error),
}

impl WriteError {
    /// Returns `true` if somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// The API server's answer, or the failure that kept us from hearing it.
    pub fn cause(&self) -> &kube::Error {
        let (Self::Conflict(e) | Self::Forbidden(e) | Self::Invalid(e) | Self::Failed(e)) = self;
        e
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match code(&error) {
            404 | 409 => Self::Conflict(error),
            401 | 403 => Self::Forbidden(error),
            400 | 422 => Self::Invalid(error),
            _ => Self::Failed(error),
        }
    }
}

/// The HTTP status of an error, 0 when there was no answer.
pub fn code(error: &kube::Error) -> u16 {
    if let kube::Error::Api(status) = error { status.code } else { 0 }
}

/// Returns `true` if an answer says that there is no object of this name. That nothing is served at its path, in a
/// version that is not served (any more, or yet), says nothing about the object.
pub fn is_absent(error: &kube::Error, name: &str) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let is_named = status.details.as_ref().is_some_and(|details| details.name == name);
    status.code == 404 && status.reason == "NotFound" && is_named
}

/// Reads an object; `None` where the API server says that there is none of this name.
///
/// # Errors
/// Any other answer, also that nothing is served at its path.
pub async fn find<K>(api: &Api<K>, name: &str) -> kube::Result<Option<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.get(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error, name) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes an object what `desired` says. `desired` is complete as far as `manager` is concerned: a field that
/// it no longer names is removed.
///
/// # Examples
///
/// ```no_run
/// use k8s_openapi::api::core::v1::ConfigMap;
/// use kube::Api;
/// use portolan_runtime::apply::{Precondition, WriteError, apply};
/// use serde_json::json;
///
/// async fn write(api: &Api<ConfigMap>, observed: Option<&ConfigMap>) -> Result<ConfigMap, WriteError> {
///     let metadata = json!({"name": "hello"});
///     let desired = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"en": "hi"}});
///     let precondition = Precondition::of(observed.map(|map| &map.metadata), "hello");
///     apply(api, "hello", &desired, &precondition).await
/// }
/// ```
///
/// # Errors
/// [`WriteError::Conflict`] where the object is not the one observed.
pub async fn apply<K>(
    api: &Api<K>,
    manager: &str,
    desired: &Value,
    precondition: &Precondition,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    match precondition {
        Precondition::Absent => create(api, manager, desired).await,
        Precondition::Present { uid, managed_fields } => {
            let name = desired["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(entries) = managed_fields {
                hand_over(api, name, uid, entries).await?;
            }
            let mut body = desired.clone();
            body["metadata"]["uid"] = uid.as_str().into();
            patch(api, manager, name, uid, &body).await
        }
    }
}

/// Applies an object over the one that was seen, if there was one.
///
/// # Errors
/// As [`apply`].
pub async fn apply_over<K>(
    api: &Api<K>,
    manager: &str,
    desired: &K,
    seen: Option<&K>,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    apply(api, manager, &json!(desired), &Precondition::of(seen.map(Resource::meta), manager)).await
}

/// Applies a body, and repairs managed fields that keep the API server from it.
async fn patch<K>(api: &Api<K>, manager: &str, name: &str, uid: &str, body: &Value) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = PatchParams::apply(manager).force();
    for _ in 0..MENDS {
        let error = match api.patch(name, &params, &Patch::Apply(body)).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        let to = body["apiVersion"].as_str().unwrap_or_default();
        match Unfit::of(&error) {
            Some(unfit) if versions::heal(api, name, uid, (&unfit, to)).await? => {}
            _ => return Err(error.into()),
        }
    }
    Ok(api.patch(name, &params, &Patch::Apply(body)).await?)
}

async fn create<K>(api: &Api<K>, manager: &str, desired: &Value) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let body = serde_json::to_vec(desired).map_err(kube::Error::SerdeError)?;
    let params = PostParams { field_manager: Some(manager.to_owned()), dry_run: false };
    let mut request = kube::core::Request::new(api.resource_url())
        .create(&params, body)
        .map_err(kube::Error::BuildRequest)?;
    request.extensions_mut().insert("create");
    Ok(api.clone().into_client().request(request).await?)
}

/// Turns the fields that `manager` holds by POST or PUT into fields held by apply; else a later apply could
/// not remove them.
async fn hand_over<K>(api: &Api<K>, name: &str, uid: &str, hand_over: &HandOver) -> Result<(), WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": hand_over.resource_version},
        {"op": "replace", "path": "/metadata/managedFields", "value": hand_over.entries},
    ]);
    json_patch(api, name, None, operations).await.map(|_: K| ())
}

/// Replaces the status of an object, and nothing else. `resource_version` guards a status that somebody
/// else writes too.
///
/// # Errors
/// [`WriteError::Conflict`] where the object is another, or has changed when that is guarded.
pub async fn replace_status<K>(
    api: &Api<K>,
    metadata: &ObjectMeta,
    guard_version: bool,
    status: &impl Serialize,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": metadata.uid})];
    if guard_version {
        let version = &metadata.resource_version;
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
    }
    operations.push(json!({"op": "add", "path": "/status", "value": status}));
    let name = metadata.name.as_deref().unwrap_or_default();
    json_patch(api, name, Some("status"), operations.into()).await
}

/// Takes a finalizer off, as long as it stands at the place where it was seen.
///
/// # Errors
/// [`WriteError::Conflict`] where the object is another, or has changed there.
pub async fn take_finalizer<K>(
    api: &Api<K>,
    manager: Option<&str>,
    metadata: &ObjectMeta,
    (place, finalizer): (usize, &str),
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    remove(api, manager, metadata, &format!("/metadata/finalizers/{place}"), &json!(finalizer)).await
}

/// Removes what stands at a path, as long as it is what was seen there.
///
/// # Errors
/// [`WriteError::Conflict`] where the object is another, or has changed there.
pub async fn remove<K>(
    api: &Api<K>,
    manager: Option<&str>,
    metadata: &ObjectMeta,
    path: &str,
    value: &Value,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "test", "path": path, "value": value},
        {"op": "remove", "path": path},
    ]);
    let name = metadata.name.as_deref().unwrap_or_default();
    json_patch_as(api, manager, name, None, operations).await
}

/// A key as a part of a path in a JSON patch (RFC 6901).
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Applies a JSON patch, to a subresource if one is named. A `test` that fails counts as a conflict.
///
/// # Errors
/// See [`WriteError`].
pub async fn json_patch<K>(
    api: &Api<K>,
    name: &str,
    subresource: Option<&str>,
    operations: Value,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    json_patch_as(api, None, name, subresource, operations).await
}

/// As [`json_patch`], under the name of a field manager.
///
/// # Errors
/// See [`WriteError`].
pub async fn json_patch_as<K>(
    api: &Api<K>,
    manager: Option<&str>,
    name: &str,
    subresource: Option<&str>,
    operations: Value,
) -> Result<K, WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let patch = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let patch = Patch::Json::<()>(patch);
    let params = PatchParams { field_manager: manager.map(str::to_owned), ..PatchParams::default() };
    let result = match subresource {
        None => api.patch(name, &params, &patch).await,
        Some(subresource) => api.patch_subresource(subresource, name, &params, &patch).await,
    };
    result.map_err(|error| match &error {
        kube::Error::Api(status)
            if status.code == 422 && status.message.contains("the server rejected our request") =>
        {
            WriteError::Conflict(error)
        }
        _ => error.into(),
    })
}

/// Deletes the object with this uid. One that is gone already counts as deleted.
///
/// # Errors
/// [`WriteError::Conflict`] where another object has the name now, or where nothing is served at its path.
pub async fn delete<K>(api: &Api<K>, name: &str, uid: &str) -> Result<(), WriteError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error, name) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_absent_where_the_answer_names_it() {
        let unserved = kube::core::Status::failure("404 page not found\n", "Failed to parse error data");
        let named = |reason: &str, code: u16, name: &str| {
            let status = json!({
                "status": "Failure", "reason": reason, "code": code, "message": "no",
                "details": {"name": name, "group": "a.dev", "kind": "as"},
            });
            serde_json::from_value::<kube::core::Status>(status).unwrap()
        };
        for (status, expected) in [
            (named("NotFound", 404, "billy"), true),
            // A namespace that is gone, a version that is not served, another failure.
            (named("NotFound", 404, "west"), false),
            (unserved.with_code(404), false),
            (named("Gone", 410, "billy"), false),
            (named("Forbidden", 403, "billy"), false),
            (named("ServiceUnavailable", 503, "billy"), false),
            (kube::core::Status { code: 404, reason: "NotFound".to_owned(), ..Default::default() }, false),
        ] {
            let said = format!("{status:?}");
            assert_eq!(is_absent(&kube::Error::Api(Box::new(status)), "billy"), expected, "{said}");
        }
    }
}
