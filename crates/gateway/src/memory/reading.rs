//! The wishes of a request about memory, and the facts in its answer.

use std::sync::Arc;

use apollo_compiler::response::{JsonMap, JsonValue};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::object::comparable;
use crate::error::{ErrorCode, GraphError};

/// The text before the facts in an answer.
const MEMBER: &[u8] = b",\"extensions\":{";

/// The wishes of a request: `extensions.memory` and `extensions.minResourceVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryWishes {
    /// Everything is read from the API server.
    pub is_off: bool,
    /// The version that memory must know at least.
    pub at_least: u64,
}

impl MemoryWishes {
    /// The wishes of a request, or what is wrong with them.
    pub fn of(extensions: Option<&JsonMap>) -> Result<Self, GraphError> {
        let said = |key: &str| extensions.and_then(|all| all.get(key)).filter(|value| !value.is_null());
        let wrong = |message: &str| GraphError::new(ErrorCode::Invalid, message);
        let is_off = match said("memory") {
            None => false,
            Some(JsonValue::Bool(may)) => !may,
            Some(_) => return Err(wrong("extensions.memory must be true or false")),
        };
        let Some(version) = said("minResourceVersion") else { return Ok(Self { is_off, at_least: 0 }) };
        let text = version.as_str().ok_or_else(|| wrong("extensions.minResourceVersion must be a text"))?;
        // What cannot be compared is not compared.
        Ok(comparable(text).map_or(Self { is_off: true, at_least: 0 }, |at_least| Self { is_off, at_least }))
    }
}

#[derive(Debug, Default)]
struct ReadingNotes {
    from_memory: usize,
    through: usize,
    /// The time up to which everything is known that was read from memory.
    proof: Option<Instant>,
    written: u64,
}

/// One request, as memory sees it.
#[derive(Debug)]
pub struct MemoryReading {
    /// Its wishes.
    pub wishes: MemoryWishes,
    /// Who asks, if that is known.
    pub caller: Option<Arc<str>>,
    notes: Mutex<ReadingNotes>,
}

impl MemoryReading {
    /// A request of which nothing is read yet.
    pub fn new(wishes: MemoryWishes, caller: Option<Arc<str>>) -> Self {
        Self { wishes, caller, notes: Mutex::default() }
    }

    /// Something was read from memory, which is known up to a time.
    pub fn remembered(&self, proof: Instant) {
        let mut notes = self.notes.lock();
        notes.from_memory += 1;
        notes.proof = earlier(notes.proof, Some(proof));
    }

    /// Something was read from the API server.
    pub fn went_through(&self) {
        self.notes.lock().through += 1;
    }

    /// Something was written, and has this version.
    pub fn wrote(&self, version: u64) {
        let mut notes = self.notes.lock();
        notes.written = notes.written.max(version);
    }

    /// Takes over what another request of the same question has noted.
    pub fn absorb(&self, other: &Self) {
        let (mut notes, other) = (self.notes.lock(), other.notes.lock());
        notes.from_memory += other.from_memory;
        notes.through += other.through;
        notes.proof = earlier(notes.proof, other.proof);
    }

    /// Adds the `extensions` to the end of an answer, if there is anything to say.
    pub fn tell(&self, answer: &mut Vec<u8>) {
        if let Some(said) = self.extensions() {
            // The end of the answer makes room.
            answer.pop();
            answer.extend_from_slice(MEMBER);
            answer.extend_from_slice(said.as_bytes());
            answer.extend_from_slice(b"}}");
        }
    }

