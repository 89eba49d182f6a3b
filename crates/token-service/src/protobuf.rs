//! A TokenReview in Kubernetes' protobuf, as typed clients of client-go send it: the magic, `runtime.Unknown`,
//! and in it the few fields that matter. Fields that are not known are skipped.

use portolan_core::auth::{ReviewRequest, ReviewVersion, review::InvalidRequest};
use secrecy::SecretString;

const MAGIC: &[u8] = b"k8s\0";
const MAX_AUDIENCES: usize = 64;

/// Reads a request.
///
/// # Errors
/// See [`InvalidRequest`].
pub fn parse(body: &[u8], assumed: ReviewVersion) -> Result<ReviewRequest, InvalidRequest> {
    let unknown = body.strip_prefix(MAGIC).ok_or(InvalidRequest::Body)?;
    let (mut api_version, mut kind, mut raw) = (None, None, None);
    for field in Fields(unknown) {
        match field? {
            (1, Value::Bytes(type_meta)) => (api_version, kind) = type_of(type_meta)?,
            (2, Value::Bytes(bytes)) => raw = Some(bytes),
            // contentEncoding: nothing is ever compressed.
            (3, Value::Bytes(encoding)) if !encoding.is_empty() => return Err(InvalidRequest::Body),
            _ => {}
        }
    }
    let (token, audiences) = spec_of(raw.ok_or(InvalidRequest::Body)?)?;
    ReviewRequest::new(api_version, kind, assumed, token.map(SecretString::from), audiences)
}

type Type<'a> = (Option<&'a str>, Option<&'a str>);

fn type_of(type_meta: &[u8]) -> Result<Type<'_>, InvalidRequest> {
    let (mut api_version, mut kind) = (None, None);
    for field in Fields(type_meta) {
        match field? {
            (1, Value::Bytes(bytes)) => api_version = Some(text(bytes)?),
            (2, Value::Bytes(bytes)) => kind = Some(text(bytes)?),
            _ => {}
        }
    }
    Ok((api_version, kind))
}

fn spec_of(review: &[u8]) -> Result<(Option<&str>, Vec<String>), InvalidRequest> {
    let (mut token, mut audiences, mut specs) = (None, Vec::new(), 0);
    for field in Fields(review) {
        let (2, Value::Bytes(spec)) = field? else { continue };
        specs += 1;
        for field in Fields(spec) {
            match field? {
                (1, Value::Bytes(_)) if token.is_some() => return Err(InvalidRequest::Body),
                (1, Value::Bytes(bytes)) => token = Some(text(bytes)?),
                (2, Value::Bytes(_)) if audiences.len() == MAX_AUDIENCES => return Err(InvalidRequest::Body),
                (2, Value::Bytes(bytes)) => audiences.push(text(bytes)?.to_owned()),
                _ => {}
            }
        }
    }
    // Two specs would be merged by others: what they then contain is anybody's guess.
    if specs > 1 { Err(InvalidRequest::Body) } else { Ok((token, audiences)) }
}

fn text(bytes: &[u8]) -> Result<&str, InvalidRequest> {
    std::str::from_utf8(bytes).map_err(|_| InvalidRequest::Body)
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

/// The value of a field.
enum Value<'a> {
    Bytes(&'a [u8]),
    Number,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), InvalidRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(InvalidRequest::Body);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Number
            }
            1 => self.take(8).map(|_| Value::Number)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Number)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 127 {
            field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        field.push(u8::try_from(length).unwrap());
        [field, bytes.to_vec()].concat()
    }

    fn request(spec: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, b"authentication.k8s.io/v1beta1"), field(2, b"TokenReview")].concat();
        let raw = [field(1, &[]), field(2, spec), field(3, &[8, 0])].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, &raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_request_of_client_go_is_read() {
        let long = "t".repeat(1000);
        let spec = [field(1, long.as_bytes()), field(2, b"a"), field(2, b"b"), vec![0x50, 1]].concat();
        let parsed = parse(&request(&spec), ReviewVersion::V1).unwrap();
        assert_eq!(parsed.version, ReviewVersion::V1beta1);
        assert_eq!(parsed.token.expose_secret(), long);
        assert_eq!(parsed.audiences, ["a", "b"]);
    }

    #[test]
    fn broken_requests_are_refused_wherever_they_break() {
        let whole = request(&field(1, b"token"));
        let inner = whole.len() - 4;
        for length in 0..inner {
            assert!(parse(&whole[..length], ReviewVersion::V1).is_err(), "{length}");
        }
        assert_eq!(parse(&request(&[]), ReviewVersion::V1).unwrap_err(), InvalidRequest::NoToken);
        let twice = [field(1, b"a"), field(1, b"b")].concat();
        assert_eq!(parse(&request(&twice), ReviewVersion::V1).unwrap_err(), InvalidRequest::Body);
        assert!(parse(&request(&field(1, &[0xff])), ReviewVersion::V1).is_err());
        let endless =
            [MAGIC, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(parse(&endless, ReviewVersion::V1).is_err());
    }
}
