//! Seals text for cookies with AES-256-GCM: nobody else reads or changes it. The first key seals, every key opens.

use std::path::PathBuf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use parking_lot::RwLock;
use rand::RngExt as _;

const KEY_BYTES: usize = 32;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("failed to read the session key {path:?}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the session key {0:?} does not have 32 bytes: make one with `head -c 32 /dev/urandom | base64`")]
    NoKey(PathBuf),
}

/// The sealed content, and whether it should be sealed again.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsealedCookie {
    pub plain: Vec<u8>,
    /// `true` if a former key has sealed it.
    pub is_old: bool,
}

/// The keys of this process.
pub struct CookieSeal(RwLock<Vec<LessSafeKey>>);

impl CookieSeal {
    /// A seal of a key that nobody else has: sessions end with the process.
    pub fn random() -> Self {
        Self::of(&[rand::rng().random::<[u8; KEY_BYTES]>()])
    }

    fn of(keys: &[[u8; KEY_BYTES]]) -> Self {
        Self(RwLock::new(keys.iter().map(usable).collect()))
    }

    /// A seal with the keys of files.
    pub async fn read(files: &[PathBuf]) -> Result<Self, KeyError> {
        Ok(Self(RwLock::new(read(files).await?)))
    }

    /// Reads the files again.
    pub async fn reread(&self, files: &[PathBuf]) -> Result<(), KeyError> {
        let keys = read(files).await?;
        *self.0.write() = keys;
        Ok(())
    }

    /// Seals `plain` for a purpose; for another one, it does not open.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = rand::rng().random();
        let mut sealed = plain.to_vec();
        let keys = self.0.read();
        let first = keys.first().expect("a seal has at least one key");
        first
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .expect("a cookie is shorter than what AES-GCM can seal");
        BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &sealed[..]].concat())
    }

    /// Opens what was sealed for this purpose.
    pub fn open(&self, purpose: &str, text: &str) -> Option<UnsealedCookie> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let keys = self.0.read();
        keys.iter().enumerate().find_map(|(index, key)| {
            let mut copy = sealed.to_vec();
            let aad = Aad::from(purpose.as_bytes());
            let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut copy).ok()?;
            Some(UnsealedCookie { plain: plain.to_vec(), is_old: index > 0 })
        })
    }
}

fn usable(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 has keys of 32 bytes");
    LessSafeKey::new(key)
}

async fn read(files: &[PathBuf]) -> Result<Vec<LessSafeKey>, KeyError> {
    let mut keys = Vec::new();
    for path in files {
        let bytes = tokio::fs::read(path).await;
        let bytes = bytes.map_err(|source| KeyError::Unreadable { path: path.clone(), source })?;
        let key = key_of(&bytes).ok_or_else(|| KeyError::NoKey(path.clone()))?;
        keys.push(usable(&key));
    }
    Ok(keys)
}

/// 32 bytes, in base64 or as they are.
fn key_of(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(key) = bytes.try_into() {
        return Some(key);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = BASE64_STANDARD.decode(text).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(text)).ok()?;
    decoded.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_for_its_purpose_only() {
        let seal = CookieSeal::random();
        let text = seal.seal("session", b"ann");
        assert_eq!(
            seal.open("session", &text),
            Some(UnsealedCookie { plain: b"ann".to_vec(), is_old: false })
        );
        assert_ne!(text, seal.seal("session", b"ann"), "each has its own nonce");
        assert_eq!(seal.open("login", &text), None);
        assert_eq!(CookieSeal::random().open("session", &text), None);
    }

    #[test]
    fn nothing_that_was_changed_opens() {
        let seal = CookieSeal::random();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(seal.seal("session", b"ann")).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(seal.open("session", &BASE64_URL_SAFE_NO_PAD.encode(changed)), None, "{place}");
        }
        for short in ["", "AAAA", "*", "AAAAAAAAAAAAAAAA"] {
            assert_eq!(seal.open("session", short), None);
        }
    }

    #[test]
    fn a_former_key_opens_and_says_so() {
        let (old, new) = ([1; KEY_BYTES], [2; KEY_BYTES]);
        let text = CookieSeal::of(&[old]).seal("session", b"ann");
        let both = CookieSeal::of(&[new, old]);
        assert!(both.open("session", &text).unwrap().is_old);
        let renewed = both.seal("session", b"ann");
        assert_eq!(CookieSeal::of(&[old]).open("session", &renewed), None);
        assert!(!CookieSeal::of(&[new]).open("session", &renewed).unwrap().is_old);
        assert_eq!(CookieSeal::of(&[new]).open("session", &text), None, "once it is gone, it opens nothing");
    }

    #[test]
    fn keys_are_written_in_two_ways() {
        let raw = [7; KEY_BYTES];
        assert_eq!(key_of(&raw), Some(raw));
        assert_eq!(key_of(format!("{}\n", BASE64_STANDARD.encode(raw)).as_bytes()), Some(raw));
        for wrong in [&b""[..], b"short", &[0; 31], &[0; 33]] {
            assert_eq!(key_of(wrong), None);
        }
    }
}
