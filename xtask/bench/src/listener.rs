//! The figures of the listener: how soon documents are there, what a change costs, and what many clusters take.

pub mod lab;
mod measures;

use anyhow::Result;

use self::lab::Lab;
use super::{
    Choice,
    figure::{Figure, Kind, Promise::Below, Value},
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

const ONE: &[Kind] = &[
    Kind {
        name: "access_to_document_ms",
        unit: "ms",
        promise: Some(Below(500.0)),
        what: "from creating a ClusterAccess until its document is there, where the OpenAPI of the API server has \
               been read before, median of 5; yardstick: the first one, which has the API server make it",
    },
    Kind {
        name: "crd_to_document_ms",
        unit: "ms",
        promise: Some(Below(2_000.0)),
        what: "from creating a CRD in the target until it is in the document, median of 5; yardstick: until the API \
               server says that it is established",
    },
    Kind {
        name: "refresh_cpu_ms",
        unit: "ms",
        promise: Some(Below(100.0)),
        what: "processor time of the listener for one new CRD, of 5",
    },
    Kind {
        name: "stream_lag_ms",
        unit: "ms",
        promise: Some(Below(50.0)),
        what: "from a label of a ClusterAccess that the API server has taken until its event is at a gateway, median \
               of 10",
    },
    Kind {
        name: "new_crd_bytes",
        unit: "bytes",
        promise: None,
        what: "what a gateway gets for a new CRD: the event and the parts that it does not have; yardstick: the event \
               and all parts",
    },
];

const FIFTY: &[Kind] = &[Kind {
    name: "fifty_clusters_rss_mb",
    unit: "MB",
    promise: Some(Below(150.0)),
    what: "resident memory with 50 clusters (one API server behind 50 relays), each with one CRD of its own; \
           yardstick: the most that was ever resident",
}];

const REAL: &[Kind] = &[
    Kind {
        name: "real_crds_rss_mb",
        unit: "MB",
        promise: Some(Below(80.0)),
        what: "resident memory with a cluster that has 40 CRDs of real size, once it is at rest",
    },
    Kind {
        name: "real_crds_peak_mb",
        unit: "MB",
        promise: Some(Below(200.0)),
        what: "the most that was ever resident of it",
    },
];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    vec![("one_cluster", ONE), ("fifty_clusters", FIFTY), ("real_crds", REAL)]
}

/// Builds what is measured.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build(&["listener"], profile)
}

/// Measures every figure that is wanted, each group on clusters of its own.
pub(super) async fn measure(
    display: &Display,
    binaries: &Binaries,
    choice: &Choice,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let mut take = |group: &str, kinds: &'static [Kind], values: Vec<Value>| {
        let wanted = kinds.iter().zip(values).filter(|(kind, _)| choice.wants(group, kind.name));
        figures.extend(wanted.map(|(kind, measured)| Figure { kind, measured }));
    };
    if choice.any("one_cluster", ONE) {
        let lab = display.run("a cluster and a listener", Lab::start(binaries)).await?;
        take("one_cluster", ONE, display.run("documents, CRDs, events", measures::one(&lab)).await?);
    }
    if choice.any("fifty_clusters", FIFTY) {
        let lab = display.run("a cluster and a listener", Lab::start(binaries)).await?;
        take("fifty_clusters", FIFTY, display.run("50 clusters", measures::fifty(&lab)).await?);
    }
    if choice.any("real_crds", REAL) {
        let lab = display.run("a cluster and a listener", Lab::start(binaries)).await?;
        take("real_crds", REAL, display.run("40 CRDs of real size", measures::real(&lab)).await?);
    }
    Ok(())
}
