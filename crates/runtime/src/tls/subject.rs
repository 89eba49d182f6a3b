//! Whom a client certificate names: the common name and the organizations of its subject, as Kubernetes reads
//! user and groups. The certificate has been verified before; here it is only taken apart.

/// `2.5.4.3`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `2.5.4.10`.
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const EXPLICIT_VERSION: u8 = 0xa0;

/// The subject of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateSubject {
    /// The common name: the user.
    pub common_name: String,
    /// The organizations: the groups.
    pub organizations: Vec<String>,
}

impl CertificateSubject {
    /// The subject of a certificate in DER. None when it has no common name that is text.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let subject = Self::of_certificate(Der { left: certificate, cut: false })?;
        (!subject.common_name.is_empty()).then_some(subject)
    }

    /// Name of a certificate for people: even of one that is cut off or broken further on.
    pub(crate) fn shown(certificate: &[u8]) -> Option<String> {
        let subject = Self::of_certificate(Der { left: certificate, cut: true })?;
        let organization = subject.organizations.into_iter().next();
        Some(subject.common_name).filter(|name| !name.is_empty()).or(organization)
    }

    fn of_certificate(mut text: Der<'_>) -> Option<Self> {
        let mut certificate = text.value(SEQUENCE)?;
        let mut body = certificate.value(SEQUENCE)?;
        if body.left.first() == Some(&EXPLICIT_VERSION) {
            body.next()?;
        }
        // Serial number, signature algorithm, issuer, validity.
        for _ in 0..4 {
            body.next()?;
        }
        Self::of_name(body.value(SEQUENCE)?)
    }

    fn of_name(mut name: Der<'_>) -> Option<Self> {
        let mut subject = Self::default();
        while !name.left.is_empty() {
            let (_, mut set) = name.next()?;
            while !set.left.is_empty() {
                let mut attribute = set.value(SEQUENCE)?;
                let (_, kind) = attribute.next()?;
                let (_, text) = attribute.next()?;
                let text = std::str::from_utf8(text.left);
                match (kind.left, text) {
                    (COMMON_NAME, Ok(text)) => text.clone_into(&mut subject.common_name),
                    (ORGANIZATION, Ok(text)) => subject.organizations.push(text.to_owned()),
                    _ => {}
                }
            }
        }
        Some(subject)
    }
}

/// The unread rest of a DER text.
pub(super) struct Der<'a> {
    pub(super) left: &'a [u8],
    /// `true` if an element may be shorter than it claims.
    pub(super) cut: bool,
}

impl Der<'_> {
    /// The tag and the content of the next element.
    pub(super) fn next(&mut self) -> Option<(u8, Self)> {
        let (&tag, rest) = self.left.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let length = if self.cut { length.min(rest.len()) } else { length };
        let (content, rest) = rest.split_at_checked(length)?;
        self.left = rest;
        Some((tag, Self { left: content, cut: self.cut }))
    }

    /// The content of the next element, which must have a tag.
    pub(super) fn value(&mut self, tag: u8) -> Option<Self> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate without everything that is not read here.
    fn certificate(subject: &[u8]) -> Vec<u8> {
        let element =
            |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let body = [
            element(EXPLICIT_VERSION, &[2, 1, 2]),
            element(2, &[1]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, subject),
        ];
        element(SEQUENCE, &element(SEQUENCE, &body.concat()))
    }

    fn attribute(kind: &[u8], text: &str) -> Vec<u8> {
        let element =
            |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        element(0x31, &element(SEQUENCE, &[element(6, kind), element(12, text.as_bytes())].concat()))
    }

    #[test]
    fn user_and_groups_are_common_name_and_organizations() {
        let subject =
            [attribute(ORGANIZATION, "a"), attribute(ORGANIZATION, "b"), attribute(COMMON_NAME, "vault")];
        let found = CertificateSubject::of(&certificate(&subject.concat())).unwrap();
        assert_eq!(found.common_name, "vault");
        assert_eq!(found.organizations, ["a", "b"]);
    }

    #[test]
    fn nonsense_has_no_subject() {
        let whole = certificate(&attribute(COMMON_NAME, "vault"));
        for length in 0..whole.len() {
            assert_eq!(CertificateSubject::of(&whole[..length]), None, "{length}");
        }
        let cut = whole.len() - 1;
        assert_eq!(CertificateSubject::shown(&whole[..cut]), Some("vaul".to_owned()));
        assert_eq!(
            (CertificateSubject::shown(&whole), CertificateSubject::shown(&[])),
            (Some("vault".to_owned()), None)
        );
        assert_eq!(CertificateSubject::of(&certificate(&[])), None);
    }
}
