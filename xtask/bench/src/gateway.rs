//! The figures of the gateway: what a query costs beside the calls that it makes, what clusters take, and how soon a
//! change is with everybody who follows it.

mod documents;
mod fanout;
mod fleet;
mod lab;
mod large;
mod memory;
mod reads;
mod relations;
mod siblings;

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

const READS: &[Kind] = &[
    Kind {
        name: "get_through_us",
        unit: "us",
        promise: Some(AtMost(200.0)),
        what: "processor time of the gateway for the name and data of one ConfigMap of 0.7 KB, over 8 connections, \
               median of 3 rounds; yardstick: that of the API server when it is asked directly",
    },
    Kind {
        name: "names_through_us",
        unit: "us",
        promise: Some(AtMost(4_000.0)),
        what: "the same for the names of 1,000 of them; yardstick: the API server's list of their metadata",
    },
    Kind {
        name: "full_through_us",
        unit: "us",
        promise: Some(AtMost(7_000.0)),
        what: "the same for the names and data of all; yardstick: the API server's list",
    },
];

const MEMORY: &[Kind] = &[
    Kind {
        name: "get_memory_us",
        unit: "us",
        promise: Some(AtMost(60.0)),
        what: "processor time of the gateway for the name and data of one ConfigMap of 0.7 KB from memory, over 8 \
               connections, median of 3 rounds; yardstick: the same one through, in turns with it",
    },
    Kind {
        name: "names_memory_us",
        unit: "us",
        promise: Some(AtMost(200.0)),
        what: "the same for the names of 1,000 of them",
    },
    Kind {
        name: "full_memory_us",
        unit: "us",
        promise: Some(AtMost(2_500.0)),
        what: "the same for the names and data of all",
    },
];

const OVERHEAD: &[Kind] = &[Kind {
    name: "cache_overhead",
    unit: "x",
    promise: Some(AtMost(1.3)),
    what: "resident memory for 20,000 more ConfigMaps of 0.7 KB, where as many are kept already, over their JSON without \
           managed fields",
}];

const WRONG: &[Kind] = &[Kind {
    name: "wrong_answers",
    unit: "count",
    promise: Some(AtMost(0.0)),
    what: "answers older than they say, or to somebody who was refused for ten seconds, while objects and rights change \
           and the API server is silent and ends; yardstick: all answers from memory meanwhile",
}];

const EIGHT: &[Kind] = &[Kind {
    name: "eight_over_slowest",
    unit: "x",
    promise: Some(AtMost(1.3)),
    what: "time of a query with eight small lists over that of the slowest of them alone, where each answer of the API \
           server comes 20 ms later, medians of 20; yardstick: all of them one after another over the slowest",
}];

const FLEET: &[Kind] = &[Kind {
    name: "fleet_50_over_slowest",
    unit: "x",
    promise: Some(AtMost(1.3)),
    what: "time of a query to 50 clusters over that of the slowest of them alone, where each answer of an API server \
           comes 200 ms later (one API server behind 50 relays), medians of 3; yardstick: all of them one after \
           another over the slowest",
}];

const RELATIONS: &[Kind] = &[Kind {
    name: "relations_us",
    unit: "us",
    promise: None,
    what: "processor time of the gateway for the names of 1,000 ConfigMaps, each with the name of its owner, one of 100 \
           others, over 8 connections, median of 3 rounds; yardstick: the same list with data and without owners",
}];

const STOCK: &[Kind] = &[
    Kind {
        name: "cold_start_ms",
        unit: "ms",
        promise: Some(Below(200.0)),
        what: "from the document of a stock cluster in the directory of a gateway without any until it answers, median \
               of 5",
    },
    Kind {
        name: "idle_rss_mb",
        unit: "MB",
        promise: Some(Below(40.0)),
        what: "resident memory with it, once it is at rest, median of 5; yardstick: the most that was ever resident",
    },
];

const FIFTY: &[Kind] = &[Kind {
    name: "fifty_clusters_rss_mb",
    unit: "MB",
    promise: Some(Below(300.0)),
    what: "resident memory with 50 stock clusters, each with one CRD of its own; yardstick: the most that was ever \
           resident",
}];

const FANOUT: &[Kind] = &[
    Kind {
        name: "event_fanout_500_ms",
        unit: "ms",
        promise: Some(AtMost(50.0)),
        what: "from sending a change of an object until the last of 500 subscribers who share one watch has it, \
               median of 20; yardstick: until one watch of the API server itself has it",
    },
    Kind {
        name: "event_fanout_500_worst_ms",
        unit: "ms",
        promise: None,
        what: "the slowest of these 20; yardstick: the slowest at the API server's own watch",
    },
    Kind {
        name: "subscriber_kb",
        unit: "KB",
        promise: Some(Below(20.0)),
        what: "resident memory of each subscriber, of 500 on plain HTTP",
    },
];

const LARGE: &[Kind] = &[
    Kind {
        name: "list_peak_mb",
        unit: "MB",
        promise: Some(AtMost(16.0)),
        what: "the most that was resident while a list of 100 MB was answered, above what is at rest; yardstick: the \
               size of the answer",
    },
    Kind {
        name: "list_s",
        unit: "s",
        promise: None,
        what: "how long that took; yardstick: the API server asked directly",
    },
];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    vec![
        ("reads", READS),
        ("memory", MEMORY),
        ("cache_overhead", OVERHEAD),
        ("eight", EIGHT),
        ("fleet", FLEET),
        ("relations", RELATIONS),
        ("stock", STOCK),
        ("fifty_clusters", FIFTY),
        ("fanout", FANOUT),
        ("wrong_answers", WRONG),
        // It leaves ConfigMaps that no memory has room for.
        ("large_list", LARGE),
    ]
}

/// Builds what is measured, and the listener that makes its documents.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build(&["gateway", "listener"], profile)
}

/// Measures every figure that is wanted, each group with gateways of its own.
pub(super) async fn measure(
    display: &Display,
    binaries: &Binaries,
    choice: &Choice,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let lab =
        display.run("a cluster, and a listener's document of it", Box::pin(Lab::start(binaries))).await?;
    for (group, kinds) in groups() {
        if !choice.any(group, kinds) {
            continue;
        }
        let values = match group {
            "reads" => display.run("reads of one, of names and in full", reads::through(&lab)).await?,
            "memory" => display.run("reads from memory", memory::reads(&lab)).await?,
            "cache_overhead" => display.run("40,000 objects in memory", memory::overhead(&lab)).await?,
            "wrong_answers" => display.run("answers while everything changes", memory::wrong(&lab)).await?,
            "eight" => display.run("eight lists at once", siblings::eight(&lab)).await?,
            "fleet" => display.run("50 clusters at once", fleet::fifty(&lab)).await?,
            "relations" => display.run("1,000 objects and their owners", relations::followed(&lab)).await?,
            "stock" => display.run("one document", documents::one(&lab)).await?,
            "fifty_clusters" => display.run("50 documents", documents::fifty(&lab)).await?,
            "fanout" => display.run("500 subscribers", fanout::events(&lab)).await?,
            _ => display.run("a list of 100 MB", large::list(&lab)).await?,
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
