//! The audit: one line per exchange with caller, account and answer, none of which holds a token; and hints for a
//! caller that a rule keeps out.

use std::{fmt::Write as _, time::Duration};

use portolan_core::{
    auth::{TokenClaims, UnverifiedToken},
    names::{is_dns_label, is_dns_subdomain},
};
use portolan_runtime::{junk::JunkCounter, limits::RateLimit};
use secrecy::ExposeSecret as _;
use tracing::{info, warn};

use crate::outcome::{ExchangeDenial, ExchangeWish, GrantedToken};

/// More of what a caller says about its way is not noted.
const MAX_FORWARDED: usize = 128;
/// Refusals of tokens whose signature nobody has checked: they are counted, not listed.
const UNPROVEN: [&str; 9] =
    ["malformed", "too_large", "alg", "typ", "kid", "signature", "issuer", "expired", "not_yet"];

/// Facts about a caller, as far as the exchange came.
#[derive(Clone, Debug, Default)]
pub struct CallerFacts {
    /// An issuer that is listed, or that a binding names.
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub token_id: Option<String>,
    /// The key of the annotation that was met.
    pub binding: Option<String>,
    /// Whom the token should be for, where it is for others.
    pub wanted: Vec<String>,
    /// An issuer that a token claims and that is not listed.
    pub unlisted: Option<String>,
    /// The caller's address as proxies tell it. Anybody can write that.
    pub forwarded: Option<String>,
}

impl CallerFacts {
    /// Takes over what a token says whose signature was right.
    pub fn take(&mut self, claims: &TokenClaims) {
        self.subject.clone_from(&claims.sub);
        self.token_id.clone_from(&claims.jti);
    }

    pub fn forwarded(header: Option<&str>) -> Self {
        let forwarded = header.map(|text| text.chars().take(MAX_FORWARDED).collect());
        Self { forwarded, ..Self::default() }
    }
}

/// Writes the lines.
#[derive(Debug)]
pub struct AuditLog {
    junk: JunkCounter,
    hints: RateLimit,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self { junk: JunkCounter::default(), hints: RateLimit::per_second(5) }
    }
}

impl AuditLog {
    /// Reports what was only counted.
    pub fn report(&self) {
        self.junk.report();
    }

    /// Reports everything that was only counted, at the end.
    pub fn report_all(&self) {
        self.junk.report_all();
    }

    pub fn decided(
        &self,
        wish: &ExchangeWish,
        about: &CallerFacts,
        outcome: &Result<GrantedToken, ExchangeDenial>,
        took: Duration,
    ) {
        match outcome {
            Ok(granted) => self.granted(wish, about, granted, took),
            Err(denied) => self.denied(wish, about, denied, took),
        }
    }

    #[expect(clippy::unused_self, reason = "as its sibling")]
    fn granted(&self, wish: &ExchangeWish, about: &CallerFacts, granted: &GrantedToken, took: Duration) {
        // The API server signed it a moment ago, for us.
        let new = UnverifiedToken::parse(granted.minted.token.expose_secret());
        let new_id = new.and_then(|token| TokenClaims::unverified(&token)).ok().and_then(|claims| claims.jti);
        info!(
            target: "audit", decision = "exchanged", from = %wish.from, forwarded_for = about.forwarded,
            issuer = about.issuer, subject = about.subject, token_id = about.token_id,
            namespace = wish.namespace, service_account = wish.account, binding = about.binding,
            new_token_id = new_id, expires = %granted.minted.expires, micros = micros(took), "token exchanged"
        );
    }

    fn denied(&self, wish: &ExchangeWish, about: &CallerFacts, denied: &ExchangeDenial, took: Duration) {
        let reason = denied.label();
        if UNPROVEN.contains(&reason) && about.subject.is_none() {
            let issuer = about.issuer.as_deref().unwrap_or_default();
            if let Some(claimed) = about.unlisted.as_ref().filter(|_| self.hints.allows()) {
                let claimed: String = claimed.chars().take(MAX_FORWARDED).collect();
                info!(issuer = ?claimed, "a token claims an issuer that is not listed under issuers");
            }
            return self.junk.seen(&wish.from.to_string(), issuer, reason);
        }
        info!(
            target: "audit", decision = "refused", from = %wish.from, forwarded_for = about.forwarded,
            issuer = about.issuer, subject = about.subject, token_id = about.token_id,
            namespace = wish.namespace, service_account = wish.account, binding = about.binding, reason,
            micros = micros(took), "token not exchanged"
        );
        if reason == "audience" && self.hints.allows() {
            warn!("{}", audience_hint(about));
        }
    }
}

/// The hint for a caller whose token is for somebody else.
fn audience_hint(about: &CallerFacts) -> String {
    let wanted = about.wanted.first().map_or("", String::as_str);
    let mut text =
        format!("the source token is not for this service; ask its issuer for the audience {wanted:?}");
    let account = about.subject.as_deref().and_then(|subject| subject.strip_prefix("system:serviceaccount:"));
    let account = account.and_then(|account| account.split_once(':'));
    // Somebody will paste this into a shell.
    if let Some((namespace, name)) =
        account.filter(|(namespace, name)| is_dns_label(namespace) && is_dns_subdomain(name))
    {
        let _ =
            write!(text, ": kubectl create token {name} --duration=1h -n {namespace} --audience={wanted}");
    }
    text
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_a_line_for_a_shell() {
        let about = |subject: &str| CallerFacts {
            subject: Some(subject.to_owned()),
            wanted: vec!["x".to_owned()],
            ..CallerFacts::default()
        };
        assert!(
            audience_hint(&about("system:serviceaccount:default:app"))
                .ends_with(": kubectl create token app --duration=1h -n default --audience=x")
        );
        let foul = audience_hint(&about("system:serviceaccount:default:app;reboot"));
        assert!(foul.ends_with("for the audience \"x\""), "{foul}");
        assert!(audience_hint(&about("1234")).ends_with("for the audience \"x\""));
    }
}
