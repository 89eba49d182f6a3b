//! The gateway behind the TLS that users have, and what they do with its pages.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use fantoccini::{
    actions::{InputSource as _, KeyAction, KeyActions},
    key::Key,
};
use portolan_testkit::workdir::Workdir;
use serde_json::{Value, json};

use super::chromium::{self, Browser, Pages};
use crate::support::{Gateway, World};

/// Number of times that Tab is pressed to reach something.
const MAX_TABS: usize = 60;
/// A refused query, and a token that no cluster takes.
const REFUSALS: [&str; 2] = ["/graphql - Failed to load", "/api/clusters - Failed to load"];

/// A gateway over TLS.
pub struct Site {
    pub gateway: Gateway,
    /// The hash of its public key, by which the browser trusts it.
    key: String,
}

impl Site {
    pub async fn start(name: &str, world: &World) -> Self {
        let home = Workdir::new(&format!("tls-{name}")).unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
        let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap();
        let tls = ["--tls-cert-file", certificate.to_str().unwrap(), "--tls-key-file", key.to_str().unwrap()];
        let gateway = Gateway::start_with(name, &[("a.json", &world.document)], &tls).await;
        let public = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        Self { gateway, key: BASE64_STANDARD.encode(digest(&SHA256, &public)) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.gateway.port)
    }
}

/// Runs a test in a browser of its own that trusts the gateway. False where there is none.
pub async fn browse(name: &str, site: &Site, test: impl AsyncFnOnce(&Browser)) -> bool {
    let flags =
        [format!("--ignore-certificate-errors-spki-list={}", site.key), "--window-size=1440,900".to_owned()];
    let pages = Pages { origin: &site.url(""), flags: &flags, refusals: &REFUSALS };
    chromium::browse(name, &pages, test).await
}

impl Browser {
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until the page shows a text, editors included.
    pub async fn shows(&self, text: &str) {
        let all = "[document.body.innerText, ...[...document.querySelectorAll('.editor')]\
                   .map((one) => one.shadowRoot.querySelector('.cm-content').innerText)].join('\\n')";
        self.until(&format!("({all}).includes({})", json!(text))).await;
    }

    /// Presses keys one after another, while `held` are down.
    pub async fn press(&self, held: &[Key], keys: &[char]) {
        let held = held.iter().map(|key| char::from(*key));
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in held.clone() {
            actions = actions.then(KeyAction::Down { value });
        }
        for &value in keys {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        for value in held.rev() {
            actions = actions.then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    pub async fn tap(&self, key: Key) {
        self.press(&[], &[char::from(key)]).await;
    }

    /// Types a text where the focus is.
    pub async fn write(&self, text: &str) {
        self.press(&[], &text.chars().collect::<Vec<_>>()).await;
    }

    /// Goes on with Tab until an element has the focus, by its label or its text.
    pub async fn tab_to(&self, label: &str) {
        let focused = "(() => { let here = document.activeElement; \
                       while (here?.shadowRoot?.activeElement) here = here.shadowRoot.activeElement; \
                       return here.getAttribute('aria-label') || here.labels?.[0]?.innerText || here.innerText; })()";
        let is_there = |name: &Value| name.as_str().is_some_and(|name| name.trim().starts_with(label));
        let mut passed = vec![self.value(focused).await];
        while !passed.last().is_some_and(is_there) {
            assert!(passed.len() < MAX_TABS, "Tab does not lead to {label}: {passed:?}");
            self.tap(Key::Tab).await;
            passed.push(self.value(focused).await);
        }
    }

    /// Replaces the text of an editor, as somebody who types does.
    pub async fn edit(&self, label: &str, text: &str) {
        let focus = format!(
            "[...document.querySelectorAll('.editor')].map((one) => one.shadowRoot.querySelector('.cm-content'))\
             .find((one) => one.getAttribute('aria-label') === {}).focus()",
            json!(label)
        );
        self.value(&focus).await;
        self.press(&[Key::Control], &['a']).await;
        self.tap(Key::Delete).await;
        self.write(text).await;
    }
}
