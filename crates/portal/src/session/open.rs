//! The content of a session, and when it ends.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest time after which use is noted, in seconds.
const NOTED_EVERY: i64 = 60;

/// A session as it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Session {
    pub id: String,
    /// The token that changes must carry, so that no other page can make them.
    pub csrf: String,
    /// Time of the login, in seconds since 1970.
    pub login: i64,
    /// Time of the last use.
    pub seen: i64,
    pub who: SessionOwner,
}

/// Whose session it is.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum SessionOwner {
    /// One of the people for demonstrations.
    Demo(String),
    /// Somebody who has logged in at the issuer.
    Oidc(IssuerTokens),
}

/// The tokens of the issuer.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct IssuerTokens {
    pub id: String,
    pub refresh: Option<String>,
    /// End of the ID token, in seconds since 1970.
    pub ends: i64,
}

impl SessionOwner {
    /// Length of what the issuer has given, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Demo(_) => 0,
            Self::Oidc(tokens) => tokens.id.len() + tokens.refresh.as_ref().map_or(0, String::len),
        }
    }
}

/// Limits for sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    pub lifetime: Duration,
    pub idle: Duration,
}

/// An open session.
#[derive(Debug)]
pub struct OpenSession {
    pub session: Session,
    /// Time at which it ends if nothing uses it.
    pub ends: Timestamp,
}

impl Session {
    /// A new session, with an id that no earlier one had.
    pub fn new(who: SessionOwner, now: Timestamp) -> Self {
        let now = now.as_second();
        Self { id: word(), csrf: word(), login: now, seen: now, who }
    }

    /// The end of the session if nothing uses it any more.
    pub fn ends(&self, limits: SessionLimits) -> Timestamp {
        let absolute = self.login.saturating_add(seconds(limits.lifetime));
        let idle = self.seen.saturating_add(seconds(limits.idle));
        Timestamp::from_second(absolute.min(idle)).unwrap_or(Timestamp::MIN)
    }

    /// Returns `true` if the session holds at a time. One from the future does not.
    pub fn holds(&self, limits: SessionLimits, now: Timestamp) -> bool {
        self.login <= now.as_second() + NOTED_EVERY && now < self.ends(limits)
    }

    /// Notes that somebody uses the session; `true` if that is worth a new cookie.
    pub fn used(&mut self, limits: SessionLimits, now: Timestamp) -> bool {
        // Where sessions end soon, use counts sooner.
        let is_due = now.as_second() - self.seen >= NOTED_EVERY.min(seconds(limits.idle) / 10);
        if is_due {
            self.seen = now.as_second();
        }
        is_due
    }

    /// The claims of the ID token, which was checked at the login.
    pub fn claims(&self) -> Option<Value> {
        let SessionOwner::Oidc(tokens) = &self.who else { return None };
        claims(&tokens.id)
    }
}

/// The claims of a token, unchecked.
pub fn claims(token: &str) -> Option<Value> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// A word that nobody guesses.
pub fn word() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 24]>())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for SessionOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionOwner")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits =
        SessionLimits { lifetime: Duration::from_hours(8), idle: Duration::from_mins(30) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_session_ends_after_eight_hours_or_half_an_hour_without_use() {
        let mut session = Session::new(SessionOwner::Demo("ann".into()), at(1000));
        assert!(session.holds(LIMITS, at(1000)) && session.holds(LIMITS, at(1000 + 1799)));
        assert!(!session.holds(LIMITS, at(1000 + 1800)), "idle");
        assert!(!session.used(LIMITS, at(1059)), "no new cookie for each request");
        for minute in 1..480 {
            assert!(session.used(LIMITS, at(1000 + 60 * minute)));
        }
        assert!(session.holds(LIMITS, at(1000 + 8 * 3600 - 1)));
        assert!(!session.holds(LIMITS, at(1000 + 8 * 3600)), "use does not extend it beyond its end");
        assert!(!Session::new(SessionOwner::Demo("ann".into()), at(9000)).holds(LIMITS, at(1000)));
        let mut short = Session::new(SessionOwner::Demo("ann".into()), at(1000));
        let limits = SessionLimits { idle: Duration::from_secs(20), ..LIMITS };
        assert!(
            !short.used(limits, at(1001)) && short.used(limits, at(1002)),
            "a short time is extended, too"
        );
    }

    #[test]
    fn no_two_sessions_are_alike_and_none_shows_its_tokens() {
        let who = || {
            SessionOwner::Oidc(IssuerTokens { id: "a.b.c".into(), refresh: Some("secret".into()), ends: 1 })
        };
        let (one, other) = (Session::new(who(), at(1)), Session::new(who(), at(1)));
        assert!(one.id != other.id && one.csrf != other.csrf && one.csrf.len() == 32);
        assert!(!format!("{one:?}").contains("secret"));
    }
}
