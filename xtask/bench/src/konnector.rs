//! The figures of the konnector. A new one is an entry in [`MEASURES`] and a function.

mod bind;
mod bulk;
mod lab;
mod many;
mod neighbours;
mod raw;
mod real_crds;
mod sync;

use std::pin::Pin;

use anyhow::Result;

use self::lab::Lab;
use super::{
    Choice,
    figure::{
        Figure, Kind,
        Promise::{AtMost, Below},
        Value,
    },
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

/// Measures some figures at once. The values are in the order of the kinds.
struct Measure {
    /// The word of `--only` for all of them.
    group: &'static str,
    kinds: &'static [Kind],
    run: Run,
}

/// The cluster state that a measure runs on.
#[derive(Clone, Copy)]
enum Run {
    /// On a pair of clusters that it shares with others.
    Shared(for<'a> fn(&'a Lab) -> Measuring<'a>),
    /// On clusters of its own: memory at its peak, for instance, is that of the whole life of a process.
    Alone(for<'a> fn(&'a Display, &'a Binaries) -> Measuring<'a>),
}

type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Vec<Value>>> + 'a>>;

/// In the order in which they are run: idle memory is that of a konnector which has not worked yet.
const MEASURES: &[Measure] = &[
    Measure {
        group: "idle",
        kinds: &[Kind {
            name: "idle_rss_mb",
            unit: "MB",
            promise: Some(Below(25.0)),
            what: "resident memory after 30 s of rest with one binding",
        }],
        run: Run::Shared(|lab| Box::pin(bind::idle_rss(lab))),
    },
    Measure {
        group: "bundle",
        kinds: &[Kind {
            name: "bundle_to_crd_ms",
            unit: "ms",
            promise: Some(Below(270.0)),
            what: "from creating a bundle to the Established CRD, median of 5; yardstick: from creating a CRD of that \
                   size on the consumer to its being Established",
        }],
        run: Run::Shared(|lab| Box::pin(bind::bundle_to_crd(lab))),
    },
    Measure {
        group: "spec",
        kinds: &[
            Kind {
                name: "spec_p50_ms",
                unit: "ms",
                promise: Some(Below(10.0)),
                what: "from sending a change of an object to its copy's watch event; yardstick: from sending a change \
                       to the provider to its own watch event there",
            },
            Kind {
                name: "spec_p99_ms",
                unit: "ms",
                promise: Some(Below(60.0)),
                what: "the same, 99 of 100 are faster",
            },
        ],
        run: Run::Shared(|lab| Box::pin(sync::spec(lab))),
    },
    Measure {
        group: "create_200",
        kinds: &[Kind {
            name: "create_200_s",
            unit: "s",
            promise: Some(Below(3.0)),
            what: "200 objects of 1 KB, 20 creates at a time, until all copies are there; median of 3; yardstick: the \
                   same creates sent straight to the provider",
        }],
        run: Run::Shared(|lab| Box::pin(sync::create_200(lab))),
    },
    Measure {
        group: "status",
        kinds: &[
            Kind {
                name: "status_p50_ms",
                unit: "ms",
                promise: Some(Below(10.0)),
                what: "from sending a copy's status to its origin's watch event; yardstick: from sending a status to \
                       the consumer to its own watch event there",
            },
            Kind {
                name: "status_p99_ms",
                unit: "ms",
                promise: Some(Below(60.0)),
                what: "the same, 99 of 100 are faster",
            },
        ],
        run: Run::Shared(|lab| Box::pin(sync::status(lab))),
    },
    Measure {
        group: "bulk",
        kinds: &[
            Kind {
                name: "create_1000_s",
                unit: "s",
                promise: Some(Below(6.0)),
                what: "1,000 objects of 1 KB at once, until all copies are there; yardstick: the same creates sent \
                       straight to the provider",
            },
            Kind {
                name: "status_1000_s",
                unit: "s",
                promise: Some(Below(6.0)),
                what: "1,000 statuses written on the provider, until all are on the consumer; yardstick: as many \
                       written there where nobody carries them on",
            },
            Kind {
                name: "writes_per_object",
                unit: "writes",
                promise: Some(AtMost(3.0)),
                what: "writes of ours on both sides for a new object, from the audit logs",
            },
            Kind {
                name: "writes_at_rest",
                unit: "writes",
                promise: Some(AtMost(0.0)),
                what: "the same in 60 s in which nobody else does anything",
            },
        ],
        run: Run::Shared(|lab| Box::pin(bulk::thousand(lab))),
    },
    Measure {
        group: "export",
        kinds: &[Kind {
            name: "export_to_crd_ms",
            unit: "ms",
            promise: Some(Below(500.0)),
            what: "from labelling a CRD on the provider to the Established CRD on a consumer with a bundle, median of \
                   5; yardstick: from creating a CRD of that size on the consumer to its being Established",
        }],
        run: Run::Shared(|lab| Box::pin(bind::export_to_crd(lab))),
    },
    Measure {
        group: "ten_exports",
        kinds: &[
            Kind {
                name: "ten_exports_rss_mb",
                unit: "MB",
                promise: Some(Below(60.0)),
                what: "resident memory with 10 exports of 1,000 objects each in sync",
            },
            Kind {
                name: "restart_s",
                unit: "s",
                promise: Some(Below(5.0)),
                what: "from starting a konnector with those until it knows all 10,000, has none to look at, and has carried \
                       100 changes over; yardstick: listing all of them on both sides",
            },
            Kind {
                name: "restart_writes",
                unit: "writes",
                promise: Some(AtMost(0.0)),
                what: "what it wrote after that start beside those changes",
            },
        ],
        run: Run::Shared(|lab| Box::pin(many::ten_exports(lab))),
    },
    Measure {
        group: "neighbours",
        kinds: &[Kind {
            name: "neighbours_over_alone",
            unit: "x",
            promise: Some(AtMost(1.2)),
            what: "time until 45 bundles are Ready beside five whose provider never answers, over that without these; \
                   medians of five each, in turns",
        }],
        run: Run::Shared(|lab| Box::pin(neighbours::over_alone(lab))),
    },
    Measure {
        group: "real_crds",
        kinds: &[
            Kind {
                name: "real_crds_rss_mb",
                unit: "MB",
                promise: Some(AtMost(60.0)),
                what: "resident memory of the konnector 30 s after 40 CRDs of 22 MB of YAML were bound",
            },
            Kind {
                name: "real_crds_peak_mb",
                unit: "MB",
                promise: Some(AtMost(150.0)),
                what: "the most that was ever resident of it",
            },
            Kind {
                name: "provider_real_crds_rss_mb",
                unit: "MB",
                promise: Some(AtMost(40.0)),
                what: "resident memory of the provider process then",
            },
            Kind {
                name: "provider_real_crds_peak_mb",
                unit: "MB",
                promise: Some(AtMost(150.0)),
                what: "the most that was ever resident of it",
            },
            Kind {
                name: "real_crds_bind_s",
                unit: "s",
                promise: Some(AtMost(60.0)),
                what: "from labelling the 40 until every binding is Ready; yardstick: creating them on the provider, \
                       until all are Established",
            },
            Kind {
                name: "real_crds_cpu_s",
                unit: "s",
                promise: Some(AtMost(5.0)),
                what: "processor time of konnector and provider from the labelling on",
            },
        ],
        run: Run::Alone(|display, binaries| Box::pin(real_crds::measure(display, binaries))),
    },
];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    MEASURES.iter().map(|measure| (measure.group, measure.kinds)).collect()
}

/// Builds what is measured.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build(&["konnector", "provider"], profile)
}

/// Measures every figure that is wanted: first those on one pair of clusters, then each of the others on its own.
pub(super) async fn measure(
    display: &Display,
    binaries: Binaries,
    choice: &Choice,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let wanted = move || MEASURES.iter().filter(move |measure| choice.any(measure.group, measure.kinds));
    let mut take = |measure: &Measure, values: Vec<Value>| {
        let all = measure.kinds.iter().zip(values);
        let wanted = all.filter(|(kind, _)| choice.wants(measure.group, kind.name));
        figures.extend(wanted.map(|(kind, measured)| Figure { kind, measured }));
    };
    if wanted().any(|measure| matches!(measure.run, Run::Shared(_))) {
        let lab = Box::pin(Lab::start(display, binaries.clone())).await?;
        for measure in wanted() {
            if let Run::Shared(run) = measure.run {
                take(measure, display.run(&names(measure), run(&lab)).await?);
            }
        }
        lab.stop().await;
    }
    for measure in wanted() {
        if let Run::Alone(run) = measure.run {
            take(measure, display.run(&names(measure), run(display, &binaries)).await?);
        }
    }
    Ok(())
}

fn names(measure: &Measure) -> String {
    measure.kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}
