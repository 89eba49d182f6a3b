//! An object in memory: its key, and its JSON without what nobody reads there, in one allocation.

use std::sync::Arc;

use crate::scan::{JsonCursor, MalformedJson, at, says, text_at};

/// Bytes before the key: the version, and the length of the key.
const HEAD: usize = 12;
/// The counts of an allocation that is shared.
const COUNTS: usize = 2 * size_of::<usize>();

/// An object that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnkeptObject;

impl From<MalformedJson> for UnkeptObject {
    fn from(_: MalformedJson) -> Self {
        Self
    }
}

/// An object. Version and kind of its API are not in it, since they are those of all its like; nor are its managed
/// fields.
#[derive(Clone, Debug)]
pub struct KeptObject(Arc<[u8]>);

impl KeptObject {
    /// An object from its JSON. `buffer` is room to work in.
    pub fn of(json: &[u8], buffer: &mut Vec<u8>) -> Result<Self, UnkeptObject> {
        let metadata = at(json, &["metadata"])?.ok_or(UnkeptObject)?;
        let version =
            text_at(metadata, &["resourceVersion"]).as_deref().and_then(comparable).ok_or(UnkeptObject)?;
        let name = text_at(metadata, &["name"]).ok_or(UnkeptObject)?;
        let key = key(&text_at(metadata, &["namespace"]).unwrap_or_default(), &name);
        let length = u32::try_from(key.len()).map_err(|_| UnkeptObject)?;
        buffer.clear();
        buffer.extend_from_slice(&version.to_le_bytes());
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(&key);
        // Metadata come first: they are what is read most often.
        buffer.extend_from_slice(b"{\"metadata\":{");
        without(metadata, &["managedFields"], buffer)?;
        buffer.push(b'}');
        let end = buffer.len();
        buffer.push(b',');
        without(json, &["kind", "apiVersion", "metadata"], buffer)?;
        buffer.truncate(if buffer.len() == end + 1 { end } else { buffer.len() });
        buffer.push(b'}');
        Ok(Self(Arc::from(&buffer[..])))
    }

    /// Its resource version.
    pub fn version(&self) -> u64 {
        let bytes = self.0.first_chunk::<8>().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    }

    /// Its place among its like: namespace and name, in the order of the API server.
    pub fn key(&self) -> &[u8] {
        &self.0[HEAD..self.end()]
    }

    /// Its name: its key without the namespace.
    pub fn name(&self) -> &[u8] {
        let key = self.key();
        memchr::memchr(b'/', key).map_or(key, |slash| &key[slash + 1..])
    }

    /// Its JSON.
    pub fn json(&self) -> &[u8] {
        &self.0[self.end()..]
    }

    /// Returns `true` if both are the same in memory, and not only of the same name.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The memory that it takes.
    pub fn weight(&self) -> u64 {
        (self.0.len() + COUNTS + size_of::<Self>()) as u64
    }

    fn end(&self) -> usize {
        let length = self.0.get(8..HEAD).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
        HEAD + u32::from_le_bytes(length) as usize
    }
}

/// The key of an object: what the API server sorts by.
pub fn key(namespace: &str, name: &str) -> Vec<u8> {
    if namespace.is_empty() { name.into() } else { [namespace, name].join("/").into_bytes() }
}

/// The number of a version that can be compared with others of its kind.
pub fn comparable(version: &str) -> Option<u64> {
    let is_canonical = version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
    version.parse().ok().filter(|_| is_canonical)
}

/// Copies the members of an object without some of them.
fn without(json: &[u8], left_out: &[&str], out: &mut Vec<u8>) -> Result<(), MalformedJson> {
    let mut cursor = JsonCursor::new(json);
    cursor.expect(b'{')?;
    let start = out.len();
    let mut more = !cursor.take(b'}')?;
    while more {
        let from = cursor;
        let key = cursor.key()?;
        cursor.value()?;
        if !left_out.iter().any(|name| says(key, name)) {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(cursor.since(from).trim_ascii_start());
        }
        more = cursor.another(b'}')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_without_what_nobody_reads() {
        let table = [
            (
                r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"n","resourceVersion":"7","managedFields":[{"x":"]}"}],"labels":{"a":"b"}},"data":{"k":"v"}}"#,
                ("n/a", 7),
                r#"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7","labels":{"a":"b"}},"data":{"k":"v"}}"#,
            ),
            (
                r#" { "metadata" : {"managedFields":[], "name":"a:b" , "resourceVersion":"18446744073709551615"} , "x" : 1 } "#,
                ("a:b", u64::MAX),
                r#"{"metadata":{"name":"a:b","resourceVersion":"18446744073709551615"},"x" : 1}"#,
            ),
            (
                r#"{"metadata":{"name":"a\"b","resourceVersion":"1"}}"#,
                ("a\"b", 1),
                r#"{"metadata":{"name":"a\"b","resourceVersion":"1"}}"#,
            ),
        ];
        for (json, (key, version), kept) in table {
            let object = KeptObject::of(json.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(std::str::from_utf8(object.json()).unwrap(), kept);
            assert_eq!((object.key(), object.version()), (key.as_bytes(), version));
            assert_eq!(object.name(), key.strip_prefix("n/").unwrap_or(key).as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_compared_or_found_is_not_kept() {
        for json in [
            r#"{"metadata":{"name":"a","resourceVersion":"007"}}"#,
            r#"{"metadata":{"name":"a","resourceVersion":"x1"}}"#,
            r#"{"metadata":{"name":"a","resourceVersion":"0"}}"#,
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"resourceVersion":"1"}}"#,
            r#"{"kind":"Status"}"#,
            "{",
        ] {
            assert_eq!(KeptObject::of(json.as_bytes(), &mut Vec::new()).err(), Some(UnkeptObject), "{json}");
        }
    }
}
