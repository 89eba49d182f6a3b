//! A login provider: `OpenID` Connect with the authorization code flow and PKCE, over TLS on this machine. Its ID
//! tokens are what an API server with its `--oidc-...` flags takes.

mod grants;
mod pages;
#[cfg(test)]
mod tests;
mod wire;

use std::{collections::HashMap, net::TcpListener as StdListener, path::Path, sync::Arc, thread};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};
use tokio_rustls::TlsAcceptor;

use self::grants::Grants;
use crate::{forge::SigningKey, issuer::now, self_signed::SelfSigned, workdir::write_private};

/// The client that is registered: the portal.
pub const CLIENT_ID: &str = "portal";
/// Its secret.
pub const CLIENT_SECRET: &str = "a secret of the client";
/// The lifetime of ID tokens in seconds, unless a test wants another.
const LIFETIME: i64 = 3600;

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The subject, and the user name that the API server sees.
    pub name: String,
    /// The groups in the token.
    pub groups: Vec<String>,
}

impl Person {
    /// A person with groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() }
    }
}

/// A running provider. It ends when it is dropped.
///
/// It does not belong to a tokio runtime, so a `static` one can serve all tests of a binary.
pub struct LoginProvider {
    /// The issuer.
    pub url: String,
    /// Its certificate, which is self-signed.
    pub ca_pem: String,
    /// The hash of its public key, by which a browser can be told to trust it.
    pub public_key_hash: String,
    shared: Arc<Shared>,
    _end: oneshot::Sender<()>,
}

/// State that connections share.
struct Shared {
    url: String,
    key: SigningKey,
    people: Vec<Person>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    grants: Grants,
    redirects: Vec<String>,
    lifetime: i64,
    /// Lifetimes for some people.
    lifetimes: HashMap<String, i64>,
    /// Bytes that make ID tokens longer.
    padding: usize,
    is_down: bool,
    /// Renewals bring no ID token and no refresh token.
    is_sparing: bool,
    /// The issuer that discovery names, where it is another.
    named: Option<String>,
}

impl LoginProvider {
    /// Starts one for these people.
    pub fn start(people: &[Person]) -> Result<Self> {
        let SelfSigned { ca_pem, public_key, acceptor } = SelfSigned::make()?;
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
        let state = Mutex::new(State { lifetime: LIFETIME, ..State::default() });
        let signing = SigningKey::new("login-1", "RSA");
        let shared = Arc::new(Shared { url: url.clone(), key: signing, people: people.to_vec(), state });
        let end = serve_apart(listener, acceptor, Arc::clone(&shared))?;
        let public_key_hash = BASE64_STANDARD.encode(digest(&SHA256, &public_key));
        Ok(Self { url, ca_pem, public_key_hash, shared, _end: end })
    }

    /// The flags with which an API server takes its ID tokens. `directory` gets its certificate.
    pub fn apiserver_args(&self, directory: &Path) -> Result<Vec<String>> {
        let ca = directory.join("login-ca.crt");
        write_private(&ca, &self.ca_pem)?;
        Ok(vec![
            format!("--oidc-issuer-url={}", self.url),
            format!("--oidc-client-id={CLIENT_ID}"),
            format!("--oidc-ca-file={}", ca.display()),
            "--oidc-username-claim=preferred_username".to_owned(),
            "--oidc-username-prefix=-".to_owned(),
            "--oidc-groups-claim=groups".to_owned(),
        ])
    }

    /// Registers where people may be sent back to, after login and after logout.
    pub fn register(&self, redirect: &str) {
        self.shared.state.lock().redirects.push(redirect.to_owned());
    }

    /// Makes ID tokens from now on live that long.
    pub fn tokens_live(&self, seconds: i64) {
        self.shared.state.lock().lifetime = seconds;
    }

    /// Makes ID tokens of one person from now on live that long.
    pub fn tokens_of_live(&self, name: &str, seconds: i64) {
        self.shared.state.lock().lifetimes.insert(name.to_owned(), seconds);
    }

    /// Makes ID tokens longer from now on, as many groups do.
    pub fn pads_tokens(&self, bytes: usize) {
        self.shared.state.lock().padding = bytes;
    }

    /// Answers 503 to everything, or does not any more.
    pub fn is_down(&self, is_down: bool) {
        self.shared.state.lock().is_down = is_down;
    }

    /// Answers renewals without an ID token and without a refresh token, as `OpenID` Connect lets it.
    pub fn is_sparing(&self, is_sparing: bool) {
        self.shared.state.lock().is_sparing = is_sparing;
    }

    /// Names this issuer in discovery from now on.
    pub fn names_itself(&self, issuer: &str) {
        self.shared.state.lock().named = Some(issuer.to_owned());
    }

    /// An ID token of somebody, as a script has it that signed in by other means.
    ///
    /// # Panics
    /// Where nobody has that name.
    pub fn token(&self, name: &str) -> String {
        let person = self.shared.person(name).expect("a person of this provider");
        self.shared.id_token(person, None)
    }

    /// Logs a person in. Returns where the browser is sent at the end, with a code or an error.
    pub fn consent(&self, authorize: &str, name: &str) -> Result<String> {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        self.visit(&format!("{authorize}&login_as={name}"))
    }

    /// Visits the provider without a login. Returns the answer to the browser.
    pub fn visit(&self, authorize: &str) -> Result<String> {
        let target = authorize.strip_prefix(&self.url).context("this is another provider's")?;
        let request = format!("GET {target} HTTP/1.1\r\nhost: login\r\n\r\n");
        let request = wire::Request::read(&request).context("no request")?;
        let answer = pages::answer(&self.shared, &request);
        let to = answer.headers.trim().strip_prefix("location: ").map(str::to_owned);
        to.with_context(|| format!("the provider refuses: {}", answer.body))
    }

    /// A token that is signed by the provider and says what a test wants it to say.
    pub fn forged(&self, claims: &Value) -> String {
        self.shared.key.token("RS256", claims)
    }

    /// The refresh tokens that still work.
    pub fn live_refresh_tokens(&self) -> usize {
        self.shared.state.lock().grants.live()
    }

    /// Takes all refresh tokens back, as an administrator does.
    pub fn revoke_all(&self) {
        self.shared.state.lock().grants.revoke_all();
    }

    /// Number of refresh tokens that were revoked at the revocation endpoint.
    pub fn revocations(&self) -> usize {
        self.shared.state.lock().grants.revoked()
    }
}

/// Serves on a thread of its own, until the other end is dropped.
fn serve_apart(
    listener: StdListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
) -> Result<oneshot::Sender<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (end, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = wire::serve(listener, acceptor, shared) => {}
                _ = ended => {}
            }
        });
    });
    Ok(end)
}

impl Shared {
    fn person(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.name == name)
    }

    fn id_token(&self, person: &Person, nonce: Option<&str>) -> String {
        let (lifetime, padding) = {
            let state = self.state.lock();
            (state.lifetimes.get(&person.name).copied().unwrap_or(state.lifetime), state.padding)
        };
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "sub": person.name, "iat": now(), "exp": now() + lifetime,
            "preferred_username": person.name, "name": person.name, "groups": person.groups,
            "email": format!("{}@example.com", person.name), "email_verified": true,
        });
        if padding > 0 {
            claims["padding"] = json!("x".repeat(padding));
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        self.key.token("RS256", &claims)
    }
}
