//! The catalog in a browser that has never seen it.

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};

use super::{
    chromium::{self, ABSENCE, Browser, Pages},
    lab::{CONSUMER, Lab},
    median,
};
use crate::figure::Value;

const ROUNDS: usize = 5;
/// A page without scripts and styles, from where somebody can log in.
const BARE: &str = "/assets/licenses.txt";
/// A login that leads back to that page, as the form of the login does it.
const LOGIN: &str = "const form = document.createElement('form'); \
    [form.method, form.action] = ['post', '/login']; \
    for (const [name, value] of Object.entries({user: arguments[0], next: arguments[1]})) { \
        form.append(Object.assign(document.createElement('input'), {name, value})); \
    } \
    document.documentElement.append(form); form.submit();";
const IS_BACK: &str = "performance.getEntriesByType('navigation')[0]?.redirectCount === 1";
const FIRST_PAINT: &str = "(performance.getEntriesByName('first-paint')[0]?.startTime ?? null)";
const READY: &str = "performance.getEntriesByName('portal:ready')[0].startTime";
const SCRIPTS: &str = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('.js'))";

/// What one visit took.
#[derive(Default)]
struct Visit {
    paint: f64,
    ready: f64,
    script: f64,
    unpacked: f64,
}

/// First paint, readiness and scripts.
pub(super) async fn open(lab: &Lab) -> Result<Vec<Value>> {
    let (mut visits, mut logins) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        visits.push(visit(lab).await?);
        logins.push(login(lab).await?);
    }
    let middle = |of: fn(&Visit) -> f64| median(visits.iter().map(of).collect());
    let paint = middle(|visit| visit.paint);
    Ok(vec![
        Value::beside(paint, median(logins)),
        Value::beside(middle(|visit| visit.ready), paint),
        Value::beside(middle(|visit| visit.script), middle(|visit| visit.unpacked)),
    ])
}

async fn visit(lab: &Lab) -> Result<Visit> {
    let mut visit = Visit::default();
    browse(lab, async |browser| {
        browser.client.goto(&format!("{}{BARE}", browser.origin)).await?;
        browser.client.execute(LOGIN, vec![json!(CONSUMER), json!(BARE)]).await?;
        browser.until(IS_BACK).await;
        browser.client.goto(&browser.origin).await?;
        browser.until("performance.getEntriesByName('portal:ready').length > 0").await;
        browser.until("document.querySelectorAll('.api-card').length === 24").await;
        let sum = |size: &str| format!("{SCRIPTS}.reduce((sum, one) => sum + one.{size}, 0) / 1000");
        visit = Visit {
            paint: number(browser, FIRST_PAINT).await?,
            ready: number(browser, READY).await?,
            script: number(browser, &sum("encodedBodySize")).await?,
            unpacked: number(browser, &sum("decodedBodySize")).await?,
        };
        Ok(())
    })
    .await?;
    Ok(visit)
}

/// The first paint of the page of the login.
async fn login(lab: &Lab) -> Result<f64> {
    let mut paint = 0.0;
    browse(lab, async |browser| {
        // The first navigation of a browser is slower than any other.
        browser.client.goto(&format!("{}{BARE}", browser.origin)).await?;
        browser.client.goto(&format!("{}/login", browser.origin)).await?;
        browser.until(&format!("{FIRST_PAINT} !== null")).await;
        paint = number(browser, FIRST_PAINT).await?;
        Ok(())
    })
    .await?;
    Ok(paint)
}

/// Runs something in a browser of its own.
async fn browse(lab: &Lab, run: impl AsyncFnOnce(&Browser) -> Result<()>) -> Result<()> {
    let (origin, flags) = (lab.origin(), ["--window-size=1280,900".to_owned()]);
    let pages = Pages { origin: &origin, flags: &flags, refusals: &[] };
    let mut done = Ok(());
    let ran = chromium::browse("portal-bench", &pages, async |browser| done = run(browser).await).await;
    ensure!(ran, ABSENCE);
    done
}

async fn number(browser: &Browser, expression: &str) -> Result<f64> {
    let found = browser.value(expression).await;
    let number = found.as_f64().filter(|number| *number > 0.0);
    number.ok_or_else(|| anyhow::anyhow!("{expression} is {}", Json::to_string(&found)))
}
