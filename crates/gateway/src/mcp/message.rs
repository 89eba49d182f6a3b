//! Messages: what a client asks, in which era of the protocol, and the form of answers.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::envelope::MessageEnvelope;

/// Revisions with an `initialize` first, the newest first. Before them, there were batches.
const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];
/// The revision in which each message says its version.
const MODERN: &str = "2026-07-28";
/// The key of that version.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The key of who answers.
const SERVER: &str = "io.modelcontextprotocol/serverInfo";
/// How long a client may keep a list, in milliseconds: documents and schemas change.
const FRESH_MS: u64 = 10_000;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const NO_METHOD: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;
const HEADER_MISMATCH: i32 = -32_020;
const UNSUPPORTED_VERSION: i32 = -32_022;

/// An era of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolEra {
    /// It begins with `initialize`.
    Legacy,
    /// Each message says its version.
    Modern,
}

/// A message to answer.
#[derive(Clone, Debug)]
pub struct ClientMessage {
    /// Its id; none for a message that wants no answer.
    pub id: Option<Value>,
    /// The method.
    pub method: String,
    /// The parameters.
    pub params: Map<String, Value>,
    /// The era.
    pub era: ProtocolEra,
}

/// A message that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageFault {
    /// The status of the answer.
    pub status: StatusCode,
    id: Value,
    code: i32,
    message: String,
    data: Option<Value>,
}

/// The answer: a result, or a fault.
pub type MessageAnswer = Result<Value, MessageFault>;

impl MessageFault {
    fn new(status: StatusCode, id: Option<&Value>, code: i32, message: impl Into<String>) -> Self {
        let id = id.cloned().unwrap_or(Value::Null);
        Self { status, id, code, message: message.into(), data: None }
    }

    /// The answer.
    pub fn to_json(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        json!({"jsonrpc": "2.0", "id": self.id, "error": error})
    }
}

impl ClientMessage {
    /// Reads a message, and checks that its headers say the same.
    pub fn read(body: &[u8], headers: &HeaderMap) -> Result<Self, MessageFault> {
        let bad = |code, message: &str| MessageFault::new(StatusCode::BAD_REQUEST, None, code, message);
        let value: Value =
            serde_json::from_slice(body).map_err(|_| bad(PARSE_ERROR, "the body is not JSON"))?;
        let MessageEnvelope { id, method, params } =
            MessageEnvelope::of(value).map_err(|message| bad(INVALID_REQUEST, message))?;
        let said = header(headers, "mcp-protocol-version");
        let version = params.get("_meta").and_then(|meta| meta.get(VERSION)).and_then(Value::as_str);
        let is_modern = version.is_some() || said == Some(MODERN);
        let era = if is_modern { ProtocolEra::Modern } else { ProtocolEra::Legacy };
        let version = version.map(str::to_owned);
        let message = Self { id, method, params, era };
        if is_modern && message.id.is_none() {
            // What such a message says in headers is not defined.
        } else if is_modern {
            message.check_modern(headers, (version.as_deref(), said))?;
        } else if let Some(said) = said.filter(|said| !LEGACY.contains(said)) {
            return Err(message.unsupported(said));
        }
        Ok(message)
    }

    fn check_modern(
        &self,
        headers: &HeaderMap,
        (version, said): (Option<&str>, Option<&str>),
    ) -> Result<(), MessageFault> {
        let asked = version.or(said).unwrap_or_default();
        if version.is_none() {
            return Err(self.fault(
                StatusCode::BAD_REQUEST,
                INVALID_PARAMS,
                format!("_meta has no {VERSION}"),
            ));
        }
        let mismatch = |what: &str| {
            let message = format!("the header {what} does not say what the body says");
            Err(self.fault(StatusCode::BAD_REQUEST, HEADER_MISMATCH, message))
        };
        if said != version {
            return mismatch("MCP-Protocol-Version");
        }
        if asked != MODERN {
            return Err(self.unsupported(asked));
        }
        if header(headers, "mcp-method") != Some(&self.method) {
            return mismatch("Mcp-Method");
        }
        let name = self.params.get("name").and_then(Value::as_str);
        if self.method == "tools/call" && header(headers, "mcp-name") != name {
            return mismatch("Mcp-Name");
        }
        Ok(())
    }

