//! What must never get through: scripts in fields, other people's things, paths, names of the system.

use futures::future::join_all;
use serde_json::json;

use crate::{
    login::sign_in,
    scene::{PEOPLE, Stage},
    site::{Caller, Site},
};

/// What would run if a page or an answer took it for markup.
const SCRIPTS: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "</script><svg onload=alert(1)>",
];

#[tokio::test]
async fn answers_are_never_taken_for_pages() {
    let stage = Stage::shared().await;
    let place = stage.toystore("xss").await;
    let owner = stage.portal.by(&stage.login, "owner1");
    for (index, script) in SCRIPTS.into_iter().enumerate() {
        let more = json!({"displayName": script, "description": script, "version": script, "tags": [script],
            "documentation": {"docsURL": script, "openAPISpecURL": script}, "contact": {"team": script, "email": script, "slack": script, "url": script}});
        let made = owner.post("/api/kuadrant/apiproducts", &place.product(&format!("p{index}"), &more)).await;
        assert!([201, 400, 422].contains(&made.status), "{} {}", made.status, made.text);
    }
    let alice = stage.portal.by(&stage.login, "alice");
    let quoted = "/api/kuadrant/apiproducts/xss/%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in [
        "/api/kuadrant/apiproducts?namespace=xss",
        "/api/catalog/entities",
        quoted,
        "/api/kuadrant/apiproducts?sort=%3Cscript%3E",
    ] {
        let answer = alice.get(path).await;
        let kind = answer.values("content-type")[0].to_owned();
        assert!(
            kind.starts_with("application/json") || kind.starts_with("application/problem+json"),
            "{path}: {kind}"
        );
        assert_eq!(answer.values("x-content-type-options"), ["nosniff"], "{path}");
    }
}

