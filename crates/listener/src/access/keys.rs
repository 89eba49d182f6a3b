//! Keys of Secrets and ConfigMaps: the named one, else the usual one, else the only one.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use portolan_core::api::gateway::KeyReference;
use portolan_runtime::objects::Referred;

use crate::problem::Problem;

/// A search for a key, as messages name it.
#[derive(Clone, Copy, Debug)]
pub struct KeySearch<'a> {
    /// The content, such as "token".
    pub what: &'static str,
    /// Its usual keys; the first one that exists is taken.
    pub usual: &'static [&'static str],
    pub reference: &'a KeyReference,
}

/// The content of a key of a Secret. None until the Secret has been read.
pub fn of_secret(secret: &Referred<Secret>, sought: KeySearch<'_>) -> Result<Option<Vec<u8>>, Problem> {
    let KeyReference { name, namespace, .. } = sought.reference;
    let Some(secret) = present(secret, "Secret", namespace, name)? else { return Ok(None) };
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let key = choose(data, "Secret", sought)?;
    Ok(data.get(key).map(|ByteString(bytes)| bytes.clone()))
}

/// The same for a ConfigMap.
pub fn of_config_map(
    config_map: &Referred<ConfigMap>,
    sought: KeySearch<'_>,
) -> Result<Option<Vec<u8>>, Problem> {
    let KeyReference { name, namespace, .. } = sought.reference;
    let Some(config_map) = present(config_map, "ConfigMap", namespace, name)? else { return Ok(None) };
    let text = config_map.data.iter().flatten().map(|(key, text)| (key.clone(), text.as_bytes()));
    let binary =
        config_map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.as_slice()));
    let data: BTreeMap<String, &[u8]> = text.chain(binary).collect();
    let key = choose(&data, "ConfigMap", sought)?;
    Ok(data.get(key).map(|bytes| bytes.to_vec()))
}

/// The object, if it could be read. None until it has been read.
pub fn present<'a, K>(
    state: &'a Referred<K>,
    kind: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Option<&'a K>, Problem> {
    let object = format!("{kind} {namespace}/{name}");
    match state {
        Referred::Pending => Ok(None),
        Referred::Present(found) => Ok(Some(found)),
        Referred::Absent => {
            let reason = if kind == "Secret" { "SecretNotFound" } else { "ConfigMapNotFound" };
            Err(Problem::lasting(
                reason,
                format!("{object} does not exist: create it, or correct the reference"),
            ))
        }
        Referred::NamespaceNotAllowed(allowed) => Err(Problem::lasting(
            "NamespaceNotAllowed",
            format!(
                "{object} is not read: these namespaces are: {allowed}. Move it, or add its namespace to --secret-namespaces."
            ),
        )),
        Referred::Unreadable(why) => {
            Err(Problem::passing("ReferenceUnreadable", format!("{object} cannot be read: {why}")))
        }
    }
}

fn choose<'a, V>(
    data: &'a BTreeMap<String, V>,
    kind: &'static str,
    sought: KeySearch<'a>,
) -> Result<&'a str, Problem> {
    let KeySearch { what, usual, reference } = sought;
    let object = format!("{kind} {}/{}", reference.namespace, reference.name);
    let known = || {
        let keys: Vec<_> = data.keys().take(10).map(String::as_str).collect();
        if keys.is_empty() { "it is empty".to_owned() } else { format!("it has {}", keys.join(", ")) }
    };
    if let Some(key) = reference.key.as_deref() {
        return if data.contains_key(key) {
            Ok(key)
        } else {
            Err(Problem::lasting(
                "KeyMissing",
                format!("{object} has no key {key:?} with the {what}: {}", known()),
            ))
        };
    }
    if let Some(key) = usual.iter().find(|key| data.contains_key(**key)) {
        return Ok(key);
    }
    let mut keys = data.keys();
    match (keys.next(), keys.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => {
            let expected = usual.first().copied().unwrap_or_default();
            Err(Problem::lasting(
                "KeyMissing",
                format!("{object} is empty: put the {what} under the key {expected:?}"),
            ))
        }
        (Some(_), Some(_)) => Err(Problem::lasting(
            "KeyAmbiguous",
            format!("{object} has several keys, and none is named as the {what}: set key; {}", known()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn secret(keys: &[&str]) -> Referred<Secret> {
        let data = keys.iter().map(|key| ((*key).to_owned(), ByteString(key.as_bytes().to_vec()))).collect();
        Referred::Present(Arc::new(Secret { data: Some(data), ..Secret::default() }))
    }

    fn find(state: &Referred<Secret>, key: Option<&str>) -> Result<Option<String>, &'static str> {
        let reference =
            KeyReference { name: "s".to_owned(), namespace: "n".to_owned(), key: key.map(str::to_owned) };
        let sought = KeySearch { what: "token", usual: &["token"], reference: &reference };
        let found = of_secret(state, sought).map_err(|problem| problem.reason)?;
        Ok(found.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn the_named_key_counts_then_the_usual_one_then_the_only_one() {
        let table = [
            (secret(&["a", "token"]), Some("a"), Ok(Some("a"))),
            (secret(&["ca.crt", "namespace", "token"]), None, Ok(Some("token"))),
            (secret(&["a"]), None, Ok(Some("a"))),
            (secret(&["a", "b"]), None, Err("KeyAmbiguous")),
            (secret(&["a"]), Some("b"), Err("KeyMissing")),
            (secret(&[]), None, Err("KeyMissing")),
            (Referred::Absent, None, Err("SecretNotFound")),
            (Referred::Pending, None, Ok(None)),
            (Referred::NamespaceNotAllowed("a".to_owned()), None, Err("NamespaceNotAllowed")),
            (Referred::Unreadable("403".to_owned()), None, Err("ReferenceUnreadable")),
        ];
        for (state, key, expected) in table {
            assert_eq!(
                find(&state, key),
                expected.map(|found| found.map(str::to_owned)),
                "{state:?} {key:?}"
            );
        }
    }

    #[test]
    fn texts_and_bytes_of_a_config_map_are_both_read() {
        let config_map = ConfigMap {
            data: Some([("ca.crt".to_owned(), "pem".to_owned())].into()),
            binary_data: Some([("x".to_owned(), ByteString(vec![1]))].into()),
            ..ConfigMap::default()
        };
        let mut reference = KeyReference { name: "c".to_owned(), namespace: "n".to_owned(), key: None };
        let find = |reference: &KeyReference, state: &Referred<ConfigMap>| {
            of_config_map(state, KeySearch { what: "CA", usual: &["ca.crt"], reference })
        };
        let state = Referred::Present(Arc::new(config_map));
        assert_eq!(find(&reference, &state).unwrap().unwrap(), b"pem");
        reference.key = Some("x".to_owned());
        assert_eq!(find(&reference, &state).unwrap().unwrap(), [1]);
        assert_eq!(find(&reference, &Referred::Absent).unwrap_err().reason, "ConfigMapNotFound");
    }
}
