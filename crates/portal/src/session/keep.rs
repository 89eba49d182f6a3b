//! Opens, renews and ends sessions.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use moka::sync::Cache;
use portolan_core::text::quoted;
use portolan_runtime::telemetry::ErrorChain;
use secrecy::SecretString;
use serde_json::Value;
use tracing::{info, warn};

use super::{
    cookies::Cookies,
    demo::DemoUsers,
    oidc::{OidcError, OidcIssuer},
    open::{IssuerTokens, OpenSession, Session, SessionLimits, SessionOwner},
    seal::CookieSeal,
};
use crate::{
    args::{Identity, SessionArgs},
    credential::{Credential, nameable},
    problem::Problem,
};

/// Name of the cookie of a session, and the purpose that it is sealed for.
const SESSION: &str = "portal";
/// The same for a login that is under way.
const LOGIN: &str = "portal-login";
/// Time that a person has at the issuer.
const LOGIN_SECONDS: u64 = 600;
/// An ID token is renewed this long before its end.
const AHEAD: i64 = 60;
/// Seconds after which an impersonated login is proven again, if the issuer sends no new ID token.
const REPROVEN: i64 = 300;
/// What is said while nobody can say whether a session holds.
const SILENT: &str =
    "the issuer of your login does not answer, and so your session cannot be renewed: try again in a moment";
/// More bytes of group names are not impersonated.
const MAX_GROUP_BYTES: usize = 3 * 1024;

/// Everything about sessions.
pub struct Sessions {
    pub seal: Arc<CookieSeal>,
    pub cookies: Cookies,
    pub oidc: Option<Arc<OidcIssuer>>,
    pub demo: Option<Arc<DemoUsers>>,
    settings: SessionArgs,
    /// Sessions that were ended before their time.
    ended: Cache<String, ()>,
}

/// A session, what it shows the API server, and cookies to send if it has changed.
pub struct ResumedSession {
    pub opened: Arc<OpenSession>,
    pub credential: Credential,
    pub renewed: Vec<HeaderValue>,
}

impl Sessions {
    pub fn new(
        seal: Arc<CookieSeal>,
        cookies: Cookies,
        oidc: Option<Arc<OidcIssuer>>,
        demo: Option<Arc<DemoUsers>>,
        settings: SessionArgs,
    ) -> Self {
        let ended = Cache::builder().max_capacity(100_000).time_to_live(settings.session_lifetime).build();
        Self { seal, cookies, oidc, demo, settings, ended }
    }

    fn limits(&self) -> SessionLimits {
        SessionLimits { lifetime: self.settings.session_lifetime, idle: self.settings.session_idle }
    }

    /// Time for which a session may be unused.
    pub const fn idle(&self) -> Duration {
        self.settings.session_idle
    }

    /// The cookies of a new session. Whoever cannot have one is told why.
    pub fn begin(&self, who: SessionOwner, now: Timestamp) -> Result<Vec<HeaderValue>, Problem> {
        let session = Session::new(who, now);
        if let SessionOwner::Oidc(tokens) = &session.who {
            self.shown(&session, tokens)?;
        }
        self.written(&session, now)
    }

