//! One row per kind of token that §5 of the reference lists, and one per shape of a JWKS.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

mod shapes;

use super::{
    forge::{SigningKey, claims, encode},
    keys::{InvalidKeys, TokenRules},
    review::InvalidRequest,
    *,
};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
static ISSUERS: LazyLock<[String; 1]> = LazyLock::new(|| [ISSUER.to_owned()]);
static RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::new("rsa", "RSA"));
static OTHER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::new("rsa", "RSA"));
static P256: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::new("p256", "P-256"));

fn rules() -> TokenRules<'static> {
    TokenRules { issuers: &*ISSUERS, leeway: SignedDuration::from_secs(60), require_key_id: true }
}

fn keys(jwks: &[Value]) -> IssuerKeys {
    IssuerKeys::parse(json!({"keys": jwks}).to_string().as_bytes(), &[]).unwrap()
}

fn with(jwk: &Value, member: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[member] = value;
    jwk
}

fn good() -> Value {
    claims(ISSUER, &["mariadb"], NOW)
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = good();
    change(&mut claims);
    RSA.token("RS256", &claims)
}

/// The verdict on a token: `ok`, or the label of the refusal.
fn verdict(keys: &IssuerKeys, token: &str) -> &'static str {
    verdict_with(keys, &rules(), token)
}

fn verdict_with(keys: &IssuerKeys, rules: &TokenRules<'_>, token: &str) -> &'static str {
    let verdict = UnverifiedToken::parse(token)
        .and_then(|token| keys.verify(&token, rules, Timestamp::from_second(NOW).unwrap()))
        .and_then(|claims| UserIdentity::of(&claims));
    verdict.map_or_else(|refusal| refusal.label(), |_| "ok")
}

fn assert_rows(keys: &IssuerKeys, rows: &[(&str, String, &str)]) {
    for (row, token, expected) in rows {
        assert_eq!(verdict(keys, token), *expected, "row {row}");
    }
}

#[test]
fn every_family_of_algorithms_is_verified() {
    let (p384, p521, ed) = (
        SigningKey::new("p384", "P-384"),
        SigningKey::new("p521", "P-521"),
        SigningKey::new("ed", "Ed25519"),
    );
    for (key, algorithms) in [
        (&*RSA, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].as_slice()),
        (&*P256, &["ES256"]),
        (&p384, &["ES384"]),
        (&p521, &["ES512"]),
        (&ed, &["EdDSA"]),
    ] {
        for algorithm in algorithms {
            let keys = keys(&[with(&key.jwk(), "alg", json!(algorithm))]);
            let token = key.token(algorithm, &good());
            assert_eq!(verdict(&keys, &token), "ok", "{algorithm}");
            let (rest, signature) = token.rsplit_once('.').unwrap();
            let mut other: Vec<char> = signature.chars().collect();
            other[10] = if other[10] == 'A' { 'B' } else { 'A' };
            let other = format!("{rest}.{}", other.into_iter().collect::<String>());
            assert_eq!(verdict(&keys, &other), "signature", "{algorithm}");
        }
    }
}

