//! Texts as API servers write them: of Kubernetes itself, of clouds, of etcd and of the network.

use super::{RefusalMeaning::*, *};

#[test]
fn the_words_of_kubernetes_are_final() {
    let table = [
        ("[invalid bearer token, service account token has expired]", Expired),
        ("[invalid bearer token, Token has expired.]", Expired),
        ("oidc: verify token: oidc: token is expired (Token Expiry: 2026-01-01 00:00:00 +0000 UTC)", Expired),
        ("[invalid bearer token, service account token is not valid yet]", NotYet),
        ("service account token is issued in the future", NotYet),
        (
            r#"token audiences ["x" "context deadline exceeded"] is invalid for the target audiences ["a"]"#,
            OtherAudience,
        ),
        ("token audiences [x] is invalid for the target audiences [a]", OtherAudience),
        ("[invalid bearer token, service account token has been invalidated]", Final),
        (
            "[invalid bearer token, the token in secret default/timeout for service account default/etcd has been \
             marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove \
             the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token]",
            Final,
        ),
        ("[invalid bearer token, service account default/timeout has been deleted]", Final),
        ("service account token is not bound to a node", Final),
        ("node name in the token does not match the node of the pod", Final),
        (r#"[invalid bearer token, pods "etcd-unavailable" not found]"#, Final),
        (r#"[invalid bearer token, serviceaccounts "context canceled" not found]"#, Final),
        (r#"secrets "a\", eof, \"b" not found"#, Final),
        ("service account UID (a) does not match claim (b)", Final),
        ("serviceAccountName claim missing", Final),
        ("service account token has been invalidated: connection closed", Final),
        ("service account token claims could not be validated due to unexpected validation error", Final),
        ("[invalid bearer token, invalid signature, no keys found]", Final),
        ("square/go-jose: error in cryptographic primitive", Final),
        ("go-jose/go-jose: error in cryptographic primitive", Final),
        ("token issuer is not recognised", Final),
        ("invalid bearer token", Final),
        ("[invalid bearer token]", Final),
        ("[]", Final),
        ("", Final),
    ];
    for (error, expected) in table {
        assert_eq!(meaning(error), expected, "{error}");
    }
}

#[test]
fn what_clouds_add_behind_a_comma_changes_nothing() {
    let table = [
        ("[invalid bearer token, unknown]", Final),
        ("[invalid bearer token, Token has been invalidated, unknown]", Final),
        ("[invalid bearer token, service account token has expired, unknown]", Expired),
        ("[invalid bearer token, service account token has been invalidated, token lookup failed]", Final),
        (r#"[invalid bearer token, oauthaccesstokens.oauth.openshift.io "sha256~x" not found]"#, Final),
        ("[invalid bearer token, token timed out]", Final),
        ("Unauthorized, please speak to your administrator", Final),
        (
            "[invalid bearer token, service account token has been invalidated, Post \
             \"https://127.0.0.1:21362/authenticate?timeout=30s\": dial tcp 127.0.0.1:21362: connect: connection refused]",
            Final,
        ),
        (
            "[invalid bearer token, Post \"https://x\": context deadline exceeded, service account token has expired]",
            Expired,
        ),
    ];
    for (error, expected) in table {
        assert_eq!(meaning(error), expected, "{error}");
    }
}

/// Of Kubernetes, Go's own network code, gRPC and etcd.
const OUTAGES: [&str; 38] = [
    "etcdserver: request timed out",
    "etcdserver: request timed out, possibly due to previous leader failure",
    "etcdserver: request timed out, possibly due to connection lost",
    "etcdserver: request timed out, waiting for the applied index took too long",
    "etcdserver: leader changed",
    "etcdserver: no leader",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: too many requests",
    "raft: stopped",
    "rpc error: code = Unavailable desc = transport is closing",
    "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp \
     127.0.0.1:2379: connect: connection refused\"",
    "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
    "context deadline exceeded",
    "context canceled",
    "Get \"https://10.0.0.1/api/v1/namespaces/x/pods/expired\": dial tcp 10.0.0.1:443: i/o timeout",
    "Get \"https://a\": net/http: TLS handshake timeout",
    "Post \"https://a\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
    "Post \"https://a\": EOF",
    "Post \"https://a\": unexpected EOF",
    "http2: client connection lost",
    "http2: server sent GOAWAY and closed the connection; LastStreamID=1",
    "read tcp 10.0.0.1:1->10.0.0.2:2: read: connection reset by peer",
    "write: broken pipe",
    "dial tcp: lookup kms.test: no such host",
    "dial tcp: lookup kms.test on 10.0.0.10:53: server misbehaving",
    "connect: no route to host",
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
    "x509: certificate signed by unknown authority",
    "the server is currently unable to handle the request",
    "apiserver is shutting down",
    "the server was unable to return a response in the time allotted, but may still be processing the request \
     (get pods x)",
    "Internal error occurred: something",
    "an error on the server (\"unknown\") has prevented the request from succeeding",
    "the server has received too many requests and has asked us to try again later",
    "storage is (re)initializing",
    "database is locked",
    "sql: database is closed",
    "driver: bad connection",
];

/// Of proxies, sockets, disks, encryption at rest and the databases under kine.
const MORE_OUTAGES: [&str; 26] = [
    "Post \"https://a\": http2: client connection force closed via ClientConn.Close",
    "Post \"https://a\": http2: client conn not usable",
    "Post \"https://a\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"x\"",
    "Get \"https://a\": http: server gave HTTP response to HTTPS client",
    "Get \"https://a\": proxyconnect tcp: bad status",
    "grpc: the client connection is closing",
    "no endpoints available for service \"authenticator\"",
    "error trying to reach service: bad certificate",
    "socket: too many open files",
    "connect: cannot assign requested address",
    "fork/exec: cannot allocate memory",
    "Expired: too old resource version: 1 (2)",
    "unable to transform key \"/registry/secrets/a/b\": output array was not large enough for encryption",
    "failed to decrypt DEK, error: rpc error: code = Unknown desc = x",
    "pq: sorry, too many clients already",
    "pq: the database system is starting up",
    "failed to connect to `user=kine`: server error (FATAL: sorry, too many clients already (SQLSTATE 53300))",
    "FATAL: the database system is in recovery mode (SQLSTATE 57P03)",
    "database table is locked",
    "disk I/O error",
    "attempt to write a readonly database",
    "database disk image is malformed",
    "write /var/lib/a: read-only file system",
    "Error 1213: Deadlock found when trying to get lock; restart the transaction",
    "invalid connection",
    "MySQL server has gone away",
];

#[test]
fn transport_and_storage_are_an_outage() {
    for text in OUTAGES.into_iter().chain(MORE_OUTAGES) {
        for error in [text.to_owned(), format!("[invalid bearer token, {text}]")] {
            assert_eq!(meaning(&error), Outage, "{error}");
        }
    }
}

#[test]
fn what_is_not_understood_beside_an_outage_is_neither() {
    for error in [
        "[invalid bearer token, etcdserver: request timed out, unknown]",
        "[invalid bearer token, access denied by policy, context deadline exceeded]",
        "[invalid bearer token, dial tcp 10.0.0.1:443: i/o timeout, the account is suspended]",
    ] {
        assert_eq!(meaning(error), Unsure, "{error}");
    }
}

#[test]
fn a_hostile_text_is_read_to_its_end() {
    for error in [
        "\"".to_owned(),
        "\\".to_owned(),
        "[".repeat(100_000),
        "\"eof".to_owned() + &"x".repeat(100_000),
        ",".repeat(100_000),
        "\u{130}eof".to_owned(),
    ] {
        let _ = meaning(&error);
    }
    assert_eq!(meaning("pods \"x not found"), Final);
}