    fn extensions(&self) -> Option<String> {
        let notes = self.notes.lock();
        let mut said = Vec::new();
        match (notes.from_memory, notes.through) {
            (0, 0) => {}
            (0, _) => said.push("\"source\":\"cluster\"".to_owned()),
            (_, through) => {
                let source = if through == 0 { "memory" } else { "mixed" };
                // Of now, when the answer leaves: what was read waits for its siblings. Rounded up, so that it is never
                // older than that.
                let age = notes.proof.map_or(0, |proof| proof.elapsed().as_micros().div_ceil(1000));
                said.push(format!("\"source\":\"{source}\",\"cacheAgeMs\":{age}"));
            }
        }
        if notes.written > 0 {
            said.push(format!("\"resourceVersion\":\"{}\"", notes.written));
        }
        (!said.is_empty()).then(|| said.join(","))
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// An answer without what was told of it, which is another one each time: what its tag is made of.
pub fn untold(answer: &[u8]) -> &[u8] {
    let found = memchr::memmem::rfind(answer, MEMBER);
    let (data, said) = answer.split_at(found.unwrap_or(answer.len()));
    // What is told has no object in it, and nothing follows.
    let is_told = memchr::memchr(b'}', said).is_some_and(|end| end + 2 == said.len());
    if is_told { data } else { answer }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn wishes(json: &str) -> Result<MemoryWishes, String> {
        let map: JsonMap = serde_json::from_str(json).unwrap();
        MemoryWishes::of(Some(&map)).map_err(|error| error.message)
    }

    #[test]
    fn wishes_are_read_strictly() {
        let of = |is_off, at_least| Ok(MemoryWishes { is_off, at_least });
        let table = [
            ("{}", of(false, 0)),
            (r#"{"memory":true}"#, of(false, 0)),
            (r#"{"memory":false,"minResourceVersion":"12"}"#, of(true, 12)),
            (r#"{"minResourceVersion":"12"}"#, of(false, 12)),
            (r#"{"minResourceVersion":"012"}"#, of(true, 0)),
            (r#"{"minResourceVersion":"a"}"#, of(true, 0)),
            (r#"{"memory":null,"minResourceVersion":null}"#, of(false, 0)),
            (r#"{"memory":"no"}"#, Err("extensions.memory must be true or false".to_owned())),
            (r#"{"minResourceVersion":12}"#, Err("extensions.minResourceVersion must be a text".to_owned())),
        ];
        for (json, expected) in table {
            assert_eq!(wishes(json), expected, "{json}");
        }
        assert_eq!(MemoryWishes::of(None).unwrap(), MemoryWishes::default());
    }

    /// The time that was so long ago.
    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_where_it_is_from() {
        let ms = Duration::from_millis;
        let table: [(&[u64], usize, u64, Option<&str>); 6] = [
            (&[], 0, 0, None),
            (&[], 1, 0, Some(r#""source":"cluster""#)),
            (&[3, 7], 0, 0, Some(r#""source":"memory","cacheAgeMs":7"#)),
            (&[3], 1, 0, Some(r#""source":"mixed","cacheAgeMs":3"#)),
            (&[], 0, 9, Some(r#""resourceVersion":"9""#)),
            (&[0], 0, 9, Some(r#""source":"memory","cacheAgeMs":0,"resourceVersion":"9""#)),
        ];
        for (ages, through, written, expected) in table {
            let reading = MemoryReading::new(MemoryWishes::default(), None);
            for age in ages {
                reading.remembered(ago(ms(*age)));
            }
            for _ in 0..through {
                reading.went_through();
            }
            if written > 0 {
                reading.wrote(written);
            }
            assert_eq!(reading.extensions().as_deref(), expected);
            let mut answer = b"{\"data\":{}}".to_vec();
            reading.tell(&mut answer);
            let told: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(told.get("extensions").is_some(), expected.is_some());
            if expected.is_some() {
                assert_eq!(untold(&answer), b"{\"data\":{}");
            }
        }
        let reading = MemoryReading::new(MemoryWishes::default(), None);
        reading.remembered(ago(Duration::from_micros(1)));
        assert_eq!(reading.extensions().as_deref(), Some(r#""source":"memory","cacheAgeMs":1"#));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ages_until_it_leaves() {
        let reading = MemoryReading::new(MemoryWishes::default(), None);
        let of_cluster = MemoryReading::new(MemoryWishes::default(), None);
        reading.remembered(ago(Duration::from_millis(3)));
        advance(Duration::from_secs(5)).await;
        of_cluster.remembered(ago(Duration::from_millis(900)));
        of_cluster.remembered(Instant::now());
        assert_eq!(of_cluster.extensions().as_deref(), Some(r#""source":"memory","cacheAgeMs":900"#));
        of_cluster.absorb(&reading);
        assert_eq!(of_cluster.extensions().as_deref(), Some(r#""source":"memory","cacheAgeMs":5003"#));
        advance(Duration::from_millis(7)).await;
        assert_eq!(of_cluster.extensions().as_deref(), Some(r#""source":"memory","cacheAgeMs":5010"#));
        of_cluster.absorb(&MemoryReading::new(MemoryWishes::default(), None));
        assert_eq!(of_cluster.extensions().as_deref(), Some(r#""source":"memory","cacheAgeMs":5010"#));
    }

    #[test]
    fn what_only_looks_like_it_was_not_told() {
        for answer in [
            r#"{"data":{"x":{"a":1,"extensions":{"source":1}}}}"#,
            r#"{"data":null,"errors":[{"message":"","extensions":{"code":"X"}}]}"#,
            r#"{"data":{}}"#,
            "",
        ] {
            assert_eq!(untold(answer.as_bytes()), answer.as_bytes());
        }
    }
}
