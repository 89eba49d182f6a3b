//! A portal, and requests to it as scripts and browsers send them.

use portolan_testkit::{
    ServiceOptions, ServiceProcess,
    login::{CLIENT_ID, CLIENT_SECRET, LoginProvider},
    ports::free_port,
    raw::{self, RawAnswer},
    workdir::Workdir,
};
use serde_json::Value;

/// Where the portal believes that browsers see it: something in front of it terminates TLS.
pub const ORIGIN: &str = "https://portal.test";
/// A key for sessions, of 32 bytes.
pub const SESSION_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A running portal.
pub struct Site {
    pub port: u16,
    pub service: ServiceProcess,
    _home: Workdir,
}

impl Site {
    /// Starts one with these flags besides the usual ones.
    pub async fn start(kubeconfig: &str, login: Option<&LoginProvider>, more: &[&str]) -> Self {
        let home = Workdir::new("portal-files").unwrap();
        let port = free_port().unwrap();
        let mut flags = vec![format!("--address=127.0.0.1:{port}"), "--plain-http".to_owned()];
        if let Some(login) = login {
            login.register(&format!("{ORIGIN}/callback"));
            login.register(&format!("{ORIGIN}/"));
            flags.extend(login_flags(login, &home));
            if !more.iter().any(|flag| flag.starts_with("--session-key-file")) {
                let file = home.write_private("session.key", SESSION_KEY).unwrap();
                flags.push(format!("--session-key-file={}", file.display()));
            }
        }
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        for (name, value) in [("--max-reveals", "=1000"), ("--max-unknown-tokens", "=1000")] {
            if !flags.iter().any(|flag| flag.starts_with(name)) {
                flags.push(format!("{name}{value}"));
            }
        }
        let service = ServiceProcess::start(ServiceOptions::new("portal", kubeconfig).args(flags)).await;
        Self { port, service: service.unwrap(), _home: home }
    }

    /// Somebody who shows an ID token.
    pub fn by(&self, login: &LoginProvider, name: &str) -> Caller<'_> {
        self.bearer(&login.token(name))
    }

    pub fn bearer(&self, token: &str) -> Caller<'_> {
        Caller { site: self, headers: format!("authorization: Bearer {token}\r\n") }
    }

    /// Somebody who sends these header lines, or nobody in particular.
    pub fn with(&self, headers: &str) -> Caller<'_> {
        Caller { site: self, headers: headers.to_owned() }
    }
}

fn login_flags(login: &LoginProvider, home: &Workdir) -> Vec<String> {
    let secret = home.write_private("client-secret", CLIENT_SECRET).unwrap();
    let ca = home.write_private("login-ca.crt", &login.ca_pem).unwrap();
    vec![
        format!("--external-url={ORIGIN}"),
        format!("--oidc-issuer={}", login.url),
        format!("--oidc-client-id={CLIENT_ID}"),
        format!("--oidc-client-secret-file={}", secret.display()),
        format!("--oidc-ca-file={}", ca.display()),
    ]
}

/// Somebody who sends requests.
pub struct Caller<'a> {
    site: &'a Site,
    pub headers: String,
}

impl Caller<'_> {
    pub async fn get(&self, path: &str) -> RawAnswer {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> RawAnswer {
        self.send("POST", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> RawAnswer {
        self.send("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> RawAnswer {
        self.send("DELETE", path, None).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> RawAnswer {
        let kind = if body.is_some() { "content-type: application/json\r\n" } else { "" };
        let headers = format!("host: portal.test\r\n{}{kind}", self.headers);
        let body = body.map(Value::to_string).unwrap_or_default();
        let line = format!("{method} {path}");
        let mut answer = raw::http(self.site.port, &line, &headers, body.as_bytes()).await.unwrap();
        if answer.values("transfer-encoding") == ["chunked"] {
            answer.text = joined(&answer.text);
        }
        answer
    }

    /// Sends a form.
    pub async fn form(&self, path: &str, form: &str) -> RawAnswer {
        let kind = "content-type: application/x-www-form-urlencoded\r\n";
        let headers = format!("host: portal.test\r\n{}{kind}", self.headers);
        raw::http(self.site.port, &format!("POST {path}"), &headers, form.as_bytes()).await.unwrap()
    }

    /// The names in a list, in its order.
    pub async fn names(&self, path: &str) -> Vec<String> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts that a request is refused as a problem.
    pub fn is_problem(answer: &RawAnswer, status: u16) {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.values("content-type"), ["application/problem+json"], "{}", answer.text);
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["error"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
}

/// A body that came in chunks.
fn joined(chunks: &str) -> String {
    let (mut text, mut rest) = (String::new(), chunks);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        text.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    text
}
