//! Codes and tokens that were given out, and whether they still work.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The consent of a person, until its code is redeemed.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) person: String,
    pub(super) redirect: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
}

#[derive(Default)]
pub(super) struct Grants {
    codes: HashMap<String, Consent>,
    refresh: HashMap<String, String>,
    access: HashMap<String, String>,
    made: usize,
    revoked: usize,
}

impl Grants {
    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        let mut secret = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut secret).expect("random bytes");
        format!("{kind}-{}-{}", self.made, BASE64_URL_SAFE_NO_PAD.encode(secret))
    }

    /// A code for what somebody agreed to.
    pub(super) fn agree(&mut self, consent: Consent) -> String {
        let code = self.fresh("code");
        self.codes.insert(code.clone(), consent);
        code
    }

    /// The consent behind a code, which works once, for the redirect it was made for and the verifier of its challenge.
    pub(super) fn redeem(&mut self, code: &str, redirect: &str, verifier: &str) -> Option<Consent> {
        let consent = self.codes.remove(code)?;
        (consent.redirect == redirect && consent.challenge == challenge(verifier)).then_some(consent)
    }

    /// An access token and a refresh token for somebody.
    pub(super) fn issue(&mut self, person: &str) -> (String, String) {
        let (access, refresh) = (self.fresh("access"), self.fresh("refresh"));
        self.access.insert(access.clone(), person.to_owned());
        self.refresh.insert(refresh.clone(), person.to_owned());
        (access, refresh)
    }

    /// Whose a refresh token is. It works once.
    pub(super) fn use_up(&mut self, refresh: &str) -> Option<String> {
        self.refresh.remove(refresh)
    }

    /// Lets a refresh token work once more.
    pub(super) fn keep(&mut self, refresh: &str, person: &str) {
        self.refresh.insert(refresh.to_owned(), person.to_owned());
    }

    /// Whose an access token is.
    pub(super) fn holder(&self, access: &str) -> Option<&String> {
        self.access.get(access)
    }

    pub(super) fn revoke(&mut self, token: &str) {
        self.access.remove(token);
        self.revoked += usize::from(self.refresh.remove(token).is_some());
    }

    pub(super) fn revoke_all(&mut self) {
        self.refresh.clear();
    }

    pub(super) fn live(&self) -> usize {
        self.refresh.len()
    }

    pub(super) const fn revoked(&self) -> usize {
        self.revoked
    }
}

/// The S256 challenge of a verifier.
pub(super) fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(verifier: &str) -> Consent {
        Consent {
            person: "alice".to_owned(),
            redirect: "https://p/callback".to_owned(),
            challenge: challenge(verifier),
            nonce: None,
        }
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Its appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_code_works_once_and_for_who_asked() {
        let mut grants = Grants::default();
        for (redirect, verifier) in [("https://p/callback", "other"), ("https://evil/callback", "v")] {
            let code = grants.agree(consent("v"));
            assert!(grants.redeem(&code, redirect, verifier).is_none(), "{redirect} {verifier}");
            assert!(grants.redeem(&code, "https://p/callback", "v").is_none(), "a failed attempt uses it up");
        }
        let code = grants.agree(consent("v"));
        assert_eq!(grants.redeem(&code, "https://p/callback", "v").unwrap().person, "alice");
        assert!(grants.redeem(&code, "https://p/callback", "v").is_none());
    }

    #[test]
    fn a_refresh_token_works_once_and_not_after_its_revocation() {
        let mut grants = Grants::default();
        let (access, refresh) = grants.issue("alice");
        assert_eq!(grants.holder(&access).map(String::as_str), Some("alice"));
        assert_eq!(grants.use_up(&refresh).as_deref(), Some("alice"));
        assert_eq!(grants.use_up(&refresh), None);
        let (_, refresh) = grants.issue("alice");
        grants.revoke(&refresh);
        assert_eq!((grants.use_up(&refresh), grants.revoked(), grants.live()), (None, 1, 0));
    }
}
