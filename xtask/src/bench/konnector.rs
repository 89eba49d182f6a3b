//! The figures of the konnector. A new one is an entry in [`MEASURES`] and a function.

mod bind;
mod bulk;
mod lab;
mod many;
mod neighbours;
mod sync;

use std::pin::Pin;

use anyhow::Result;

use self::lab::Lab;
use super::figure::{
    Figure, Kind,
    Promise::{AtMost, Below},
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

/// Measures some figures at once. The values are in the order of the kinds.
struct Measure {
    kinds: &'static [Kind],
    run: for<'a> fn(&'a Lab) -> Measuring<'a>,
}

type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Vec<f64>>> + 'a>>;

/// In the order in which they are run: idle memory is that of a konnector which has not worked yet.
const MEASURES: &[Measure] = &[
    Measure {
        kinds: &[Kind {
            name: "idle_rss_mb",
            unit: "MB",
            yardstick: Some(72.0),
            promise: Some(Below(25.0)),
            what: "resident memory after 30 s of rest with one binding; yardstick: the Go original",
        }],
        run: |lab| Box::pin(bind::idle_rss(lab)),
    },
    Measure {
        kinds: &[Kind {
            name: "bundle_to_crd_ms",
            unit: "ms",
            yardstick: Some(273.0),
            promise: Some(Below(270.0)),
            what: "from creating a bundle to the Established CRD, median of 5; yardstick: the Go original",
        }],
        run: |lab| Box::pin(bind::bundle_to_crd(lab)),
    },
    Measure {
        kinds: &[
            Kind {
                name: "spec_p50_ms",
                unit: "ms",
                yardstick: Some(10.0),
                promise: Some(Below(10.0)),
                what: "from sending a change of an object to its copy's watch event; yardstick: the promise",
            },
            Kind {
                name: "spec_p99_ms",
                unit: "ms",
                yardstick: Some(60.0),
                promise: Some(Below(60.0)),
                what: "the same, 99 of 100 are faster; yardstick: the promise",
            },
        ],
        run: |lab| Box::pin(sync::spec(lab)),
    },
    Measure {
        kinds: &[
            Kind {
                name: "create_200_s",
                unit: "s",
                yardstick: Some(38.3),
                promise: Some(Below(3.0)),
                what: "200 objects of 1 KB, 20 creates at a time, until all copies are there; median of 3; \
                       yardstick: the Go original",
            },
            Kind {
                name: "bare_create_200_s",
                unit: "s",
                yardstick: None,
                promise: None,
                what: "the same 200 creates sent straight to the provider: what the API server needs here",
            },
        ],
        run: |lab| Box::pin(sync::create_200(lab)),
    },
    Measure {
        kinds: &[
            Kind {
                name: "status_p50_ms",
                unit: "ms",
                yardstick: Some(10.0),
                promise: Some(Below(10.0)),
                what: "from sending a copy's status to its origin's watch event; yardstick: the promise",
            },
            Kind {
                name: "status_p99_ms",
                unit: "ms",
                yardstick: Some(60.0),
                promise: Some(Below(60.0)),
                what: "the same, 99 of 100 are faster; yardstick: the promise",
            },
        ],
        run: |lab| Box::pin(sync::status(lab)),
    },
    Measure {
        kinds: &[
            Kind {
                name: "create_1000_s",
                unit: "s",
                yardstick: Some(6.0),
                promise: Some(Below(6.0)),
                what: "1,000 objects of 1 KB at once, until all copies are there; yardstick: the promise",
            },
            Kind {
                name: "status_1000_s",
                unit: "s",
                yardstick: Some(6.0),
                promise: Some(Below(6.0)),
                what: "1,000 statuses written on the provider, until all are on the consumer; yardstick: the promise",
            },
            Kind {
                name: "writes_per_object",
                unit: "writes",
                yardstick: Some(3.0),
                promise: Some(AtMost(3.0)),
                what: "writes of ours on both sides for a new object, from the audit logs; yardstick: the promise",
            },
            Kind {
                name: "writes_at_rest",
                unit: "writes",
                yardstick: None,
                promise: Some(AtMost(0.0)),
                what: "the same in 60 s in which nobody else does anything",
            },
        ],
        run: |lab| Box::pin(bulk::thousand(lab)),
    },
    Measure {
        kinds: &[Kind {
            name: "export_to_crd_ms",
            unit: "ms",
            yardstick: Some(500.0),
            promise: Some(Below(500.0)),
            what: "from labelling a CRD on the provider to the Established CRD on a consumer with a bundle, median \
                   of 5; yardstick: the promise",
        }],
        run: |lab| Box::pin(bind::export_to_crd(lab)),
    },
    Measure {
        kinds: &[
            Kind {
                name: "ten_exports_rss_mb",
                unit: "MB",
                yardstick: Some(60.0),
                promise: Some(Below(60.0)),
                what: "resident memory with 10 exports of 1,000 objects each in sync; yardstick: the promise",
            },
            Kind {
                name: "restart_s",
                unit: "s",
                yardstick: Some(5.0),
                promise: Some(Below(5.0)),
                what: "from starting a konnector with those until it has found one change in each; yardstick: the \
                       promise",
            },
            Kind {
                name: "restart_writes",
                unit: "writes",
                yardstick: None,
                promise: Some(AtMost(0.0)),
                what: "what it wrote after that start beside those changes",
            },
        ],
        run: |lab| Box::pin(many::ten_exports(lab)),
    },
    Measure {
        kinds: &[Kind {
            name: "neighbours_over_alone",
            unit: "",
            yardstick: Some(1.2),
            promise: Some(AtMost(1.2)),
            what: "time until 45 bundles are Ready beside five whose provider never answers, over that without \
                   these; yardstick: the promise",
        }],
        run: |lab| Box::pin(neighbours::over_alone(lab)),
    },
];

/// The names of all figures.
pub(super) fn names() -> Vec<&'static str> {
    MEASURES.iter().flat_map(|measure| measure.kinds).map(|kind| kind.name).collect()
}

/// Builds what is measured.
pub(super) fn build() -> Result<Binaries> {
    Binaries::build(&["konnector", "provider"], Profile::Release)
}

/// Measures every figure that is wanted, on one pair of clusters.
pub(super) async fn measure(
    display: &Display,
    binaries: Binaries,
    wanted: &impl Fn(&str) -> bool,
) -> Result<Vec<Figure>> {
    let lab = Box::pin(Lab::start(display, binaries)).await?;
    let mut figures = Vec::new();
    for measure in MEASURES.iter().filter(|measure| measure.kinds.iter().any(|kind| wanted(kind.name))) {
        let names: Vec<_> = measure.kinds.iter().map(|kind| kind.name).collect();
        let values = display.run(&names.join(", "), (measure.run)(&lab)).await?;
        figures.extend(measure.kinds.iter().zip(values).map(|(kind, value)| Figure { kind, value }));
    }
    lab.stop().await;
    Ok(figures)
}
