//! Sessions that are renewed by requests which come to nothing: what the issuer gave for a refresh token, which it takes
//! once, reaches the browser.

use std::time::Duration;

use portolan_testkit::login::{LoginProvider, Person};
use serde_json::json;

use crate::{
    impersonation::masked,
    login::{csrf, sign_in},
    site::{Caller, ORIGIN, Site},
};

/// An issuer whose tokens end so soon that each request renews its session.
fn hasty() -> LoginProvider {
    let people = [Person::new("alice", &["api-consumers"]), Person::new("admin9", &["api-admins"])];
    let login = LoginProvider::start(&people).unwrap();
    login.tokens_live(4);
    login
}

/// A replica that has renewed nothing yet.
async fn replica(login: &LoginProvider) -> Site {
    let flags = ["--identity=impersonate", "--groups-prefix=api-"];
    Site::start(&masked().await.kubeconfig, Some(login), &flags).await
}

#[tokio::test]
async fn a_change_that_is_refused_brings_the_renewed_session() {
    let login = hasty();
    let (site, elsewhere) = (replica(&login).await, replica(&login).await);
    let (former, _) = sign_in(&login, &site, "alice", "/").await;
    let refused = site.with(&former.header()).post("/api/kuadrant/requests", &json!({})).await;
    Caller::is_problem(&refused, 403);
    let mut renewed = former.clone();
    renewed.take(&refused);
    // The first token ends, and what it was exchanged for is remembered by the first replica alone.
    tokio::time::sleep(Duration::from_secs(5)).await;
    Caller::is_problem(&elsewhere.with(&former.header()).get("/api/me").await, 401);
    let me = elsewhere.with(&renewed.header()).get("/api/me").await;
    assert_eq!((me.status, &me.json()["user"]), (200, &json!("oidc:alice")), "{}", me.text);
}

#[tokio::test]
async fn an_issuer_that_is_away_ends_no_session() {
    let login = hasty();
    let site = replica(&login).await;
    let (jar, _) = sign_in(&login, &site, "alice", "/").await;
    login.is_down(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refused = site.with(&jar.header()).get("/api/me").await;
    Caller::is_problem(&refused, 503);
    assert!(refused.values("set-cookie").is_empty(), "{}", refused.head);
    login.is_down(false);
    let me = site.with(&jar.header()).get("/api/me").await;
    assert_eq!((me.status, &me.json()["user"]), (200, &json!("oidc:alice")), "{}", me.text);
}

#[tokio::test]
async fn whom_the_api_server_refuses_has_the_renewed_session() {
    let login = hasty();
    let site = replica(&login).await;
    let (mut jar, _) = sign_in(&login, &site, "admin9", "/").await;
    // Nobody may impersonate this group. The second time, the token of the first answer is exchanged.
    for _ in 0..2 {
        let me = site.with(&jar.header()).get("/api/me").await;
        Caller::is_problem(&me, 403);
        let former = jar.header();
        jar.take(&me);
        assert_ne!(jar.header(), former, "{}", me.head);
    }
}

#[tokio::test]
async fn a_logout_renews_its_session_only_if_it_is_refused() {
    let login = hasty();
    let site = replica(&login).await;
    let (mut jar, _) = sign_in(&login, &site, "alice", "/").await;
    let former = jar.header();
    let refused = site.with(&former).post("/logout", &json!({})).await;
    Caller::is_problem(&refused, 403);
    jar.take(&refused);
    assert_ne!(jar.header(), former, "{}", refused.head);
    let token = csrf(&site, &jar).await;
    let headers = format!("{}x-csrf-token: {token}\r\norigin: {ORIGIN}\r\n", jar.header());
    let out = site.with(&headers).post("/logout", &json!({})).await;
    assert_eq!(out.status, 200, "{}", out.text);
    jar.take(&out);
    assert_eq!(jar.header(), "", "nothing is kept");
    assert_eq!(login.live_refresh_tokens(), 0, "the newest one is revoked");
}