    fn unsupported(&self, asked: &str) -> MessageFault {
        let supported: Vec<_> = std::iter::once(MODERN).chain(LEGACY).collect();
        let mut fault =
            self.fault(StatusCode::BAD_REQUEST, UNSUPPORTED_VERSION, "Unsupported protocol version");
        fault.data = Some(json!({"supported": supported, "requested": asked}));
        fault
    }

    fn fault(&self, status: StatusCode, code: i32, message: impl Into<String>) -> MessageFault {
        MessageFault::new(status, self.id.as_ref(), code, message)
    }

    /// The method is not known.
    pub fn no_method(&self) -> MessageFault {
        let status = if self.era == ProtocolEra::Modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
        self.fault(status, NO_METHOD, format!("there is no method {:?}", self.method))
    }

    /// The parameters are wrong.
    pub fn invalid(&self, message: impl Into<String>) -> MessageFault {
        self.fault(StatusCode::OK, INVALID_PARAMS, message)
    }

    /// The answer to `server/discover`.
    pub fn discovered(&self) -> Value {
        let supported: Vec<_> = std::iter::once(MODERN).chain(LEGACY).collect();
        self.kept(json!({"supportedVersions": supported, "capabilities": {"tools": {}}}))
    }

    /// A result that a client may keep for a while.
    pub fn kept(&self, mut result: Value) -> Value {
        if self.era == ProtocolEra::Modern {
            result["ttlMs"] = json!(FRESH_MS);
            result["cacheScope"] = json!("private");
        }
        self.result(result)
    }

    /// A result.
    pub fn result(&self, mut result: Value) -> Value {
        if self.era == ProtocolEra::Modern {
            result["resultType"] = json!("complete");
            result["_meta"] = json!({SERVER: server()});
        }
        json!({"jsonrpc": "2.0", "id": self.id, "result": result})
    }
}

/// The answer to `initialize`: the version that the client wants, or the newest that it may know.
pub fn initialized(message: &ClientMessage) -> Value {
    let wanted = message.params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let version = LEGACY.into_iter().find(|known| *known == wanted).unwrap_or(LEGACY[0]);
    message.result(json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server()}))
}

fn server() -> Value {
    json!({"name": "portolan-gateway", "version": env!("CARGO_PKG_VERSION")})
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(body: &Value, headers: &[(&'static str, &'static str)]) -> Result<(ProtocolEra, String), i32> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, HeaderValue::from_static(value));
        }
        let message = ClientMessage::read(body.to_string().as_bytes(), &all);
        message.map(|message| (message.era, message.method)).map_err(|fault| fault.code)
    }

    #[test]
    fn messages_say_their_era_and_headers_say_the_same() {
        let legacy = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let meta = json!({VERSION: MODERN});
        let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a", "_meta": meta}});
        let old = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": {VERSION: "1900-01-01"}}});
        let (version, method, name) =
            (("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "a"));
        let table = [
            (&legacy, vec![], Ok((ProtocolEra::Legacy, "ping".to_owned()))),
            (
                &legacy,
                vec![("mcp-protocol-version", "2025-06-18")],
                Ok((ProtocolEra::Legacy, "ping".to_owned())),
            ),
            (&legacy, vec![("mcp-protocol-version", "2099-01-01")], Err(UNSUPPORTED_VERSION)),
            (&legacy, vec![("mcp-protocol-version", "2025-03-26")], Err(UNSUPPORTED_VERSION)),
            (&legacy, vec![version], Err(INVALID_PARAMS)),
            (&modern, vec![version, method, name], Ok((ProtocolEra::Modern, "tools/call".to_owned()))),
            (&modern, vec![version, method, ("mcp-name", "b")], Err(HEADER_MISMATCH)),
            (&modern, vec![version, method], Err(HEADER_MISMATCH)),
            (&modern, vec![version, ("mcp-method", "ping"), name], Err(HEADER_MISMATCH)),
            (&modern, vec![method, name], Err(HEADER_MISMATCH)),
            (&old, vec![("mcp-protocol-version", "1900-01-01")], Err(UNSUPPORTED_VERSION)),
        ];
        for (body, headers, expected) in table {
            assert_eq!(read(body, &headers), expected, "{body} {headers:?}");
        }
        for (body, code) in [(json!([legacy]), INVALID_REQUEST), (json!({"jsonrpc": "1.0"}), INVALID_REQUEST)]
        {
            assert_eq!(read(&body, &[]), Err(code), "{body}");
        }
        assert_eq!(ClientMessage::read(b"{", &HeaderMap::new()).unwrap_err().code, PARSE_ERROR);
    }
}
