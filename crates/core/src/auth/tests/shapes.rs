//! Spellings, types and omissions in tokens and keys.

use super::*;

#[test]
fn a_skipped_key_is_named_with_its_reason() {
    let good = RSA.jwk();
    let short = with(&with(&good, "kid", json!("short")), "n", json!(encode(&[0xff; 128])));
    let rows = [
        (short, "key \"short\": its modulus has less than 2048 bits"),
        (with(&good, "use", json!("enc")), "key \"rsa\": it is not for signatures"),
        (json!({"kid": "a\n", "kty": "EC", "crv": "secp256k1"}), "key \"a\\n\": its curve is not supported"),
        (json!({"kid": "k", "kty": 1}), "key \"k\": it is not a JSON Web Key"),
        (json!({"kid": "k"}), "key \"k\": it has no type (kty)"),
        (json!({"kid": "k", "kty": null}), "key \"k\": it has no type (kty)"),
        (json!({"kty": "oct", "k": "AAAA"}), "key number 2: it is symmetric"),
        (json!(7), "key number 2: it is not a JSON Web Key"),
        (json!(["RSA"]), "key number 2: it is not a JSON Web Key"),
    ];
    for (jwk, said) in rows {
        let mixed = keys(&[P256.jwk(), jwk.clone()]);
        assert!(mixed.skipped.to_string().starts_with(said), "{jwk}: {}", mixed.skipped);
        let alone =
            IssuerKeys::parse(json!({"keys": [jwk]}).to_string().as_bytes(), &[]).unwrap_err().to_string();
        let reason = said.rsplit(": ").next().unwrap();
        assert!(alone.starts_with("it has no usable key: key ") && alone.contains(reason), "{alone}");
    }
    let many = json!({"keys": vec![json!(7); 200]}).to_string();
    let said = IssuerKeys::parse(many.as_bytes(), &[]).unwrap_err().to_string();
    assert!(said.len() < 400 && said.ends_with("; and 196 more"), "{said}");
}

#[test]
fn what_another_system_leaves_null_is_not_there() {
    let bare = RSA.jwk();
    let mut nulls = bare.clone();
    for member in ["use", "alg", "key_ops", "crv", "x5c", "x5t", "k"] {
        nulls[member] = Value::Null;
    }
    let (with_nulls, token) = (keys(&[nulls]), RSA.token("RS256", &good()));
    assert_eq!(verdict(&with_nulls, &token), "ok", "members of a key");
    let header = r#"{"alg":"RS256","kid":"rsa","typ":null,"crit":null,"b64":null,"cty":null}"#;
    let rows = [
        ("members of the header", RSA.raw_token("RS256", header, &good().to_string()), "ok"),
        ("nbf", changed(|claims| claims["nbf"] = Value::Null), "ok"),
        ("iat", changed(|claims| claims["iat"] = Value::Null), "ok"),
        ("jti", changed(|claims| claims["jti"] = Value::Null), "ok"),
        ("aud", changed(|claims| claims["aud"] = Value::Null), "ok"),
        ("pod", changed(|claims| claims["kubernetes.io"]["pod"] = Value::Null), "ok"),
        ("uid of a pod", changed(|claims| claims["kubernetes.io"]["pod"]["uid"] = Value::Null), "ok"),
        ("name of a node", changed(|claims| claims["kubernetes.io"]["node"]["name"] = Value::Null), "ok"),
        ("sub", changed(|claims| claims["sub"] = Value::Null), "identity"),
        ("kubernetes.io", changed(|claims| claims["kubernetes.io"] = Value::Null), "identity"),
        ("exp", changed(|claims| claims["exp"] = Value::Null), "malformed"),
        ("iss", changed(|claims| claims["iss"] = Value::Null), "malformed"),
    ];
    assert_rows(&with_nulls, &rows);
}

