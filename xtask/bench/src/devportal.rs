//! The figures of the devportal controller, with 1,000 products over 200 routes and 5,000 keys in one namespace.

mod access;
mod changes;
pub mod lab;
pub mod starts;
mod toystores;

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

/// The name of the only group: each figure is one of the same cluster.
const GROUP: &str = "portal";

const PORTAL: &[Kind] = &[
    Kind {
        name: "settle_5000_s",
        unit: "s",
        promise: Some(Below(40.0)),
        what: "from the start of a controller over 1,000 products and 5,000 keys without any status until it has \
               nothing to do, all products are Ready and all keys have their Secret; yardstick: creating the keys, 20 \
               at a time",
    },
    Kind {
        name: "settle_writes",
        unit: "writes",
        promise: None,
        what: "what it wrote meanwhile; yardstick: the number of products and keys",
    },
    Kind {
        name: "rss_mb",
        unit: "MB",
        promise: Some(Below(80.0)),
        what: "resident memory then, once it is at rest; yardstick: the most that was ever resident",
    },
    Kind {
        name: "authz_slowdown",
        unit: "x",
        promise: Some(AtMost(1.1)),
        what: "time of a get of a Secret by its requester among all keys, over that in a namespace without keys, in \
               turns; medians of 10 requesters with 100 gets each; yardstick: the latter in ms",
    },
    Kind {
        name: "plan_change_ms",
        unit: "ms",
        promise: Some(Below(500.0)),
        what: "from sending a change of a PlanPolicy until the last of its 5 products has it, the slowest of 10; no \
               other product is written; yardstick: until a watch of the API server has the change itself",
    },
    Kind {
        name: "restart_s",
        unit: "s",
        promise: Some(Below(5.0)),
        what: "from the start of a controller where nothing has changed until it has looked at everything; yardstick: \
               listing products and keys",
    },
    Kind {
        name: "restart_writes",
        unit: "writes",
        promise: Some(AtMost(0.0)),
        what: "what it wrote from that start on, in 10 s, besides its Lease",
    },
    Kind {
        name: "approve_p99_ms",
        unit: "ms",
        promise: Some(Below(100.0)),
        what: "from sending an approval until a watch has the Secret, 99 of 100 are faster, of 200; yardstick: until a \
               watch has the approval itself",
    },
];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    vec![(GROUP, PORTAL)]
}

/// Builds what is measured.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build(&["devportal"], profile)
}

/// Measures everything, one figure after another on the same cluster.
pub(super) async fn measure(
    display: &Display,
    binaries: &Binaries,
    choice: &Choice,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let lab = display.run("a cluster with routes and policies", Box::pin(Lab::start(binaries))).await?;
    let created = display.run("1,000 products and 5,000 keys", lab.fill()).await?;
    let (controller, [settled, written, memory]) =
        display.run("everything for the first time", starts::first(&lab, created)).await?;
    let slowdown = display.run("gets of Secrets among 5,000", access::slowdown(&lab)).await?;
    let changed = display.run("changes of plans", changes::plans(&lab)).await?;
    let (controller, [restart, writes]) =
        display.run("everything once more", starts::again(&lab, controller)).await?;
    let approved = display.run("approvals", changes::approvals(&lab)).await?;
    drop(controller);
    let values = [settled, written, memory, slowdown, changed, restart, writes, approved];
    let wanted = PORTAL.iter().zip(values).filter(|(kind, _)| choice.wants(GROUP, kind.name));
    figures.extend(wanted.map(|(kind, measured)| Figure { kind, measured }));
    Ok(())
}