#[test]
fn confused_algorithms_are_refused() {
    let (rsa, p256) = (RSA.jwk(), P256.jwk());
    let any = keys(&[rsa.clone(), p256.clone()]);
    let header = |alg: &str| json!({"alg": alg, "kid": "rsa"}).to_string();
    let rows = [
        ("1 none", format!("{}.{}.", encode(header("none").as_bytes()), encode(b"{\"iss\":\"x\"}")), "alg"),
        ("1 None", RSA.raw_token("RS256", &header("None"), &good().to_string()), "alg"),
        ("1 missing", RSA.raw_token("RS256", r#"{"kid":"rsa"}"#, &good().to_string()), "alg"),
        ("2 HS256 with the public key", RSA.raw_token("RS256", &header("HS256"), &good().to_string()), "alg"),
        (
            "3 RS256 with an EC key",
            P256.raw_token("ES256", r#"{"alg":"RS256","kid":"p256"}"#, &good().to_string()),
            "alg",
        ),
        ("3 ES256 with an RSA key", RSA.raw_token("RS256", &header("ES256"), &good().to_string()), "alg"),
        ("3 PSS that the key does not name", RSA.token("PS256", &good()), "alg"),
    ];
    assert_rows(&any, &rows);
    let set = json!({"keys": [rsa]}).to_string();
    let pss = IssuerKeys::parse(set.as_bytes(), &[SigningAlgorithm::Rs256, SigningAlgorithm::Ps256]).unwrap();
    assert_eq!(verdict(&pss, &RSA.token("PS256", &good())), "ok", "row 3 PSS that the issuer names");
    assert_eq!(verdict(&pss, &RSA.token("PS384", &good())), "alg", "row 3 PSS that nobody names");
    let pinned = keys(&[with(&rsa, "alg", json!("RS256"))]);
    assert_eq!(verdict(&pinned, &RSA.token("RS512", &good())), "alg", "row 3 pinned");
}

#[test]
fn the_outer_form_is_that_of_a_compact_jws() {
    let keys = keys(&[RSA.jwk()]);
    let token = RSA.token("RS256", &good());
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let (_, payload) = rest.split_once('.').unwrap();
    let serialized = json!({"payload": payload, "protected": "e30", "signature": signature}).to_string();
    let crit = r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#;
    let own_key = json!({"alg": "RS256", "kid": "rsa", "jku": "https://evil.test", "jwk": OTHER.jwk()});
    let twice = r#"{"alg":"RS256","kid":"rsa","kid":"other"}"#;
    let rows = [
        (
            "4 jku and jwk are ignored",
            OTHER.raw_token("RS256", &own_key.to_string(), &good().to_string()),
            "signature",
        ),
        ("5 crit", RSA.raw_token("RS256", crit, &good().to_string()), "malformed"),
        ("6 JSON serialization", serialized, "malformed"),
        ("6 five parts", format!("{token}.a.b"), "malformed"),
        ("6 white space", format!("{rest} .{signature}"), "malformed"),
        ("6 padding", format!("{token}="), "malformed"),
        (
            "6 trailing bits",
            format!("{}.{payload}.{signature}", "eyJhbGciOiJSUzI1NiJ9".replace('9', "8")),
            "malformed",
        ),
        ("6 two parts", rest.to_owned(), "malformed"),
        ("14 huge", format!("{rest}.{}", "A".repeat(20_000)), "too_large"),
        ("16 duplicate header member", RSA.raw_token("RS256", twice, &good().to_string()), "malformed"),
        ("opaque", "sha256~abcdef".to_owned(), "malformed"),
        ("empty parts", "..".to_owned(), "malformed"),
    ];
    assert_rows(&keys, &rows);
}

#[test]
fn key_ids_decide_which_key_is_tried() {
    let keys_of_issuer = keys(&[RSA.jwk()]);
    let unnamed = RSA.raw_token("RS256", r#"{"alg":"RS256"}"#, &good().to_string());
    let unknown = RSA.raw_token("RS256", r#"{"alg":"RS256","kid":"x"}"#, &good().to_string());
    let rows = [
        ("7 unknown key id", unknown, "kid"),
        ("8 known key id, other key", OTHER.token("RS256", &good()), "signature"),
        ("9 no key id", unnamed.clone(), "kid"),
    ];
    assert_rows(&keys_of_issuer, &rows);
    let lenient = TokenRules { require_key_id: false, ..rules() };
    assert_eq!(verdict_with(&keys_of_issuer, &lenient, &unnamed), "ok", "row 9, allowed");
    let both = keys(&[OTHER.jwk(), RSA.jwk()]);
    assert_eq!(verdict(&both, &RSA.token("RS256", &good())), "ok", "two keys with one id are both tried");
}

#[test]
fn times_are_strict() {
    let keys = keys(&[RSA.jwk()]);
    let exp = |value: Value| changed(|claims| claims["exp"] = value);
    let rows = [
        ("10 expired", exp(json!(NOW - 61)), "expired"),
        ("10 at the edge", exp(json!(NOW - 60)), "expired"),
        ("10 within the leeway", exp(json!(NOW - 59)), "ok"),
        ("11 missing", changed(|claims| drop(claims.as_object_mut().unwrap().remove("exp"))), "malformed"),
        ("11 text", exp(json!((NOW + 10).to_string())), "malformed"),
        ("11 null", exp(Value::Null), "malformed"),
        ("11 negative", exp(json!(-1)), "malformed"),
        ("11 1e300", exp(json!(1e300)), "malformed"),
        ("11 overflow", exp(json!(u64::MAX)), "malformed"),
        ("11 fraction", exp(json!(1_800_000_010.5)), "ok"),
        ("12 not before", changed(|claims| claims["nbf"] = json!(NOW + 61)), "not_yet"),
        ("12 issued in the future", changed(|claims| claims["iat"] = json!(NOW + 61)), "not_yet"),
        ("12 text", changed(|claims| claims["nbf"] = json!("soon")), "malformed"),
    ];
    assert_rows(&keys, &rows);
}

/// Claims that name an account, and a subject that agrees with them.
fn claimed(claims: &mut Value, namespace: &str, name: &str) {
    claims["sub"] = json!(format!("system:serviceaccount:{namespace}:{name}"));
    claims["kubernetes.io"]["namespace"] = json!(namespace);
    claims["kubernetes.io"]["serviceaccount"]["name"] = json!(name);
}

#[test]
fn claims_are_strict() {
    let keys = keys(&[RSA.jwk()]);
    let raw = |claims: &str| RSA.raw_token("RS256", r#"{"alg":"RS256","kid":"rsa"}"#, claims);
    let good_text = good().to_string();
    let twice = |member: &str| raw(&good_text.replacen('{', &format!("{{{member},"), 1));
    let rows = [
        (
            "15 deep where nothing is read: skipped without recursion",
            raw(&good_text.replacen('{', &format!("{{\"x\":{}1{},", "[".repeat(2000), "]".repeat(2000)), 1)),
            "ok",
        ),
        ("15 deep where something is read", changed(|claims| claims["aud"] = json!([[["a"]]])), "malformed"),
        ("15 unknown members", changed(|claims| claims["x"] = json!({"a": [1, {"b": null}]})), "ok"),
        ("16 iss twice", twice(&format!("\"iss\":\"{ISSUER}\"")), "malformed"),
        ("16 exp twice", twice("\"exp\":9999999999"), "malformed"),
        ("16 sub twice", twice("\"sub\":\"x\""), "malformed"),
        ("16 aud twice", twice("\"aud\":\"x\""), "malformed"),
        ("18 ISS instead of iss", raw(&good_text.replace("\"iss\"", "\"ISS\"")), "malformed"),
        ("19 trailing slash", changed(|claims| claims["iss"] = json!(format!("{ISSUER}/"))), "issuer"),
        ("19 http", changed(|claims| claims["iss"] = json!(ISSUER.replace("https", "http"))), "issuer"),
        (
            "22 other subject",
            changed(|claims| claims["sub"] = json!("system:serviceaccount:default:b")),
            "identity",
        ),
        ("22 colon", changed(|claims| claimed(claims, "a:b", "app")), "identity"),
        ("22 upper case", changed(|claims| claimed(claims, "A", "app")), "identity"),
        ("22 name", changed(|claims| claimed(claims, "a", "b:c")), "identity"),
        ("22 name of another account", changed(|claims| claimed(claims, "a", "b.c")), "ok"),
        ("22 long name", changed(|claims| claimed(claims, "a", &"b".repeat(253))), "ok"),
        ("22 too long", changed(|claims| claimed(claims, "a", &"b".repeat(254))), "identity"),
        ("22 long namespace", changed(|claims| claimed(claims, &"a".repeat(64), "b")), "identity"),
        ("a list for the claims", raw(&format!("[{},null,null]", json!(ISSUER))), "malformed"),
        (
            "a list for a part of them",
            changed(|claims| claims["kubernetes.io"] = json!(["default", ["app", "u"]])),
            "malformed",
        ),
        (
            "23 not an account",
            changed(|claims| {
                claims["sub"] = json!("system:admin");
                claims.as_object_mut().unwrap().remove("kubernetes.io");
            }),
            "identity",
        ),
        ("aud as a text", changed(|claims| claims["aud"] = json!("mariadb")), "ok"),
        ("aud as a number", changed(|claims| claims["aud"] = json!(1)), "malformed"),
        ("aud with a number", changed(|claims| claims["aud"] = json!(["a", 1])), "malformed"),
    ];
    assert_rows(&keys, &rows);
}

#[test]
fn tokens_kept_in_secrets_have_no_end() {
    let legacy = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:app",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/service-account.name": "app",
        "kubernetes.io/serviceaccount/service-account.uid": "sa-uid",
        "kubernetes.io/serviceaccount/secret.name": "app-token",
    });
    let token = RSA.token("RS256", &legacy);
    let rules = TokenRules { issuers: &["kubernetes/serviceaccount".to_owned()], ..rules() };
    assert_eq!(verdict_with(&keys(&[RSA.jwk()]), &rules, &token), "malformed");
    let named = UserIdentity::unverified(&UnverifiedToken::parse(&token).unwrap()).unwrap();
    assert_eq!(
        (named.username.as_str(), named.uid.as_str()),
        ("system:serviceaccount:default:app", "sa-uid")
    );
}

#[test]
fn the_identity_is_the_one_that_kube_apiserver_derives() {
    let identity = UserIdentity::of(&serde_json::from_value(good()).unwrap()).unwrap();
    assert_eq!(identity.username, "system:serviceaccount:default:app");
    assert_eq!(identity.uid, "sa-uid");
    assert_eq!(identity.groups, ["system:serviceaccounts", "system:serviceaccounts:default"]);
    let extra = json!({
        "authentication.kubernetes.io/credential-id": ["JTI=a1b2"],
        "authentication.kubernetes.io/node-name": ["node-1"],
        "authentication.kubernetes.io/node-uid": ["node-uid"],
        "authentication.kubernetes.io/pod-name": ["app-0"],
        "authentication.kubernetes.io/pod-uid": ["pod-uid"],
    });
    assert_eq!(json!(identity.extra), extra);
    let mut half = good();
    half["kubernetes.io"]["pod"] = json!({"name": "app-0", "uid": ""});
    half["kubernetes.io"]["node"] = Value::Null;
    half["jti"] = json!("");
    assert!(UserIdentity::of(&serde_json::from_value(half).unwrap()).unwrap().extra.is_empty());
}

#[test]
fn unusable_keys_are_skipped_one_by_one() {
    let good = RSA.jwk();
    let rows = [
        ("30 encryption", with(&good, "use", json!("enc"))),
        ("30 key_ops", with(&good, "key_ops", json!(["sign"]))),
        ("30 short modulus", with(&good, "n", json!(encode(&[0xff; 128])))),
        ("30 padded modulus", with(&good, "n", json!(encode(&[[0; 128], [0xff; 128]].concat())))),
        ("30 exponent 1", with(&good, "e", json!("AQ"))),
        ("30 even exponent", with(&good, "e", json!("AQAA"))),
        ("2 symmetric", json!({"kty": "oct", "k": "AAAA", "kid": "rsa"})),
        ("unknown type", json!({"kty": "PQC", "kid": "rsa"})),
        ("unknown curve", json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"})),
        ("not on the curve", with(&P256.jwk(), "x", json!(encode(&[7; 32])))),
        ("algorithm of another type", with(&good, "alg", json!("ES256"))),
        ("symmetric algorithm", with(&good, "alg", json!("HS256"))),
        ("not base64", with(&good, "n", json!("***"))),
        ("a number", json!(7)),
    ];
    for (row, jwk) in rows {
        let mixed = keys(&[jwk.clone(), P256.jwk()]);
        assert_eq!((mixed.len(), mixed.skipped.0.len()), (1, 1), "{row}");
        let alone = IssuerKeys::parse(json!({"keys": [jwk]}).to_string().as_bytes(), &[]);
        assert_eq!(alone.unwrap_err(), InvalidKeys::Unusable(mixed.skipped), "{row}");
    }
}

#[test]
fn a_set_without_keys_is_no_set() {
    let many = json!({"keys": vec![json!({}); 257]}).to_string();
    let table = [
        (r#"{"keys":[]}"#, InvalidKeys::Empty),
        ("<html>", InvalidKeys::NotJson),
        ("", InvalidKeys::NotJson),
        ("{}", InvalidKeys::NotASet),
        (r#"{"keys":null}"#, InvalidKeys::NotASet),
        (r#"{"keys":{}}"#, InvalidKeys::NotASet),
        ("[]", InvalidKeys::NotASet),
        (&many, InvalidKeys::TooMany),
    ];
    for (text, expected) in table {
        assert_eq!(IssuerKeys::parse(text.as_bytes(), &[]).unwrap_err(), expected);
    }
}

#[test]
fn requests_are_read_as_clients_send_them() {
    let parse = |body: &str| {
        ReviewRequest::parse_json(body.as_bytes(), ReviewVersion::V1).map(|request| request.version)
    };
    let table = [
        (
            r#"{"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","metadata":{"creationTimestamp":null},"spec":{"token":"x","audiences":["a"]},"status":{"user":{}}}"#,
            Ok(ReviewVersion::V1beta1),
        ),
        (r#"{"spec":{"token":"x"}}"#, Ok(ReviewVersion::V1)),
        (r#"{"spec":{"token":"x","audiences":null}}"#, Ok(ReviewVersion::V1)),
        (r#"{"kind":"Pod","spec":{"token":"x"}}"#, Err(InvalidRequest::Body)),
        (r#"{"apiVersion":"v1","spec":{"token":"x"}}"#, Err(InvalidRequest::Body)),
        (r#"{"spec":{"token":"x"},"spec":{"token":"y"}}"#, Err(InvalidRequest::Body)),
        (r#"{"spec":{"token":"x","token":"y"}}"#, Err(InvalidRequest::Body)),
        (r#"{"spec":{"token":"x"}} trailing"#, Err(InvalidRequest::Body)),
        (r#"{"spec":{"token":""}}"#, Err(InvalidRequest::NoToken)),
        (r#"{"SPEC":{"Token":"x"}}"#, Err(InvalidRequest::NoToken)),
        ("null", Err(InvalidRequest::Body)),
        (r#"[null,null,null,{"token":"x"},null]"#, Err(InvalidRequest::Body)),
        (r#"{"spec":["x",null]}"#, Err(InvalidRequest::Body)),
        ("", Err(InvalidRequest::Body)),
    ];
    for (body, expected) in table {
        assert_eq!(parse(body), expected, "{body}");
    }
}

#[test]
fn answers_say_authenticated_and_never_the_token() {
    let identity = UserIdentity {
        username: "u".into(),
        uid: "1".into(),
        groups: vec!["g".into()],
        ..UserIdentity::default()
    };
    let audiences = ["a".to_owned()];
    let yes: Value = serde_json::from_slice(
        &ReviewAnswer::Authenticated(&identity, &audiences).to_json(ReviewVersion::V1beta1),
    )
    .unwrap();
    let expected = json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1beta1", "metadata": {},
        "spec": {"token": ""},
        "status": {"authenticated": true, "audiences": ["a"],
                   "user": {"username": "u", "uid": "1", "groups": ["g"], "extra": {}}},
    });
    assert_eq!(yes, expected);
    let no: Value =
        serde_json::from_slice(&ReviewAnswer::Refused(&TokenRefusal::Expired).to_json(ReviewVersion::V1))
            .unwrap();
    assert_eq!(no["status"], json!({"authenticated": false, "user": {}, "error": "token has expired"}));
}

#[test]
fn a_refusal_for_its_audience_stays_short_and_plain() {
    let token = vec!["\u{1b}[31m".to_owned() + &"x".repeat(1000); 50];
    let text = TokenRefusal::Audience { token, wanted: vec!["a".to_owned()] }.to_string();
    assert!(text.len() < 3000 && !text.contains('\u{1b}'), "{text}");
}
