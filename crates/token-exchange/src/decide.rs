//! The rules of an exchange: which binding a source token meets, and how long the new token lives. Pure.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use portolan_core::auth::{TokenClaims, UnverifiedToken, members::has_members};

use crate::binding::{ANY, Binding};

/// Minimum lifetime of a token, in seconds: the API server gives no less.
const SHORTEST: i64 = 600;
/// Maximum lifetime of a token, in seconds.
const LONGEST: i64 = 3600;

/// The label of a source that is for somebody else.
pub const FOR_OTHERS: &str = "audience";

/// A source whose signature, time and issuer are right.
#[derive(Clone, Copy, Debug)]
pub struct SourceToken<'a> {
    pub token: &'a UnverifiedToken<'a>,
    pub claims: &'a TokenClaims,
    /// Whom it must be for, unless a binding says otherwise.
    pub wanted: &'a [String],
}

/// Returns `true` if a token is for one of the wanted audiences.
pub fn is_for(claims: &TokenClaims, wanted: &[String]) -> bool {
    wanted.iter().any(|wanted| wanted == ANY || claims.aud.0.contains(wanted))
}

/// Returns `true` if the issuer gave a token no more time than `most`. One that does not say when it was made may
/// have any age.
pub fn is_short(claims: &TokenClaims, most: Duration) -> bool {
    let (Some(begin), Some(end)) = (claims.iat, claims.exp) else { return false };
    end.0.saturating_sub(begin.0) <= i64::try_from(most.as_secs()).unwrap_or(i64::MAX)
}

/// The first binding that the source meets; otherwise the label of what was missing in the one that came
/// nearest.
pub fn matching<'b>(
    bindings: &'b [Arc<Binding>],
    source: SourceToken<'_>,
) -> Result<&'b Arc<Binding>, &'static str> {
    let mut nearest = (0, "no_binding");
    for binding in bindings.iter().filter(|binding| binding.issuer == source.claims.iss) {
        match missing(binding, source) {
            None => return Ok(binding),
            Some(missing) => nearest = nearest.max(missing),
        }
    }
    Err(nearest.1)
}

/// The first condition of a binding that a source does not meet, and the how manieth that is.
pub fn missing(
    binding: &Binding,
    SourceToken { token, claims, wanted }: SourceToken<'_>,
) -> Option<(u8, &'static str)> {
    if claims.sub.as_ref() != Some(&binding.subject) {
        return Some((1, "subject"));
    }
    let uid = claims.kubernetes.as_ref().map(|kubernetes| &kubernetes.serviceaccount.uid);
    if binding.uid.as_ref().is_some_and(|wanted| uid != Some(wanted)) {
        return Some((2, "uid"));
    }
    if binding.audience.is_empty() && !is_for(claims, wanted) {
        return Some((3, FOR_OTHERS));
    }
    if !binding.audience.is_empty() && !is_for(claims, &binding.audience) {
        return Some((3, "binding_audience"));
    }
    (!has_members(token, &binding.claims)).then_some((4, "claims"))
}