    fn written(&self, session: &Session, now: Timestamp) -> Result<Vec<HeaderValue>, Problem> {
        let plain =
            serde_json::to_vec(session).map_err(|_| Problem::unavailable("no session can be made"))?;
        let left = u64::try_from(self.end(session).as_second() - now.as_second()).unwrap_or_default();
        let cookies = self.cookies.set(SESSION, &self.seal.seal(SESSION, &plain), left);
        cookies.map_err(|_| {
            let why = OidcError::TooLong(session.who.bytes()).to_string();
            Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why)
        })
    }

    fn end(&self, session: &Session) -> Timestamp {
        // The cookie may stay until the end of the session's life; when it is idle is checked at each request.
        let limits = self.limits();
        session.ends(SessionLimits { idle: limits.lifetime.max(Duration::from_secs(1)), ..limits })
    }

    /// The session of a cookie, if it has one that holds, and whether a former key has sealed it.
    fn opened(&self, headers: &HeaderMap, now: Timestamp) -> Option<(Session, bool)> {
        let text = self.cookies.get(headers, SESSION)?;
        let unsealed = self.seal.open(SESSION, &text)?;
        let session = serde_json::from_slice::<Session>(&unsealed.plain).ok()?;
        let holds = session.holds(self.limits(), now) && !self.has_ended(&session.id);
        holds.then_some((session, unsealed.is_old))
    }

    /// The session of a request. `is_use` is false for what no person has caused. Nobody is signed out because the issuer
    /// does not answer.
    pub async fn resume(
        &self,
        headers: &HeaderMap,
        is_use: bool,
        now: Timestamp,
    ) -> Result<ResumedSession, Problem> {
        let (mut session, is_old) = self.opened(headers, now).ok_or_else(Problem::unauthenticated)?;
        let fresh = self.freshened(&session.who, now).await?;
        let is_fresh = fresh.is_some();
        if let Some(tokens) = fresh {
            session.who = SessionOwner::Oidc(tokens);
        }
        let credential = self.credential(&session).await.ok_or_else(Problem::unauthenticated)?;
        let is_noted = is_use && (session.used(self.limits(), now) || is_old);
        let renewed = if is_fresh || is_noted { self.written(&session, now) } else { Ok(Vec::new()) };
        // Tokens may have grown. The former cookie does until its own token ends, and the next login says why.
        let renewed = renewed.unwrap_or_else(|problem| {
            warn!("a session keeps its former cookie: {}", problem.error);
            Vec::new()
        });
        let ends = session.ends(self.limits());
        Ok(ResumedSession { opened: Arc::new(OpenSession { session, ends }), credential, renewed })
    }

    /// Renews tokens that end soon; `None` if nothing was to be done. A problem if nothing holds any more, or nobody can
    /// say so.
    async fn freshened(&self, who: &SessionOwner, now: Timestamp) -> Result<Option<IssuerTokens>, Problem> {
        let (SessionOwner::Oidc(tokens), Some(oidc)) = (who, &self.oidc) else { return Ok(None) };
        if tokens.ends - now.as_second() > AHEAD {
            return Ok(None);
        }
        let mut refusal = Problem::unauthenticated();
        if tokens.refresh.is_some() {
            match oidc.refresh(tokens).await {
                Ok(renewed) if renewed.id == tokens.id => {
                    return self.kept(renewed, now).map(Some).ok_or(refusal);
                }
                Ok(renewed) => return Ok(Some(renewed)),
                Err(error) => {
                    info!("a session could not be renewed: {}", ErrorChain(&*error));
                    if error.is_silence() {
                        refusal = Problem::unavailable(SILENT);
                    }
                }
            }
        }
        // Without a refresh token, an impersonated session lives as long as its login.
        let is_unproven = tokens.refresh.is_none() && self.settings.identity == Identity::Impersonate;
        if is_unproven || tokens.ends > now.as_second() { Ok(None) } else { Err(refusal) }
    }

    /// The tokens after an answer without a new ID token. Passed through, the former one ends when it says; for an
    /// impersonated session, the issuer has said that its login still holds.
    fn kept(&self, renewed: IssuerTokens, now: Timestamp) -> Option<IssuerTokens> {
        let ends = match self.settings.identity {
            Identity::Passthrough => renewed.ends,
            Identity::Impersonate => now.as_second() + REPROVEN,
        };
        (ends > now.as_second()).then_some(IssuerTokens { ends, ..renewed })
    }

    /// The credential of a session for the API server. One whose name cannot be used any more has none, and the next
    /// login says why.
    async fn credential(&self, session: &Session) -> Option<Credential> {
        match &session.who {
            SessionOwner::Demo(name) => self.demo.as_ref()?.token(name).await.map(Credential::Token),
            SessionOwner::Oidc(tokens) => {
                // A cookie of a former configuration has no issuer any more.
                self.oidc.as_ref()?;
                self.shown(session, tokens).ok()
            }
        }
    }

    /// The credential of a session that began at the issuer.
    fn shown(&self, session: &Session, tokens: &IssuerTokens) -> Result<Credential, Problem> {
        match self.settings.identity {
            Identity::Passthrough => Ok(Credential::Token(SecretString::from(tokens.id.as_str()))),
            Identity::Impersonate => impersonated(&self.settings, &session.claims().unwrap_or_default()),
        }
    }

    /// Time from which the API server does not take any more what a session shows.
    pub fn shown_until(&self, session: &Session) -> Option<Timestamp> {
        match (&session.who, self.settings.identity) {
            (SessionOwner::Oidc(tokens), Identity::Passthrough) => Timestamp::from_second(tokens.ends).ok(),
            (SessionOwner::Demo(_), _) | (_, Identity::Impersonate) => None,
        }
    }

    pub fn has_ended(&self, id: &str) -> bool {
        self.ended.contains_key(id)
    }

    /// Ends a session: its cookie opens nothing here any more, and its refresh token is revoked.
    pub async fn end_now(&self, session: &Session) -> Vec<HeaderValue> {
        self.ended.insert(session.id.clone(), ());
        if let (SessionOwner::Oidc(tokens), Some(oidc)) = (&session.who, &self.oidc)
            && let Err(error) = oidc.revoke(tokens).await
        {
            warn!("the refresh token of a session could not be revoked: {}", ErrorChain(&error));
        }
        self.cookies.clear(SESSION)
    }

    /// Cookies of a login that begins.
    pub fn login_begins(&self, sealed: &[u8]) -> Vec<HeaderValue> {
        let cookies = self.cookies.set(LOGIN, &self.seal.seal(LOGIN, sealed), LOGIN_SECONDS);
        cookies.unwrap_or_else(|_| self.cookies.clear(LOGIN))
    }

    /// The state that was sealed when the login of this browser began.
    pub fn login_of(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let text = self.cookies.get(headers, LOGIN)?;
        self.seal.open(LOGIN, &text).map(|unsealed| unsealed.plain)
    }

    pub fn login_over(&self) -> Vec<HeaderValue> {
        self.cookies.clear(LOGIN)
    }
}

