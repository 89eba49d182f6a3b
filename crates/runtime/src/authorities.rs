//! Bundles of authorities as people write them: a certificate that cannot be read is skipped and named, as long as
//! another one can be used.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{RootCertStore, pki_types::CertificateDer};
use tracing::warn;

use crate::tls::CertificateSubject;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// Labels of certificates in PEM.
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
/// Limit on the characters of a subject that are repeated.
const MAX_SUBJECT: usize = 80;

/// The certificates of a bundle.
#[derive(Clone, Debug, Default)]
pub struct CaBundle {
    /// Those that can be used.
    pub usable: Vec<CertificateDer<'static>>,
    /// Those that cannot.
    pub skipped: Vec<SkippedCertificates>,
}

/// A certificate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedCertificates {
    /// Position in the bundle, from 1.
    number: usize,
    /// The line that it begins in, from 1.
    line: usize,
    subject: Option<String>,
    why: String,
}

/// A bundle without a usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    /// Nothing in it is a certificate.
    #[error("it holds no PEM certificate")]
    Empty,
    /// None of its certificates can be used.
    #[error("no certificate in it can be used: {0}")]
    Unusable(SkippedCertificates),
}

impl fmt::Display for SkippedCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, line, subject, why } = self;
        write!(f, "certificate {number} at line {line}")?;
        if let Some(subject) = subject {
            write!(f, " of {subject:?}")?;
        }
        write!(f, " {why}")
    }
}

impl CaBundle {
    /// Reads PEM. What is in it besides certificates does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_runtime::authorities::{CaBundle, InvalidBundle};
    ///
    /// assert_eq!(CaBundle::read(b"not a certificate").unwrap_err(), InvalidBundle::Empty);
    /// ```
    ///
    /// # Errors
    /// When no certificate can be used.
    pub fn read(pem: &[u8]) -> Result<Self, InvalidBundle> {
        let mut bundle = Self::default();
        for (number, block) in blocks(&String::from_utf8_lossy(pem)).into_iter().enumerate() {
            match usable(&block) {
                Ok(certificate) => bundle.usable.push(certificate),
                Err(why) => bundle.skipped.push(block.skipped(number + 1, why)),
            }
        }
        match (bundle.usable.is_empty(), bundle.skipped.first()) {
            (false, _) => Ok(bundle),
            (true, Some(first)) => Err(InvalidBundle::Unusable(first.clone())),
            (true, None) => Err(InvalidBundle::Empty),
        }
    }

    /// Says in the log what was skipped of `what`.
    pub fn warn(&self, what: &str) {
        for skipped in &self.skipped {
            warn!("{what}: {skipped} and is skipped");
        }
    }

    /// Lists the skipped parts in one line; `None` when nothing was skipped.
    pub fn complaint(&self) -> Option<String> {
        let skipped: Vec<_> = self.skipped.iter().map(ToString::to_string).collect();
        (!skipped.is_empty()).then(|| format!("skipped: {}", skipped.join("; ")))
    }

    /// The usable certificates as PEM.
    pub fn to_pem(&self) -> String {
        let block = |certificate: &CertificateDer<'_>| {
            let text = BASE64_STANDARD.encode(certificate);
            let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
        };
        self.usable.iter().map(block).collect()
    }
}

/// Describes a bundle in one line for people; `None` where it cannot be used, which is an error elsewhere.
pub fn about(pem: &[u8]) -> Option<String> {
    let bundle = CaBundle::read(pem).ok()?;
    let usable = format!("{} of {}", bundle.usable.len(), bundle.usable.len() + bundle.skipped.len());
    Some(match bundle.complaint() {
        Some(complaint) => format!("{usable} can be used, {complaint}"),
        None => format!("{usable} can be used"),
    })
}

/// A certificate in PEM.
struct Block {
    line: usize,
    text: String,
    ended: bool,
}

impl Block {
    fn skipped(&self, number: usize, why: String) -> SkippedCertificates {
        let subject = CertificateSubject::shown(&readable(&self.text));
        let subject = subject.map(|subject| subject.chars().take(MAX_SUBJECT).collect());
        SkippedCertificates { number, line: self.line, subject, why }
    }
}

