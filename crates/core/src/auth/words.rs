//! Meaning of the words with which an API server refuses a token. Only trouble of transport or storage leaves a
//! question open; every other word is final, also one that nobody here knows.

/// The classes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalMeaning {
    /// The time of the token is over.
    Expired,
    /// The time of the token has not come.
    NotYet,
    /// The token is for somebody else.
    OtherAudience,
    /// The cluster does not accept the token.
    Final,
    /// Transport or storage has failed, and nothing else is said.
    Outage,
    /// Transport or storage has failed, beside words that are not understood: no answer, and no outage either.
    Unsure,
}

/// Prefix of the reasons in kube-apiserver's answer.
const ENVELOPE: &str = "invalid bearer token";

/// Words of transport and of storage: of Go's net and net/http, gRPC, etcd, kine's databases and API machinery.
const TROUBLE: [&str; 109] = [
    "timeout",
    "timed out",
    "time allotted",
    "may still be processing the request",
    "deadline exceeded",
    "deadlineexceeded",
    "client.timeout",
    "context canceled",
    "context cancelled",
    "request canceled",
    "request cancelled",
    "operation was canceled",
    "connection refused",
    "connection reset",
    "connection lost",
    "connection closed",
    "connection aborted",
    "connection error",
    "closed network connection",
    "closed connection",
    "bad connection",
    "too many connections",
    "broken pipe",
    "no route to host",
    "host is down",
    "network is unreachable",
    "network is down",
    "no such host",
    "server misbehaving",
    "name resolution",
    "eof",
    "dial tcp",
    "dial udp",
    "dial unix",
    "read tcp",
    "write tcp",
    "error while dialing",
    "transport is closing",
    "transport:",
    "tls handshake",
    "tls:",
    "x509:",
    "goaway",
    "stream error",
    "server closed",
    "server is shutting down",
    "shutting down",
    "bad gateway",
    "gateway timeout",
    "service unavailable",
    "unavailable",
    "unable to handle the request",
    "too many requests",
    "resource exhausted",
    "resourceexhausted",
    "throttled",
    "throttling",
    "rate limiter",
    "internal error occurred",
    "internal server error",
    "has prevented the request from succeeding",
    "try again later",
    "rpc error",
    "etcd",
    "etcdserver",
    "etcdclient",
    "raft",
    "mvcc",
    "no leader",
    "not leader",
    "leader changed",
    "leader failure",
    "possibly due to",
    "applied index took too long",
    "storage is (re)initializing",
    "database is locked",
    "database is closed",
    "database space exceeded",
    "no space left on device",
    "connection broken",
    "connection force closed",
    "invalid connection",
    "failed to connect",
    "proxyconnect tcp",
    "error trying to reach",
    "no endpoints available",
    "too many open files",
    "cannot assign requested address",
    "no buffer space available",
    "cannot allocate memory",
    "net/http:",
    "http2:",
    "malformed http",
    "server gave http response",
    "grpc:",
    "too old resource version",
    "unable to transform",
    "failed to decrypt dek",
    "table is locked",
    "disk i/o error",
    "input/output error",
    "read-only file system",
    "readonly database",
    "disk image is malformed",
    "deadlock found",
    "gone away",
    "too many clients",
    "pq:",
    "sqlstate",
];

/// Words that are about the token, whatever else has gone wrong beside it.
const ABOUT_THE_TOKEN: [&str; 14] = [
    "invalidated",
    "marked invalid",
    "has been deleted",
    "was deleted",
    "revoked",
    "not found",
    "does not match",
    "do not match",
    "not bound",
    "signature",
    "no keys found",
    "cryptographic primitive",
    "claim missing",
    "issuer",
];

/// Those of them that transport and storage never use: beside these, their words do not count.
const ONLY_ABOUT_THE_TOKEN: [&str; 7] = [
    "invalidated",
    "marked invalid",
    "has been deleted",
    "revoked",
    "token has expired",
    "token is expired",
    "token timed out",
];

/// Classifies the text of a TokenReview's `status.error`.
pub fn meaning(error: &str) -> RefusalMeaning {
    let parts = parts(error);
    let of_token = |part: &&String| !is_trouble(part);
    let about: Vec<_> = parts.iter().filter(of_token).collect();
    let trouble = about.len() < parts.len();
    let says = |word: &str| about.iter().any(|part| has(part, word));
    if says("expired") {
        RefusalMeaning::Expired
    } else if says("not valid yet") || says("not yet valid") || says("issued in the future") {
        RefusalMeaning::NotYet
    } else if says("audience") || says("audiences") {
        RefusalMeaning::OtherAudience
    } else if ABOUT_THE_TOKEN.iter().any(|word| says(word)) || !trouble {
        RefusalMeaning::Final
    } else if about.is_empty() {
        RefusalMeaning::Outage
    } else {
        RefusalMeaning::Unsure
    }
}

fn is_trouble(part: &str) -> bool {
    let any = |list: &[&str]| list.iter().any(|words| has(part, words));
    any(&TROUBLE) && !any(&ONLY_ABOUT_THE_TOKEN)
}

/// The reasons of a list such as `[invalid bearer token, a, b]`, in lower case, without what they quote: names and
/// audiences may be any words.
fn parts(error: &str) -> Vec<String> {
    let text = unquoted(error).to_lowercase();
    let parts = text.split([',', '\n', '\r']).map(|part| part.trim_matches(trimmed).to_owned());
    parts.filter(|part| !part.is_empty() && part != ENVELOPE).collect()
}

fn trimmed(character: char) -> bool {
    character.is_whitespace() || matches!(character, '[' | ']' | '.' | ';')
}

/// A text without what stands in quotation marks. Where one is missing, none of them counts.
fn unquoted(text: &str) -> String {
    let (mut kept, mut is_quoted, mut is_escaped) = (String::with_capacity(text.len()), false, false);
    for character in text.chars() {
        match character {
            '"' if !is_escaped => {
                is_quoted = !is_quoted;
                kept.push('"');
            }
            _ if is_quoted => {}
            _ => kept.push(character),
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    if is_quoted { text.to_owned() } else { kept }
}

/// Returns `true` if words stand in a text as words, and not within a name such as `default/timeout`.
fn has(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + words.len()..]);
        let joined = |character: char| character.is_alphanumeric() || matches!(character, '-' | '/' | '_');
        let starts = !before.chars().next_back().is_some_and(|last| joined(last) || last == '.');
        let mut rest = after.chars();
        let ends = match rest.next() {
            Some('.') => !rest.next().is_some_and(joined),
            Some(next) => words.ends_with(':') || !joined(next),
            None => true,
        };
        starts && ends
    })
}

#[cfg(test)]
mod tests;
