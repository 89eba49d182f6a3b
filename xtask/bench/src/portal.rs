//! The figures of the portal, with 1,000 published products and 5,000 keys: its pages in a browser, its lists, and the
//! documents of products.

// The suites that open pages have the same file.
#[path = "../../../tests/browser/chromium.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for tests, which do more with pages")]
mod chromium;
mod documents;
mod lab;
mod lists;
mod pages;

use anyhow::Result;

use self::lab::Lab;
use super::{
    Choice,
    figure::{
        Figure, Kind,
        Promise::{AtMost, Below},
    },
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

const PAGES: &[Kind] = &[
    Kind {
        name: "first_paint_ms",
        unit: "ms",
        promise: Some(Below(300.0)),
        what: "from the start of the navigation to the catalog until the first paint, in a Chromium with nothing in its \
               cache, median of 5; yardstick: the same for the page of the login, which has no script",
    },
    Kind {
        name: "interactive_ms",
        unit: "ms",
        promise: Some(Below(1_000.0)),
        what: "until the first products are drawn and the search takes a key, median of the same 5; yardstick: their \
               first paint",
    },
    Kind {
        name: "script_kb",
        unit: "KB",
        promise: Some(Below(120.0)),
        what: "script that was loaded until then, compressed as it travels; yardstick: unpacked",
    },
];

const LISTS: &[Kind] = &[
    Kind {
        name: "list_p99_ms",
        unit: "ms",
        promise: Some(Below(30.0)),
        what: "a page of the catalog, of a search, of the approval queue or of somebody's own keys, 99 of 100 are \
               faster, of 4,000 over 2 connections; yardstick: the API server's list of all products",
    },
    Kind {
        name: "stale_lists",
        unit: "lists",
        promise: Some(AtMost(0.0)),
        what: "lists right after a create, a change or a delete of a product that do not show it, of 300",
    },
];

const DOCUMENTS: &[Kind] = &[Kind {
    name: "openapi_document_ms",
    unit: "ms",
    promise: Some(Below(500.0)),
    what: "from asking for the index of an OpenAPI document of 3.5 MB that was never read before until one of its \
           operations is there, too, median of 5; yardstick: reading its ConfigMap from the API server",
}];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    vec![("pages", PAGES), ("lists", LISTS), ("documents", DOCUMENTS)]
}

/// Builds what is measured, and the controller that fills the products' statuses.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build(&["portal", "devportal"], profile)
}

/// Measures every figure that is wanted, all with the same portal.
pub(super) async fn measure(
    display: &Display,
    binaries: &Binaries,
    choice: &Choice,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let lab = display.run("1,000 products, 5,000 keys, a portal", Box::pin(Lab::start(binaries))).await?;
    for (group, kinds) in groups() {
        if !choice.any(group, kinds) {
            continue;
        }
        let values = match group {
            "pages" => display.run("the catalog in a browser", pages::open(&lab)).await?,
            "lists" => display.run("lists, and products that come and go", lists::read(&lab)).await?,
            _ => display.run("documents of 3.5 MB", documents::read(&lab)).await?,
        };
        let wanted = kinds.iter().zip(values).filter(|(kind, _)| choice.wants(group, kind.name));
        figures.extend(wanted.map(|(kind, measured)| Figure { kind, measured }));
    }
    Ok(())
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
