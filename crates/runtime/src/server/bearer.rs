//! The bearer token of a request.

use http::{HeaderMap, header};
use portolan_core::auth::compact::bare;
use secrecy::SecretString;

/// A header without a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBearer {
    /// There is no header, or nothing in it.
    Missing,
    /// There is more than one.
    Several,
    /// It has another scheme, or is no text.
    Scheme,
}

/// The one bearer token, whatever the case of the scheme.
pub fn bearer(headers: &HeaderMap) -> Result<SecretString, NoBearer> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(NoBearer::Missing)?;
    if values.next().is_some() {
        return Err(NoBearer::Several);
    }
    if value.is_empty() {
        return Err(NoBearer::Missing);
    }
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| SecretString::from(bare(token))).ok_or(NoBearer::Scheme)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_bearer_token_is_what_follows_the_scheme() {
        let table: [(&[&str], Result<&str, NoBearer>); 10] = [
            (&["Bearer a.b.c"], Ok("a.b.c")),
            (&["bearer  a.b.c "], Ok("a.b.c")),
            (&["BEARER a.b.c\t"], Ok("a.b.c")),
            (&["Bearer a b"], Ok("a b")),
            (&[], Err(NoBearer::Missing)),
            (&[""], Err(NoBearer::Missing)),
            (&["Bearer"], Err(NoBearer::Scheme)),
            (&["Basic a"], Err(NoBearer::Scheme)),
            (&["Bearer\ta"], Err(NoBearer::Scheme)),
            (&["Bearer a", "Bearer a"], Err(NoBearer::Several)),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            let found = bearer(&headers);
            assert_eq!(
                found.as_ref().map(secrecy::ExposeSecret::expose_secret),
                expected.as_ref().map(|token| *token),
                "{values:?}"
            );
        }
    }
}