fn blocks(pem: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    // Editors of Windows mark the beginning of a text.
    let lines = pem.trim_start_matches('\u{feff}').lines().map(str::trim);
    for (number, line) in lines.enumerate() {
        let ends = line.starts_with(END);
        if let Some(block) = blocks.last_mut().filter(|_| open && ends) {
            (block.ended, open) = (true, false);
        }
        // Where a file without a line break at its end was put before another, one line is both.
        let begin = line.find(BEGIN).filter(|at| *at == 0 || ends);
        let label = begin.and_then(|at| line[at + BEGIN.len()..].strip_suffix("-----"));
        if let Some(label) = label {
            open = LABELS.contains(&label);
            if open {
                blocks.push(Block { line: number + 1, text: String::new(), ended: false });
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| open) {
            block.text.push_str(line);
        }
    }
    blocks
}

fn usable(block: &Block) -> Result<CertificateDer<'static>, String> {
    if !block.ended {
        return Err("is cut off".to_owned());
    }
    let der = BASE64_STANDARD.decode(&block.text).map_err(|error| format!("is not base64 ({error})"))?;
    let certificate = CertificateDer::from(der);
    // A store takes what can be an authority.
    let taken = RootCertStore::empty().add(certificate.clone());
    taken.map(|()| certificate).map_err(|error| format!("is not a CA certificate ({error})"))
}

/// As much of broken base64 as can be read, for the subject.
fn readable(text: &str) -> Vec<u8> {
    let is_digit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let mut good: String = text.chars().take_while(is_digit).collect();
    good.truncate(good.len() / 4 * 4);
    BASE64_STANDARD.decode(good).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CN=test-ca`, made for these tests with `openssl req -x509 -newkey ec`; good until 2126.
    const GOOD: &str = include_str!("authorities/test-ca.pem");

    #[test]
    fn what_cannot_be_read_is_skipped_with_its_place_and_its_name() {
        let cut = GOOD.replacen("-----END CERTIFICATE-----\n", "", 1);
        let broken = GOOD.replacen("\n-----END", "!\n-----END", 1);
        let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
        let lines = GOOD.lines().count();
        let table = [
            (cut.as_str(), "certificate 1 at line 1 of \"test-ca\" is cut off"),
            (&broken, "certificate 1 at line 1 of \"test-ca\" is not base64"),
            (not_one, "certificate 1 at line 1 is not a CA certificate"),
            (empty, "certificate 1 at line 1 is not a CA certificate"),
        ];
        for (bad, expected) in table {
            let bundle = CaBundle::read(format!("{bad}{GOOD}").as_bytes()).unwrap();
            let complaint = bundle.complaint().unwrap_or_default();
            assert!(complaint.starts_with(&format!("skipped: {expected}")), "{complaint}");
            assert_eq!((bundle.usable.len(), bundle.skipped.len()), (1, 1), "{expected}");
            let after = CaBundle::read(format!("# a comment\n{GOOD}{bad}").as_bytes()).unwrap();
            assert_eq!((after.skipped[0].number, after.skipped[0].line), (2, lines + 2), "{expected}");
            let alone = CaBundle::read(bad.as_bytes()).unwrap_err().to_string();
            assert!(alone.contains(expected), "{alone}");
        }
    }

    #[test]
    fn what_is_no_certificate_does_not_count() {
        let key = "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n";
        let crlf = GOOD.replace('\n', "\r\n");
        let bundle = CaBundle::read(format!("{key}{crlf}\n\n{key}").as_bytes()).unwrap();
        assert_eq!((bundle.usable.len(), bundle.complaint()), (1, None));
        let joined = format!("\u{feff}{}{key}{}{GOOD}", GOOD.trim_end(), GOOD.trim_end());
        let bundle_of_three = CaBundle::read(joined.as_bytes()).unwrap();
        assert_eq!((bundle_of_three.usable.len(), bundle_of_three.complaint()), (3, None));
        assert_eq!(CaBundle::read(bundle.to_pem().as_bytes()).unwrap().usable, bundle.usable);
        assert_eq!(CaBundle::read(key.as_bytes()).unwrap_err(), InvalidBundle::Empty);
        assert_eq!(CaBundle::read(b"\xff").unwrap_err(), InvalidBundle::Empty);
    }
}
