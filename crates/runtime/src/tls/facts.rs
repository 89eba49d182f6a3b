//! Facts of a certificate beyond its subject: its expiry, and whether it is that of a CA.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::subject::{Der, EXPLICIT_VERSION, SEQUENCE};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const EXPLICIT_EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
/// The OID of basic constraints, `2.5.29.19`.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Facts of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The time of its expiry.
    pub not_after: Timestamp,
    /// `true` if it is that of a CA.
    pub is_authority: bool,
}

impl CertificateFacts {
    /// The facts of a certificate in DER. None if they cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut text = Der { left: certificate, cut: false };
        let mut certificate = text.value(SEQUENCE)?;
        let mut body = certificate.value(SEQUENCE)?;
        if body.left.first() == Some(&EXPLICIT_VERSION) {
            body.next()?;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            body.next()?;
        }
        let mut validity = body.value(SEQUENCE)?;
        validity.next()?;
        let (tag, end) = validity.next()?;
        let not_after = time(tag, end.left)?;
        Some(Self { not_after, is_authority: is_authority(body).unwrap_or(false) })
    }
}

/// Looks for basic constraints in what follows the validity.
fn is_authority(mut body: Der<'_>) -> Option<bool> {
    let mut extensions = loop {
        let (tag, content) = body.next()?;
        if tag == EXPLICIT_EXTENSIONS {
            break content;
        }
    };
    let mut list = extensions.value(SEQUENCE)?;
    while !list.left.is_empty() {
        let mut extension = list.value(SEQUENCE)?;
        let (_, kind) = extension.next()?;
        if kind.left != BASIC_CONSTRAINTS {
            continue;
        }
        let (tag, content) = extension.next()?;
        let mut value = if tag == BOOLEAN { extension.value(OCTET_STRING)? } else { content };
        let mut constraints = value.value(SEQUENCE)?;
        return Some(constraints.value(BOOLEAN).is_some_and(|flag| flag.left != [0]));
    }
    Some(false)
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match tag {
        // RFC 5280: two digits below 50 belong to this century.
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let parsed = DateTime::strptime("%Y%m%d%H%M%S", &full).ok()?;
    TimeZone::UTC.to_timestamp(parsed).ok()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    #[test]
    fn an_authority_and_its_end_are_read() {
        let pem = include_bytes!("../authorities/test-ca.pem");
        let facts = CertificateFacts::of(&CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        assert!(facts.is_authority);
        assert!(facts.not_after.as_second() > 1_700_000_000, "{facts:?}");
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let table = [
            (UTC_TIME, "260102030405Z", Some("2026-01-02T03:04:05Z")),
            (UTC_TIME, "700102030405Z", Some("1970-01-02T03:04:05Z")),
            (GENERALIZED_TIME, "20560102030405Z", Some("2056-01-02T03:04:05Z")),
            (GENERALIZED_TIME, "nonsense", None),
            (SEQUENCE, "260102030405Z", None),
        ];
        for (tag, text, expected) in table {
            assert_eq!(
                time(tag, text.as_bytes()).map(|time| time.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