/// The user that claims name, with a prefix that no other user has, and those groups that count.
fn impersonated(settings: &SessionArgs, claims: &Value) -> Result<Credential, Problem> {
    let claim = &settings.username_claim;
    let name = claims[claim].as_str().unwrap_or_default();
    let user = format!("{}{name}", settings.username_prefix);
    nameable(name).and_then(|_| nameable(&user)).map_err(|why| {
        let name = quoted(name);
        Problem::unprocessable(format!(
            "your name {name}, the claim {claim} of your token, cannot be used: {why}"
        ))
    })?;
    let mut groups = Vec::new();
    if let Some(prefix) = &settings.groups_prefix {
        let all = claims[&settings.groups_claim].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut bytes = 0;
        for group in all.filter(|group| group.starts_with(prefix) && nameable(group).is_ok()) {
            bytes += group.len();
            if bytes > MAX_GROUP_BYTES {
                break;
            }
            groups.push(group.to_owned());
        }
    }
    Ok(Credential::Impersonate { user, groups })
}

#[cfg(test)]
mod tests {
    use http::header;
    use portolan_runtime::args::parse_from;
    use serde_json::json;

    use super::*;
    use crate::args::Args;

    fn settings(flags: &[&str]) -> SessionArgs {
        let line = ["portal"].iter().chain(flags).copied();
        parse_from::<Args>("portal", line).unwrap().service.session
    }

    #[test]
    fn a_user_is_never_one_of_the_system() {
        let of = |flags: &[&str], claims: Value| match impersonated(&settings(flags), &claims) {
            Ok(Credential::Impersonate { user, groups }) => Ok((user, groups)),
            Ok(Credential::Token(_)) => panic!("nobody is impersonated"),
            Err(problem) => Err((problem.status.as_u16(), problem.error)),
        };
        let groups = ["api-a", "system:masters", " system:masters", "api-b ", "api-b\n", "api-ö, b", "x"];
        let claims = json!({"sub": "ann", "email": "a@x", "groups": groups});
        assert_eq!(of(&[], claims.clone()), Ok(("oidc:ann".into(), vec![])));
        let named = of(&["--groups-prefix=api-", "--username-claim=email"], claims.clone());
        assert_eq!(named, Ok(("oidc:a@x".into(), vec!["api-a".into(), "api-ö, b".into()])));
        assert_eq!(of(&["--groups-prefix="], claims).unwrap().1, ["api-a", "api-ö, b", "x"]);
        for (bad, why) in [
            (json!({"sub": "system:admin"}), "begins with system:"),
            (json!({"sub": "ann "}), "a blank"),
            (json!({"sub": " ann"}), "a blank"),
            (json!({"sub": "an\u{1}n"}), "control characters"),
            (json!({"sub": ""}), "is empty"),
            (json!({"sub": 7}), "the claim sub of your token"),
            (json!({}), "is empty"),
        ] {
            let (status, said) = of(&[], bad).unwrap_err();
            assert!(status == 422 && said.contains(why), "{status} {said}");
        }
        assert!(of(&["--username-prefix=sys"], json!({"sub": "tem:admin"})).is_err());
        let many: Vec<_> = (0..1000).map(|number| format!("api-{number:06}")).collect();
        let groups = of(&["--groups-prefix=api-"], json!({"sub": "a", "groups": many})).unwrap().1;
        assert_eq!(groups.len(), MAX_GROUP_BYTES / 10);
    }

