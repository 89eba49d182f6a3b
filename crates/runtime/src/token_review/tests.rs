//! Answers of clusters: honest, hostile, of other versions, and none.

use serde_json::json;

use super::*;

fn named() -> UserIdentity {
    UserIdentity {
        username: "system:serviceaccount:d:a".to_owned(),
        uid: "1".to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), "system:serviceaccounts:d".to_owned()],
        extra: UserExtra::new(),
    }
}

fn label(status: serde_json::Value) -> &'static str {
    let status = serde_json::from_value(status).unwrap();
    label_of(agreed(status, &named(), &[], &["a".to_owned()]))
}

fn label_of<T>(result: Result<T, ReviewRefusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(ReviewRefusal::Outage) => "outage",
        Err(ReviewRefusal::Refused(refusal)) => refusal.label(),
    }
}

#[test]
fn a_hostile_cluster_cannot_name_another_user() {
    let user = |name: &str, uid: &str| json!({"authenticated": true, "audiences": ["a"], "user": {"username": name, "uid": uid}});
    assert_eq!(label(user("system:serviceaccount:d:a", "1")), "ok");
    assert_eq!(label(user("system:serviceaccount:d:a", "2")), "contradiction");
    assert_eq!(label(user("system:admin", "1")), "contradiction");
}

#[test]
fn what_only_the_answer_claims_is_not_passed_on() {
    let status = json!({"authenticated": true, "audiences": ["a", "b"], "user": {
        "username": "system:serviceaccount:d:a", "uid": "1",
        "groups": ["system:serviceaccounts", "system:masters", "admins", "system:authenticated"],
        "extra": {"scopes": ["all"], EXTRA[0]: ["JTI=1"]},
    }});
    let status = serde_json::from_value(status).unwrap();
    let (identity, audiences) = agreed(status, &named(), &[], &["a".to_owned()]).unwrap();
    assert_eq!(identity.groups, ["system:serviceaccounts", "system:authenticated"]);
    assert_eq!(identity.extra.into_keys().collect::<Vec<_>>(), [EXTRA[0]]);
    assert_eq!(audiences, ["a"]);
}

#[test]
fn refusals_are_told_apart_by_the_words_of_kube_apiserver() {
    let refused = |error: &str| label(json!({"error": error}));
    assert_eq!(refused("[invalid bearer token, service account token has expired]"), "expired");
    assert_eq!(refused("[invalid bearer token, service account token is not valid yet]"), "not_yet");
    assert_eq!(refused("token audiences [x] is invalid for the target audiences [a]"), "audience");
    assert_eq!(refused("[invalid bearer token, service account token has been invalidated]"), "revoked");
    assert_eq!(refused("[invalid bearer token, pods \"app\" not found]"), "revoked");
    assert_eq!(refused("invalid bearer token"), "revoked");
    assert_eq!(refused("[invalid bearer token, etcdserver: request timed out]"), "outage");
    assert_eq!(refused("[invalid bearer token, etcdserver: request timed out, who?]"), "unavailable");
    assert_eq!(refused(""), "revoked");
    assert_eq!(
        label(json!({"authenticated": true, "audiences": ["b"], "user": {
        "username": "system:serviceaccount:d:a", "uid": "1"}})),
        "audience"
    );
}

/// The whole body of an answer, as far as the verdict.
fn verdict(body: &str, token: &[String], wanted: &[String]) -> &'static str {
    label_of(
        read(body.as_bytes())
            .map_err(|why| unanswered("a", &why))
            .and_then(|status| agreed(status, &named(), token, wanted)),
    )
}

#[test]
fn what_is_null_in_an_answer_is_not_there() {
    let wanted = ["a".to_owned()];
    let user = r#""username":"system:serviceaccount:d:a","uid":"1""#;
    let table = [
        ("{}".to_owned(), "revoked"),
        (r#"{"status":null}"#.to_owned(), "revoked"),
        (r#"{"kind":null,"apiVersion":null,"metadata":null,"spec":null,"status":{}}"#.to_owned(), "revoked"),
        (
            r#"{"status":{"authenticated":null,"user":null,"audiences":null,"error":null}}"#.to_owned(),
            "revoked",
        ),
        (r#"{"status":{"authenticated":true,"user":null,"audiences":["a"]}}"#.to_owned(), "contradiction"),
        (format!(r#"{{"status":{{"authenticated":true,"audiences":["a"],"user":{{{user}}}}}}}"#), "ok"),
        (
            format!(
                r#"{{"status":{{"authenticated":true,"error":null,"audiences":["a"],"user":{{{user},
                "groups":null,"extra":{{"scopes":null,"authentication.kubernetes.io/pod-name":null}}}}}}}}"#
            ),
            "ok",
        ),
        (
            format!(
                r#"{{"status":{{"authenticated":true,"audiences":["a"],"user":{{{user},"extra":null}}}}}}"#
            ),
            "ok",
        ),
        (format!(r#"{{"status":{{"authenticated":true,"audiences":null,"user":{{{user}}}}}}}"#), "audience"),
    ];
    for (body, expected) in table {
        assert_eq!(verdict(&body, &[], &wanted), expected, "{body}");
    }
}

#[test]
fn what_is_no_review_is_neither_an_answer_nor_an_outage() {
    let bodies = [
        "",
        "null",
        "<html>",
        "[]",
        r#"{"status":"Failure","kind":"Status"}"#,
        r#"{"kind":"Status","status":{}}"#,
        r#"{"kind":"SubjectAccessReview","status":{}}"#,
        r#"{"status":[]}"#,
        r#"{"status":{"authenticated":"true"}}"#,
    ];
    for body in bodies {
        assert_eq!(verdict(body, &[], &[]), "unavailable", "{body}");
    }
    let table = [
        (401, false),
        (403, false),
        (404, false),
        (400, false),
        (302, false),
        (204, false),
        (408, true),
        (429, true),
        (500, true),
        (503, true),
        (504, true),
    ];
    for (status, expected) in table {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(ReviewUnanswered::Status(status).is_outage(), expected, "{status}");
    }
    let table = [
        (FetchError::TotalTimeout, true),
        (FetchError::Connect("refused".into()), true),
        (FetchError::Credential, false),
        (FetchError::PlainHttp, false),
        (FetchError::TooLarge(1), false),
        (FetchError::ForeignRedirect, false),
    ];
    for (error, expected) in table {
        assert_eq!(ReviewUnanswered::Fetch(error).is_outage(), expected);
    }
}

/// Audiences that were answered, that the token names, that were asked for, and that are agreed.
type Row<'a> = [&'a [&'a str]; 4];

#[test]
fn an_answer_for_more_than_the_token_names_is_cut_down() {
    let answer = |audiences: &[&str]| {
        let user = json!({"username": "system:serviceaccount:d:a", "uid": "1"});
        serde_json::from_value(json!({"authenticated": true, "audiences": audiences, "user": user})).unwrap()
    };
    let list = |audiences: &[&str]| audiences.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let table: [Row<'_>; 5] = [
        [&["x", "y"], &["x"], &[], &["x"]],
        [&["x"], &[], &[], &["x"]],
        [&["x", "vault"], &["x", "z"], &[], &["x"]],
        [&["x"], &["x"], &["x", "y"], &["x"]],
        [&["vault"], &["x"], &[], &[]],
    ];
    for [answered, token, wanted, expected] in table {
        let agreed = agreed(answer(answered), &named(), &list(token), &list(wanted));
        let audiences = agreed.map(|(_, audiences)| audiences).unwrap_or_default();
        assert_eq!(audiences, list(expected), "{answered:?} {token:?} {wanted:?}");
    }
}
