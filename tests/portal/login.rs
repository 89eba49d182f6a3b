//! Logins of browsers: the code flow, the cookie, what protects it, and the way out.

use portolan_testkit::{
    login::{LoginProvider, Person},
    raw::RawAnswer,
    workdir::Workdir,
};
use serde_json::json;

use crate::{
    scene::Stage,
    site::{Caller, ORIGIN, SESSION_KEY, Site},
};

/// What a browser keeps.
#[derive(Clone, Default)]
pub struct Jar(Vec<(String, String)>);

impl Jar {
    /// Takes over the cookies of an answer; those with an age of 0 go.
    pub fn take(&mut self, answer: &RawAnswer) {
        self.take_set(answer.values("set-cookie").into_iter());
    }

    /// The same for the values of the headers alone.
    pub fn take_set<'a>(&mut self, cookies: impl Iterator<Item = &'a str>) {
        for cookie in cookies {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            if !attributes.to_lowercase().contains("max-age=0") && !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    pub fn header(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("cookie: {}\r\n", pairs.join("; ")) }
    }
}

fn location(answer: &RawAnswer) -> String {
    assert!([302, 303, 307].contains(&answer.status), "{} {}", answer.status, answer.text);
    answer.values("location")[0].to_owned()
}

/// What the login provider sends a browser back to, as a path of the portal.
fn consent(login: &LoginProvider, authorize: &str, person: &str) -> String {
    assert!(authorize.starts_with(&format!("{}/authorize?", login.url)), "{authorize}");
    for part in ["code_challenge_method=S256", "response_type=code", "state=", "nonce=", "code_challenge="] {
        assert!(authorize.contains(part), "{part}: {authorize}");
    }
    let back = login.consent(authorize, person).unwrap();
    back.strip_prefix(ORIGIN).unwrap_or_else(|| panic!("{back}")).to_owned()
}

/// A whole login. Gives the cookies and where the browser ends up.
pub async fn sign_in(login: &LoginProvider, site: &Site, person: &str, next: &str) -> (Jar, String) {
    let (jar, done) = come_back(login, site, person, next).await;
    (jar, location(&done))
}

/// A login with what the portal says at its end.
pub async fn come_back(login: &LoginProvider, site: &Site, person: &str, next: &str) -> (Jar, RawAnswer) {
    let mut jar = Jar::default();
    let begun = site.with("").get(&format!("/login?next={next}")).await;
    jar.take(&begun);
    let back = consent(login, &location(&begun), person);
    let done = site.with(&jar.header()).get(&back).await;
    jar.take(&done);
    (jar, done)
}