    fn of_issuer(flags: &[&str], id: &str) -> (Sessions, SessionOwner) {
        let tokens = IssuerTokens { id: id.to_owned(), refresh: Some("r".repeat(100)), ends: 500 };
        let cookies = Cookies::new(false);
        (
            Sessions::new(Arc::new(CookieSeal::random()), cookies, None, None, settings(flags)),
            SessionOwner::Oidc(tokens),
        )
    }

    #[test]
    fn a_token_that_no_cookie_keeps_is_refused_with_its_length() {
        let at = Timestamp::from_second(100).unwrap();
        let begun = |bytes: usize| {
            let (sessions, who) = of_issuer(&[], &"x".repeat(bytes));
            sessions.begin(who, at).map(|set| set.len())
        };
        assert!(begun(8_000).is_ok());
        let refused = begun(12_000).unwrap_err();
        assert_eq!(refused.status.as_u16(), 431);
        assert!(refused.error.contains("your token is 12100 bytes: fewer groups"), "{}", refused.error);
    }

    #[test]
    fn what_a_session_shows_may_end_before_it() {
        let at = Timestamp::from_second(100).unwrap();
        for (identity, expected) in [("passthrough", Some(500)), ("impersonate", None)] {
            let (sessions, who) = of_issuer(&[&format!("--identity={identity}")], "x");
            let until = sessions.shown_until(&Session::new(who, at));
            assert_eq!(until.map(Timestamp::as_second), expected, "{identity}");
        }
        let people = demo(CookieSeal::random());
        assert_eq!(people.shown_until(&Session::new(SessionOwner::Demo("ann".into()), at)), None);
    }

    fn demo(seal: CookieSeal) -> Sessions {
        let people = DemoUsers::from([("ann", "token")]);
        let cookies = Cookies::new(false);
        Sessions::new(Arc::new(seal), cookies, None, Some(Arc::new(people)), settings(&[]))
    }

    fn request(set: &[HeaderValue]) -> HeaderMap {
        let text = set[0].to_str().unwrap().split(';').next().unwrap().to_owned();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&text).unwrap())])
    }

    #[tokio::test]
    async fn what_nobody_uses_ends_and_what_was_ended_stays_so() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let sessions = demo(CookieSeal::random());
        let headers = request(&sessions.begin(SessionOwner::Demo("ann".into()), at(0)).unwrap());
        let resumed = async |is_use, now| sessions.resume(&headers, is_use, at(now)).await;
        assert!(resumed(true, 30).await.unwrap().renewed.is_empty());
        assert!(!resumed(true, 90).await.unwrap().renewed.is_empty(), "use is noted");
        assert!(
            resumed(false, 90).await.unwrap().renewed.is_empty(),
            "a page that talks to itself is no use"
        );
        let refusal = resumed(true, 1800).await.err().map(|problem| problem.status.as_u16());
        assert_eq!(refusal, Some(401), "idle");
        let opened = resumed(true, 100).await.unwrap().opened;
        sessions.end_now(&opened.session).await;
        assert!(resumed(true, 100).await.is_err(), "a copy of the cookie opens nothing");
        let elsewhere = demo(CookieSeal::random());
        assert!(elsewhere.resume(&headers, true, at(10)).await.is_err());
        let gone = sessions.begin(SessionOwner::Demo("bob".into()), at(0)).unwrap();
        assert!(sessions.resume(&request(&gone), true, at(1)).await.is_err());
    }
}
