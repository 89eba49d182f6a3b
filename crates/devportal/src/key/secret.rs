//! The Secret of a key: whose one is, and what a new one looks like.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource as _, ResourceExt as _, api::ObjectMeta};
use portolan_core::api::devportal::{APIKey, SECRET_KEY};
use secrecy::{ExposeSecret as _, SecretString};

use super::state::SecretMarks;

/// Annotation of a Secret: the UID of its key, by which it is known when somebody has taken its owner away.
pub(super) const ANNOTATION_KEY: &str = "devportal.kuadrant.io/apikey-uid";

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOwnership {
    /// This key's.
    Ours,
    /// A former key's of the same name, which is provably gone: names are unique.
    Former,
    Foreign,
}

/// Says whose the Secret is that has the name of a key's Secret.
pub fn ownership(secret: &ObjectMeta, key: &APIKey) -> SecretOwnership {
    match made_for(secret, &key.name_any()) {
        Some(uid) if Some(uid) == key.metadata.uid.as_deref() => SecretOwnership::Ours,
        Some(_) => SecretOwnership::Former,
        None => SecretOwnership::Foreign,
    }
}

/// The UID of the key of this name that a Secret was made for, whether that is still there or not.
pub(super) fn made_for<'a>(secret: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let (kind, version) = (APIKey::kind(&()), APIKey::api_version(&()));
    let mut owners = secret.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.kind == kind && owner.api_version == version && owner.name == key);
    let mark = || secret.annotations.as_ref()?.get(ANNOTATION_KEY);
    owner.map(|owner| &owner.uid).or_else(mark).map(String::as_str)
}

/// A Secret with a key.
pub(super) fn secret(key: &APIKey, name: String, marks: SecretMarks, value: &SecretString) -> Secret {
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: key.namespace(),
        labels: Some(marks.labels),
        annotations: Some(marks.annotations),
        // Without `controller`: it is there for the garbage collector.
        owner_references: key.owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let value = ByteString(value.expose_secret().as_bytes().to_vec());
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some([(SECRET_KEY.to_owned(), value)].into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_belongs_to_the_key_with_the_uid_that_it_names() {
        let mut key = APIKey::new("k1", portolan_core::api::devportal::APIKeySpec::default());
        key.metadata.uid = Some("new".to_owned());
        let metadata = |kind: &str, name: &str, uid: &str| -> ObjectMeta {
            let owner = json!({"apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": kind, "name": name, "uid": uid});
            serde_json::from_value(json!({"ownerReferences": [owner]})).unwrap()
        };
        for (secret, expected) in [
            (metadata("APIKey", "k1", "new"), SecretOwnership::Ours),
            (metadata("APIKey", "k1", "old"), SecretOwnership::Former),
            (metadata("APIKey", "k2", "new"), SecretOwnership::Foreign),
            (metadata("Deployment", "k1", "new"), SecretOwnership::Foreign),
            (ObjectMeta::default(), SecretOwnership::Foreign),
        ] {
            assert_eq!(ownership(&secret, &key), expected, "{secret:?}");
        }
        for (mark, owned, expected) in [
            ("new", ObjectMeta::default(), SecretOwnership::Ours),
            ("new", metadata("Deployment", "k1", "new"), SecretOwnership::Ours),
            ("new", metadata("APIKey", "k1", "old"), SecretOwnership::Former),
            ("old", ObjectMeta::default(), SecretOwnership::Former),
        ] {
            let annotations = Some([(ANNOTATION_KEY.to_owned(), mark.to_owned())].into());
            let secret = ObjectMeta { annotations, ..owned };
            assert_eq!(ownership(&secret, &key), expected, "{secret:?}");
            let of = if expected == SecretOwnership::Former { "old" } else { mark };
            assert_eq!(made_for(&secret, "k1"), Some(of), "{secret:?}");
        }
        assert_eq!(made_for(&metadata("APIKey", "k2", "new"), "k1"), None);
    }
}