#[test]
fn white_space_around_a_token_does_not_count_and_inside_it_does() {
    let (keys, token) = (keys(&[RSA.jwk()]), RSA.token("RS256", &good()));
    for (before, after) in [
        ("", "\n"),
        ("", "\r\n"),
        ("", "\t"),
        ("  ", ""),
        ("\t", " \n"),
        ("\r\n", "\r\n\r\n"),
        ("\u{a0}", "\u{2003}"),
    ] {
        assert_eq!(verdict(&keys, &format!("{before}{token}{after}")), "ok", "{before:?} {after:?}");
    }
    let (head, rest) = token.split_at(20);
    for inside in [" ", "\n", "\t", "\r\n", "\0"] {
        assert_eq!(verdict(&keys, &format!("{head}{inside}{rest}")), "malformed", "{inside:?}");
    }
    for nothing in ["", " ", "\n", "\u{feff}"] {
        assert_eq!(verdict(&keys, nothing), "malformed", "{nothing:?}");
    }
    let asked = ReviewRequest::parse_json(
        json!({"spec": {"token": format!(" {token}\r\n")}}).to_string().as_bytes(),
        ReviewVersion::V1,
    );
    assert_eq!(secrecy::ExposeSecret::expose_secret(&asked.unwrap().token), token);
}

#[test]
fn only_types_of_bearer_tokens_are_accepted() {
    let keys = keys(&[RSA.jwk()]);
    let typed = |kind: Value| {
        let header = json!({"alg": "RS256", "kid": "rsa", "typ": kind}).to_string();
        verdict(&keys, &RSA.raw_token("RS256", &header, &good().to_string()))
    };
    for kind in [
        "JWT",
        "jwt",
        "Jwt",
        "application/jwt",
        "Application/JWT",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "APPLICATION/AT+JWT",
    ] {
        assert_eq!(typed(json!(kind)), "ok", "{kind}");
    }
    for kind in [
        "logout+jwt",
        "Logout+JWT",
        "application/logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "kb+jwt",
        "JOSE",
        "JOSE+JSON",
        "application/application/jwt",
        "text/jwt",
        " JWT",
        "jwt;charset=utf-8",
        "",
    ] {
        assert_eq!(typed(json!(kind)), "typ", "{kind}");
    }
    assert_eq!(
        (typed(Value::Null), typed(json!(1)), typed(json!(["JWT"]))),
        ("ok", "malformed", "malformed")
    );
}

#[test]
fn both_issuers_of_a_change_are_those_of_the_cluster() {
    let keys = keys(&[RSA.jwk()]);
    let issuers = ["https://new.test".to_owned(), ISSUER.to_owned()];
    let rules = TokenRules { issuers: &issuers, ..rules() };
    let of = |issuer: &str| verdict_with(&keys, &rules, &changed(|claims| claims["iss"] = json!(issuer)));
    let table = [
        ("https://new.test", "ok"),
        (ISSUER, "ok"),
        ("https://new.test/", "issuer"),
        ("https://old.test", "issuer"),
    ];
    for (issuer, expected) in table {
        assert_eq!(of(issuer), expected, "{issuer}");
    }
}

#[test]
fn tokens_of_secrets_are_known_by_their_shape() {
    let flat = "kubernetes.io/serviceaccount/service-account.name";
    let shape = |issuer: &str, change: &dyn Fn(&mut Value)| {
        let mut claims = json!({"iss": issuer, "sub": "s"});
        change(&mut claims);
        let token = RSA.token("RS256", &claims);
        let token = UnverifiedToken::parse(&token).unwrap();
        (token.claims_to_be_legacy(), token.claims_to_be_of(&*ISSUERS))
    };
    let legacy: &dyn Fn(&mut Value) = &|claims| claims[flat] = json!("app");
    let bound: &dyn Fn(&mut Value) = &|claims| claims["kubernetes.io"] = json!({});
    let both: &dyn Fn(&mut Value) = &|claims| {
        legacy(claims);
        bound(claims);
    };
    let null: &dyn Fn(&mut Value) = &|claims| {
        legacy(claims);
        claims["kubernetes.io"] = Value::Null;
    };
    let table = [
        ("kubernetes/serviceaccount", legacy, (true, true)),
        ("kubernetes/serviceaccount", null, (true, true)),
        // Some clusters call themselves so.
        ("kubernetes/serviceaccount", bound, (false, false)),
        ("kubernetes/serviceaccount", both, (false, false)),
        (ISSUER, legacy, (true, true)),
        (ISSUER, bound, (false, true)),
        ("https://elsewhere.test", legacy, (true, false)),
    ];
    for (row, (issuer, change, expected)) in table.into_iter().enumerate() {
        assert_eq!(shape(issuer, change), expected, "row {row}");
    }
}