/// Lifetime of the new token: no longer than the source, its binding and an hour, but as long as the API server gives
/// at least.
pub fn lifetime(binding: &Binding, claims: &TokenClaims, now: Timestamp) -> SignedDuration {
    let left = claims.exp.map_or(0, |end| end.0 - now.as_second());
    let wished =
        binding.max_lifetime.map_or(LONGEST, |most| i64::try_from(most.as_secs()).unwrap_or(LONGEST));
    SignedDuration::from_secs(LONGEST.min(wished).min(left).max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AA", part(&json!({"alg": "RS256"})), part(claims))
    }

    fn claims() -> Value {
        json!({
            "iss": "i", "sub": "s", "aud": "a", "iat": NOW, "exp": NOW + 3600, "tid": "t",
            "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "x", "uid": "u"}},
        })
    }

    fn binding(issuer: &str, subject: &str) -> Binding {
        Binding {
            key: subject.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: Vec::new(),
            claims: std::collections::BTreeMap::new(),
            uid: None,
            max_lifetime: None,
            audiences: Vec::new(),
        }
    }

    fn met(claims: &Value, bindings: &[Binding]) -> Result<String, &'static str> {
        let text = token(claims);
        let token = UnverifiedToken::parse(&text).unwrap();
        let claims = TokenClaims::unverified(&token).unwrap();
        let bindings: Vec<_> = bindings.iter().cloned().map(Arc::new).collect();
        let source = SourceToken { token: &token, claims: &claims, wanted: &["a".to_owned()] };
        matching(&bindings, source).map(|binding| binding.key.clone())
    }

    #[test]
    fn a_binding_is_met_when_every_condition_is() {
        let good = binding("i", "s");
        let uid = |uid: &str| Binding { uid: Some(uid.to_owned()), ..good.clone() };
        let audience = |audience: &str| Binding { audience: vec![audience.to_owned()], ..good.clone() };
        let tid = |tid: &str| Binding { claims: [("tid".to_owned(), json!(tid))].into(), ..good.clone() };
        let table: [(&[Binding], Result<&str, &str>); 12] = [
            (&[], Err("no_binding")),
            (&[binding("i/", "s")], Err("no_binding")),
            (&[binding("i", "S")], Err("subject")),
            (std::slice::from_ref(&good), Ok("s")),
            (&[binding("j", "s"), binding("i", "t"), good.clone()], Ok("s")),
            (&[uid("u")], Ok("s")),
            (&[uid("v"), binding("i", "t")], Err("uid")),
            (&[audience("a")], Ok("s")),
            (&[audience("b")], Err("binding_audience")),
            (&[tid("t")], Ok("s")),
            (&[tid("other")], Err("claims")),
            (&[tid("other"), tid("t")], Ok("s")),
        ];
        for (index, (bindings, expected)) in table.into_iter().enumerate() {
            assert_eq!(met(&claims(), bindings), expected.map(str::to_owned), "row {index}");
        }
    }

    #[test]
    fn the_audience_of_a_binding_stands_instead_of_that_of_the_service() {
        let mut other = claims();
        other["aud"] = json!("api://exchange");
        let plain = binding("i", "s");
        let own = Binding { audience: vec!["api://exchange".to_owned()], ..plain.clone() };
        assert_eq!(met(&other, std::slice::from_ref(&plain)), Err(FOR_OTHERS));
        assert_eq!(met(&other, &[plain, own.clone()]), Ok("s".to_owned()));
        assert_eq!(met(&claims(), &[own]), Err("binding_audience"), "it does not stand beside it");
    }

    #[test]
    fn a_foreign_token_has_no_uid() {
        let mut foreign = claims();
        foreign.as_object_mut().unwrap().remove("kubernetes.io");
        let pinned = Binding { uid: Some("u".to_owned()), ..binding("i", "s") };
        assert_eq!(met(&foreign, &[pinned]), Err("uid"));
    }

    #[test]
    fn the_new_token_lives_no_longer_than_it_may() {
        let now = Timestamp::from_second(NOW).unwrap();
        let table = [
            (3600, None, 3600),
            (7200, None, 3600),
            (1800, None, 1800),
            (10, None, 600),
            (3600, Some(900), 900),
            (3600, Some(60), 600),
            (700, Some(900), 700),
            (3600, Some(86_400), 3600),
        ];
        for (left, most, expected) in table {
            let mut source = claims();
            source["exp"] = json!(NOW + left);
            let text = token(&source);
            let source = TokenClaims::unverified(&UnverifiedToken::parse(&text).unwrap()).unwrap();
            let binding = Binding { max_lifetime: most.map(Duration::from_secs), ..binding("i", "s") };
            assert_eq!(lifetime(&binding, &source, now).as_secs(), expected, "{left} {most:?}");
        }
    }

    #[test]
    fn a_source_is_short_and_for_us() {
        let hour = Duration::from_secs(3600);
        let check = |change: &dyn Fn(&mut Value)| {
            let mut source = claims();
            change(&mut source);
            let text = token(&source);
            let source = TokenClaims::unverified(&UnverifiedToken::parse(&text).unwrap()).unwrap();
            (is_short(&source, hour), is_for(&source, &["x".to_owned(), "a".to_owned()]))
        };
        assert_eq!(check(&|_| {}), (true, true));
        assert_eq!(check(&|claims| claims["exp"] = json!(NOW + 3601)), (false, true));
        assert_eq!(check(&|claims| drop(claims.as_object_mut().unwrap().remove("iat"))), (false, true));
        assert_eq!(check(&|claims| claims["aud"] = json!(["b", "x"])), (true, true));
        assert_eq!(check(&|claims| claims["aud"] = json!("b")), (true, false));
        assert_eq!(check(&|claims| claims["aud"] = json!([])), (true, false));
    }
}