pub async fn csrf(site: &Site, jar: &Jar) -> String {
    let me = site.with(&jar.header()).get("/api/me").await;
    assert_eq!(me.status, 200, "{}", me.text);
    me.json()["csrf"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn somebody_signs_in_works_and_signs_out() {
    let stage = Stage::shared().await;
    let place = stage.toystore("session").await;
    place.publish("owner1", "toys", &json!({})).await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let (mut jar, to) = sign_in(&stage.login, &site, "alice", "/products/session/toys").await;
    assert!(to == "/products/session/toys" || to == format!("{ORIGIN}/products/session/toys"), "{to}");
    let me = site.with(&jar.header()).get("/api/me").await.json();
    assert_eq!(
        (&me["user"], &me["via"], &me["email"]),
        (&json!("alice"), &json!("session"), &json!("alice@example.com")),
        "{me}"
    );
    let token = csrf(&site, &jar).await;
    let with_token = format!("{}x-csrf-token: {token}\r\norigin: {ORIGIN}\r\n", jar.header());
    let body = json!({"apiProductName": "toys", "namespace": "session", "planTier": "gold", "userEmail": "alice@example.com"});
    let asked = site.with(&with_token).post("/api/kuadrant/requests", &body).await;
    assert_eq!(asked.status, 201, "{}", asked.text);
    assert_eq!(asked.json()["spec"]["requestedBy"]["userId"], "alice");

    let before = stage.login.revocations();
    let out = site.with(&with_token).post("/logout", &json!({})).await;
    assert!(out.status < 400, "{} {}", out.status, out.text);
    jar.take(&out);
    assert_eq!(stage.login.revocations(), before + 1, "the refresh token is revoked at the issuer");
    assert_eq!(site.with(&jar.header()).get("/api/me").await.status, 401);
    let log = site.service.log_tail(usize::MAX);
    assert!(!log.contains("eyJhbGci") && !log.contains("refresh-"), "{log}");
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_no_script() {
    let stage = Stage::shared().await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let begun = site.with("").get("/login?next=/").await;
    let mut jar = Jar::default();
    jar.take(&begun);
    let done = site.with(&jar.header()).get(&consent(&stage.login, &location(&begun), "alice")).await;
    let set = [begun.values("set-cookie"), done.values("set-cookie")].concat();
    let kept: Vec<_> = set.iter().filter(|cookie| !cookie.to_lowercase().contains("max-age=0")).collect();
    assert!(kept.len() >= 2, "{set:?}");
    for cookie in kept {
        let lower = cookie.to_lowercase();
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for attribute in ["; secure", "; httponly", "; samesite=lax", "; path=/"] {
            assert!(lower.contains(attribute), "{attribute}: {cookie}");
        }
        assert!(!lower.contains("domain="), "{cookie}");
        assert!(cookie.len() < 4096, "{}", cookie.len());
        assert!(!cookie.contains("alice") && !cookie.contains("eyJhbGci"), "it is sealed: {cookie}");
    }
}

#[tokio::test]
async fn a_change_needs_the_token_of_its_session() {
    let stage = Stage::shared().await;
    let place = stage.toystore("csrf").await;
    place.publish("owner1", "toys", &json!({})).await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let (jar, _) = sign_in(&stage.login, &site, "alice", "/").await;
    let (others, _) = sign_in(&stage.login, &site, "bob", "/").await;
    let (mine, theirs) = (csrf(&site, &jar).await, csrf(&site, &others).await);
    assert_ne!(mine, theirs);
    let body = json!({"apiProductName": "toys", "namespace": "csrf", "planTier": "gold", "userEmail": "alice@example.com"});
    for header in [
        String::new(),
        "x-csrf-token: \r\n".to_owned(),
        "x-csrf-token: guess\r\n".to_owned(),
        format!("x-csrf-token: {theirs}\r\n"),
    ] {
        let by = site.with(&format!("{}{header}", jar.header()));
        Caller::is_problem(&by.post("/api/kuadrant/requests", &body).await, 403);
        assert_eq!(by.post("/logout", &json!({})).await.status, 403, "{header:?}");
    }
    assert_eq!(site.with(&jar.header()).get("/api/me").await.status, 200, "nobody was signed out");
    // A form of another site cannot make this content type, and has no token.
    let form = format!(
        "{}content-type: application/x-www-form-urlencoded\r\nx-csrf-token: {mine}\r\n",
        jar.header()
    );
    let posted = site.with(&form).send("POST", "/api/kuadrant/requests", None).await;
    assert!((400..500).contains(&posted.status), "{} {}", posted.status, posted.text);
    let foreign = format!(
        "{}x-csrf-token: {mine}\r\norigin: https://evil.example\r\nsec-fetch-site: cross-site\r\n",
        jar.header()
    );
    assert_eq!(site.with(&foreign).post("/api/kuadrant/requests", &body).await.status, 403);
    assert!(
        place
            .api::<portolan_core::api::devportal::APIKey>()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_login_belongs_to_the_browser_that_began_it() {
    let stage = Stage::shared().await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let begun = site.with("").get("/login?next=/").await;
    let back = consent(&stage.login, &location(&begun), "bob");
    // The victim's browser has no cookie of this login, or that of another one.
    let mut victim = Jar::default();
    let refused = site.with("").get(&back).await;
    assert!(
        refused.status >= 400 || location(&refused).contains("error"),
        "{} {}",
        refused.status,
        refused.text
    );
    let second = site.with("").get("/login?next=/").await;
    victim.take(&second);
    let begun = site.with("").get("/login?next=/").await;
    let back = consent(&stage.login, &location(&begun), "bob");
    let refused = site.with(&victim.header()).get(&back).await;
    let mut after = victim.clone();
    after.take(&refused);
    assert_eq!(site.with(&after.header()).get("/api/me").await.status, 401, "{}", refused.text);
    // Nor does that end the login which this browser has begun.
    let own = consent(&stage.login, &location(&second), "alice");
    after.take(&site.with(&after.header()).get(&own).await);
    assert_eq!(site.with(&after.header()).get("/api/me").await.json()["user"], "alice");
    // What was set before a login is another cookie after it.
    let (jar, _) = sign_in(&stage.login, &site, "alice", "/").await;
    let again = site.with(&jar.header()).get("/login?next=/").await;
    let mut renewed = jar.clone();
    renewed.take(&again);
    let done = site.with(&renewed.header()).get(&consent(&stage.login, &location(&again), "bob")).await;
    renewed.take(&done);
    let me = site.with(&renewed.header()).get("/api/me").await.json();
    assert_eq!(me["user"], "bob", "{me}");
    assert_ne!(csrf(&site, &renewed).await, csrf(&site, &jar).await);
    // A code works once.
    let replayed = site.with(&renewed.header()).get(&back).await;
    assert!(replayed.status >= 400, "{} {}", replayed.status, replayed.text);
}

#[tokio::test]
async fn nobody_is_sent_to_another_host() {
    let stage = Stage::shared().await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    for next in [
        "https://evil.example",
        "//evil.example",
        "/%5Cevil.example",
        "%2F%2Fevil.example",
        "javascript:alert(1)",
        "/%0d%0aset-cookie:x=y",
        "/.//evil.example",
    ] {
        let (_, to) = sign_in(&stage.login, &site, "alice", next).await;
        let base = url::Url::parse(ORIGIN).unwrap();
        let url = base.join(&to).unwrap();
        assert_eq!(url.host_str(), Some("portal.test"), "{next}: {to}");
    }
}

#[tokio::test]
async fn people_for_demonstrations_need_no_password_on_this_machine() {
    let stage = Stage::shared().await;
    let home = Workdir::new("portal-demo").unwrap();
    let token = home.write_private("alice.token", &stage.login.token("alice")).unwrap();
    let people = format!("alice: {{tokenFile: '{}', email: a@example.com}}\n", token.display());
    let people = home.write_private("people.yaml", &people).unwrap();
    let site = Site::start(&stage.kubeconfig, None, &[&format!("--demo-users={}", people.display())]).await;
    let page = site.with("").get("/login?next=/keys").await;
    assert!(page.status == 200 && page.text.contains("alice"), "{}", page.text);
    let as_alice = "user=alice&next=/keys";
    for (headers, form) in [("sec-fetch-site: cross-site\r\n", as_alice), ("", "user=bob&next=/keys")] {
        assert_eq!(site.with(headers).form("/login", form).await.status, 403, "{form}");
    }
    let done = site.with("sec-fetch-site: same-origin\r\n").form("/login", as_alice).await;
    assert_eq!(location(&done), "/keys");
    let mut jar = Jar::default();
    jar.take(&done);
    let me = site.with(&jar.header()).get("/api/me").await.json();
    assert_eq!(
        (&me["user"], &me["demo"], &me["email"]),
        (&json!("alice"), &json!(true), &json!("a@example.com")),
        "{me}"
    );
}

#[tokio::test]
async fn replicas_share_sessions_and_keys_can_be_changed() {
    let stage = Stage::shared().await;
    let home = Workdir::new("portal-keys").unwrap();
    let (old, new) = (SESSION_KEY, "fedcba9876543210fedcba9876543210");
    let file = |name: &str, text: &str| {
        format!("--session-key-file={}", home.write_private(name, text).unwrap().display())
    };
    let (old, new) = (file("old", old), file("new", new));
    let start = async |flags: &[&str]| Site::start(&stage.kubeconfig, Some(&stage.login), flags).await;
    let before = start(&[&old]).await;
    let (jar, _) = sign_in(&stage.login, &before, "alice", "/").await;
    let both = start(&[&new, &old]).await;
    assert_eq!(both.with(&jar.header()).get("/api/me").await.json()["user"], "alice");
    let (fresh, _) = sign_in(&stage.login, &both, "alice", "/").await;
    let after = start(&[&new]).await;
    assert_eq!(after.with(&fresh.header()).get("/api/me").await.json()["user"], "alice");
    assert_eq!(after.with(&jar.header()).get("/api/me").await.status, 401);
    // Anything else than what was sealed is nobody.
    let mut tampered = fresh.clone();
    for (_, value) in &mut tampered.0 {
        let at = value.len() / 2;
        let other = if &value[at..=at] == "A" { "B" } else { "A" };
        value.replace_range(at..=at, other);
    }
    assert_eq!(after.with(&tampered.header()).get("/api/me").await.status, 401);
}

#[tokio::test]
async fn a_silent_login_comes_back_at_once_or_asks_the_person() {
    let stage = Stage::shared().await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[]).await;
    let silently = async || {
        let begun = site.with("").get("/login?prompt=none&next=/signed-in").await;
        let mut jar = Jar::default();
        jar.take(&begun);
        let authorize = location(&begun);
        assert!(authorize.contains("prompt=none"), "{authorize}");
        (jar, authorize)
    };
    let (mut jar, authorize) = silently().await;
    let done = site.with(&jar.header()).get(&consent(&stage.login, &authorize, "alice")).await;
    assert_eq!(location(&done), "/signed-in");
    jar.take(&done);
    assert_eq!(site.with(&jar.header()).get("/api/me").await.json()["user"], "alice");
    assert_eq!(site.with(&jar.header()).get("/signed-in").await.status, 200);

    // Nobody is signed in at the issuer: it would have to ask, and so the next login lets it.
    let (jar, authorize) = silently().await;
    let back = stage.login.visit(&authorize).unwrap();
    assert!(back.contains("error=login_required"), "{back}");
    let back = back.strip_prefix(ORIGIN).unwrap();
    let to = location(&site.with(&jar.header()).get(back).await);
    assert_eq!(to, "/login?next=%2Fsigned-in");
    let authorize = location(&site.with("").get(&to).await);
    assert!(!authorize.contains("prompt"), "{authorize}");
    // An error of a login that was not silent is one, whatever it says.
    let begun = site.with("").get("/login?next=/").await;
    let mut jar = Jar::default();
    jar.take(&begun);
    let asked = url::Url::parse(&location(&begun)).unwrap();
    let word = asked.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let refused = site.with(&jar.header()).get(&format!("/callback?error=login_required&state={word}")).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}

#[tokio::test]
async fn an_issuer_that_names_itself_otherwise_is_quoted_beside_ours() {
    let stage = Stage::shared().await;
    let login = LoginProvider::start(&[Person::new("alice", &[])]).unwrap();
    let site = Site::start(&stage.kubeconfig, Some(&login), &[]).await;
    let template = format!("{}/{{tenantid}}/v2.0", login.url);
    let upper = login.url.replace("https", "HTTPS");
    for named in [format!("{}/", login.url), upper, template] {
        login.names_itself(&named);
        let begun = site.with("").get("/login?next=/").await;
        assert_eq!(begun.status, 502, "{named}: {}", begun.text);
        let text = begun.text.replace("&quot;", "\"");
        for value in [&named, &login.url] {
            assert!(text.contains(&format!("\"{value}\"")), "{value}: {text}");
        }
        assert!(text.contains("--oidc-issuer"), "{text}");
        // Whoever shows a bearer token needs no issuer of ours.
        assert_eq!(site.service.admin_get("/readyz").await.unwrap().0, 200, "{named}");
        assert_eq!(site.by(&stage.login, "alice").get("/api/me").await.status, 200, "{named}");
    }
    login.names_itself(&login.url);
    let begun = site.with("").get("/login?next=/").await;
    assert!(location(&begun).starts_with(&login.url), "{}", begun.text);
}

#[tokio::test]
async fn an_issuer_that_goes_away_refuses_nobody() {
    let stage = Stage::shared().await;
    let login = LoginProvider::start(&[Person::new("alice", &[])]).unwrap();
    let site = Site::start(&stage.kubeconfig, Some(&login), &[]).await;
    let begun = site.with("").get("/login?next=/").await;
    let mut jar = Jar::default();
    jar.take(&begun);
    let back = consent(&login, &location(&begun), "alice");
    login.is_down(true);
    let failed = site.with(&jar.header()).get(&back).await;
    assert_eq!(failed.status, 502, "{}", failed.text);
    assert!(failed.text.contains("the issuer does not answer"), "{}", failed.text);
}

#[tokio::test]
async fn a_token_that_no_cookie_keeps_is_told_once() {
    let stage = Stage::shared().await;
    let login = LoginProvider::start(&[Person::new("alice", &[])]).unwrap();
    let site = Site::start(&stage.kubeconfig, Some(&login), &[]).await;
    for bytes in [9_000, 20_000] {
        login.pads_tokens(bytes);
        let (jar, done) = come_back(&login, &site, "alice", "/").await;
        assert_eq!((done.status, done.values("location").len()), (431, 0), "{}", done.text);
        assert!(done.text.contains("your token is") && done.text.contains("fewer groups"), "{}", done.text);
        assert_eq!(jar.header(), "", "nothing is kept");
    }
    login.pads_tokens(0);
    let (_, to) = sign_in(&login, &site, "alice", "/").await;
    assert_eq!(to, "/");
}
