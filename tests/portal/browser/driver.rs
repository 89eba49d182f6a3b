//! What people do with the pages of the portal.

use serde_json::{Value, json};

use super::chromium::{self, Browser, Pages};
use crate::site::Site;

/// Runs a test in a browser of its own. False where there is none.
pub(crate) async fn browse(name: &str, site: &Site, test: impl AsyncFnOnce(&Browser)) -> bool {
    let origin = format!("http://127.0.0.1:{}", site.port);
    let flags = ["--window-size=1280,900".to_owned()];
    chromium::browse(name, &Pages { origin: &origin, flags: &flags, refusals: &[] }, test).await
}

impl Browser {
    /// Opens a page as one of the people for demonstrations, whoever was there before.
    pub(crate) async fn open_as(&self, person: &str, path: &str) {
        self.client.goto(&format!("{}/login?next={path}", self.origin)).await.unwrap();
        self.value(&format!("document.querySelector('button[value={person}]').click()")).await;
        self.until(&format!("location.pathname + location.search === '{path}'")).await;
        self.until("performance.getEntriesByName('portal:ready').length > 0").await;
    }

    /// Waits until the page shows a text.
    pub(crate) async fn shows(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    /// What axe-core has against the page, up to level AA of WCAG 2.2.
    pub(crate) async fn barriers(&self, axe: &str) -> Value {
        let run = "const done = arguments[arguments.length - 1]; \
                   const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']; \
                   axe.run(document, {runOnly: tags}).then((found) => done(found.violations.map(({id, nodes}) => \
                   ({id, nodes: nodes.map(({target, html}) => [target, html.slice(0, 200)])}))))";
        self.client.execute(axe, Vec::new()).await.unwrap();
        self.client.execute_async(run, Vec::new()).await.unwrap()
    }
}
