//! What people do with the pages of the portal.

use fantoccini::{
    actions::{InputSource as _, KeyAction, KeyActions},
    key::Key,
    wd::WindowHandle,
};
use portolan_testkit::eventually;
use serde_json::{Value, json};

use super::chromium::{self, Browser, Pages};
use crate::{scene::SOON, site::Site};

pub const THEMES: [&str; 2] = ["light", "dark"];

/// Runs a test in a browser of its own. False where there is none.
pub async fn browse(name: &str, site: &Site, test: impl AsyncFnOnce(&Browser)) -> bool {
    browse_with(name, site, (&[], &[]), test).await
}

/// The same with flags of the browser, and with what its console may say of refusals.
pub async fn browse_with(
    name: &str,
    site: &Site,
    (more, refusals): (&[&str], &[&'static str]),
    test: impl AsyncFnOnce(&Browser),
) -> bool {
    let origin = format!("http://127.0.0.1:{}", site.port);
    let flags = ["--window-size=1280,900"].iter().chain(more);
    let flags: Vec<_> = flags.map(|&flag| flag.to_owned()).collect();
    chromium::browse(name, &Pages { origin: &origin, flags: &flags, refusals }, test).await
}

impl Browser {
    /// Opens a page as one of the people for demonstrations, whoever was there before.
    pub async fn open_as(&self, person: &str, path: &str) {
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        self.client.goto(&format!("{}/login?next={next}", self.origin)).await.unwrap();
        self.value(&format!("document.querySelector('button[value={person}]').click()")).await;
        self.until(&format!("location.pathname + location.search + location.hash === {}", json!(path))).await;
        self.until("performance.getEntriesByName('portal:ready').length > 0").await;
    }

    /// Goes on in the window that a link has opened beside this one.
    pub async fn opens_another_window(&self, this: &WindowHandle) {
        let look = async || {
            let windows = self.client.windows().await.unwrap();
            windows.into_iter().find(|window| window != this)
        };
        let other = eventually("a window opens", SOON, look).await.unwrap();
        self.client.switch_to_window(other).await.unwrap();
    }

    /// Chooses a theme.
    pub async fn theme(&self, theme: &str) {
        let root = "document.documentElement.dataset.theme";
        if self.value(root).await != theme {
            self.click("button", "Switch to the").await;
        }
        self.until(&format!("{root} === '{theme}'")).await;
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// Waits until the page does not show a text any more.
    pub async fn hides(&self, text: &str) {
        self.until(&format!("!document.body.innerText.includes({})", json!(text))).await;
    }

    /// Writes into the field with a label that begins like this, once it is there.
    pub async fn fill(&self, label: &str, text: &str) {
        let find = field(label);
        self.until(&format!("!!{find}")).await;
        let write = format!(
            "((field) => {{ field.value = {}; \
             field.dispatchEvent(new InputEvent('input', {{bubbles: true}})); }})({find})",
            json!(text)
        );
        self.value(&write).await;
    }

    /// Chooses from the list with a label that begins like this, once it is there.
    pub async fn choose(&self, label: &str, value: &str) {
        let find = field(label);
        self.until(&format!("{find}?.tagName === 'SELECT'")).await;
        let choose = format!(
            "((list) => {{ list.value = {}; list.dispatchEvent(new Event('change', {{bubbles: true}})); }})({find})",
            json!(value)
        );
        self.value(&choose).await;
    }

    /// Presses Enter in the field of a dialog with a label that begins like this: that sends nothing.
    pub async fn enters_in_vain(&self, label: &str) {
        let button = "document.querySelector('dialog button[type=submit]')?.innerText";
        let before = self.value(button).await;
        self.value(&format!("{}.focus()", field(label))).await;
        let value = char::from(Key::Enter);
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = keys.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        self.client.perform_actions(keys).await.unwrap();
        assert_eq!(self.value(button).await, before, "{label}: the dialog was sent");
    }

    /// Puts the focus on something as the keyboard would, and presses it.
    pub async fn press(&self, selector: &str, label: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find((one) => (one.getAttribute('aria-label') ?? \
             one.innerText).trim().startsWith({}))",
            json!(selector),
            json!(label)
        );
        self.until(&format!("{find} !== undefined")).await;
        self.value(&format!("((one) => {{ one.focus(); one.click(); }})({find})")).await;
    }

    /// Waits until what has the focus has a label that begins like this.
    pub async fn focuses(&self, label: &str) {
        let focused = "document.activeElement";
        let text = format!("({focused}?.getAttribute('aria-label') ?? {focused}?.innerText ?? '')");
        self.until(&format!("{focused} !== document.body && {text}.trim().startsWith({})", json!(label)))
            .await;
    }

    /// What axe-core has against the page, up to level AA of WCAG 2.2.
    pub async fn barriers(&self, axe: &str) -> Value {
        let run = "const done = arguments[arguments.length - 1]; \
                   const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']; \
                   axe.run(document, {runOnly: tags}).then((found) => done(found.violations.map(({id, nodes}) => \
                   ({id, nodes: nodes.map(({target, html}) => [target, html.slice(0, 200)])}))))";
        self.client.execute(axe, Vec::new()).await.unwrap();
        self.client.execute_async(run, Vec::new()).await.unwrap()
    }
}

/// The field with a label that begins like this.
fn field(label: &str) -> String {
    format!(
        "[...document.querySelectorAll('label')].find((one) => one.innerText.trim().startsWith({}))?.control",
        json!(label)
    )
}