#[tokio::test]
async fn pages_run_their_own_scripts_only() {
    let stage = Stage::shared().await;
    for path in ["/", "/products", "/keys", "/approvals", "/products/a/b"] {
        let page = stage.portal.with("accept: text/html\r\n").get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let policy = page.values("content-security-policy").join(";");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        for never in ["unsafe-inline", "unsafe-eval", "http:", "https:", "*"] {
            assert!(!policy.contains(never), "{never}: {policy}");
        }
        assert_eq!(page.values("x-content-type-options"), ["nosniff"]);
        assert_eq!(page.values("referrer-policy").len(), 1, "{}", page.head);
        assert_eq!(page.values("strict-transport-security").len(), 1, "{}", page.head);
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
    let odd = stage.portal.with("accept: text/html\r\n").get("/products/%3Cscript%3E/x").await;
    assert!(!odd.text.contains("<script>"), "{}", odd.text);
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let stage = Stage::shared().await;
    let place = stage.toystore("paths").await;
    place.publish("owner1", "toys", &json!({})).await;
    let admin = stage.portal.by(&stage.login, "admin1");
    for path in [
        "/api/kuadrant/apiproducts/paths/..%2f..%2fsecrets%2fx",
        "/api/kuadrant/apiproducts/..%2fkube-system/toys",
        "/api/kuadrant/apiproducts/paths/toys%3Ffoo",
        "/api/kuadrant/apiproducts/paths/toys%2Fstatus",
        "/api/kuadrant/apiproducts/paths%00/toys",
        "/api/kuadrant/requests/paths/..%2f..%2f..%2fapi%2fv1%2fsecrets/secret",
        "/api/kuadrant/requests/paths/%2e%2e/secret",
        "/api/kuadrant/planpolicies/paths/..%2f..%2fx",
        "/api/kuadrant/apiproducts/%ff/x",
        "/api/kuadrant/requests/paths/%ff/secret",
    ] {
        for (method, body) in
            [("GET", None), ("DELETE", None), ("PATCH", Some(json!({"spec": {"displayName": "x"}})))]
        {
            let answer = admin.send(method, path, body.as_ref()).await;
            assert!(
                [400, 404, 405].contains(&answer.status),
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
            Caller::is_problem(&answer, answer.status);
        }
    }
    for path in
        ["/assets/../../etc/passwd", "/assets/..%2f..%2fetc%2fpasswd", "/assets/%2e%2e/%2e%2e/etc/passwd"]
    {
        let answer = stage.portal.with("").get(path).await;
        assert!(!answer.text.contains("root:"), "{path}");
    }
    Caller::is_problem(&stage.portal.with("").get("/assets/%ff").await, 400);
    assert_eq!(admin.get("/api/kuadrant/apiproducts/paths/toys").await.status, 200);
}

#[tokio::test]
async fn nobody_speaks_for_somebody_else() {
    let stage = Stage::shared().await;
    let alice = stage.portal.by(&stage.login, "alice");
    for header in
        ["impersonate-user: system:admin", "impersonate-user: admin1", "impersonate-group: system:masters"]
    {
        let answer = stage.portal.with(&format!("{}{header}\r\n", alice.headers)).get("/api/me").await;
        assert!(answer.status >= 400 || answer.json()["user"] == "alice", "{header}: {}", answer.text);
        let groups = answer.json()["groups"].to_string();
        assert!(!groups.contains("system:masters"), "{header}: {groups}");
    }
    for header in [
        "authorization: Basic YWxpY2U6eA==",
        "authorization: Bearer",
        "x-remote-user: admin1",
        "x-forwarded-user: admin1",
    ] {
        assert_eq!(stage.portal.with(&format!("{header}\r\n")).get("/api/me").await.status, 401, "{header}");
    }
}

#[tokio::test]
async fn demo_people_are_for_this_machine_only() {
    let stage = Stage::shared().await;
    let home = portolan_testkit::workdir::Workdir::new("portal-demo").unwrap();
    let file = home.write_private("people.yaml", "").unwrap();
    let flag = format!("--demo-users={}", file.display());
    let mut command = std::process::Command::new(portolan_testkit::service::program::find("portal").unwrap());
    command.args(["--address=0.0.0.0:0", "--plain-http", &flag]).env_clear();
    command.env("KUBECONFIG", home.write_private("kubeconfig", &stage.kubeconfig).unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--demo-users") && said.contains("127.0.0.1"), "{said}");
}

#[tokio::test]
async fn guesses_and_reveals_are_rationed() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rations").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    place.revealed("alice", &key).await;
    let site =
        Site::start(&stage.kubeconfig, Some(&stage.login), &["--max-reveals=2", "--max-unknown-tokens=5"])
            .await;
    let alice = site.by(&stage.login, "alice");
    let mut told = Vec::new();
    for _ in 0..20 {
        told.push(alice.get(&place.path(&key, "secret")).await.status);
    }
    assert!(told.contains(&200) && told.contains(&429), "{told:?}");
    // A key that is not there is refused like one of somebody else, and both are counted.
    let bob = site.by(&stage.login, "bob");
    Caller::is_problem(&bob.get(&place.path("guess", "secret")).await, 403);
    let metrics = site.service.admin_get("/metrics").await.unwrap().1;
    assert!(metrics.contains("portolan_portal_reveals_total{result=\"refused\"} 1"), "{metrics}");
    let mut guessed = Vec::new();
    for guess in 0..40 {
        guessed.push(site.bearer(&format!("guess-{guess}")).get("/api/me").await.status);
    }
    assert!(guessed.contains(&401) && guessed.contains(&429), "{guessed:?}");
    for path in ["/login?next=/", "/callback?code=guess&state=guess"] {
        let mut told = Vec::new();
        for _ in 0..20 {
            told.push(site.with("").get(path).await.status);
        }
        assert!(told.contains(&429), "{path}: {told:?}");
    }
    let many = site.bearer("another guess").get("/api/me").await;
    if many.status == 429 {
        Caller::is_problem(&many, 429);
    }
}

#[tokio::test]
async fn sessions_behind_one_address_are_no_guesses() {
    let stage = Stage::shared().await;
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &["--max-unknown-tokens=1"]).await;
    let mut jars = Vec::new();
    for (person, _) in PEOPLE {
        jars.push(sign_in(&stage.login, &site, person, "/").await.0.header());
    }
    let asked = jars.iter().map(async |jar| site.with(jar).get("/api/me").await.status);
    assert_eq!(join_all(asked).await, vec![200; PEOPLE.len()]);
}
