//! The figures of the token service. Rates are over that of a bare axum handler in the same run.

mod exchange;
mod lab;
mod rates;

use anyhow::Result;

use self::lab::Lab;
use super::figure::{
    Figure, Kind,
    Promise::{AtLeast, AtMost, Below},
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

const MEMORY: [Kind; 3] = [
    Kind {
        name: "rss_mb",
        unit: "MB",
        yardstick: Some(38.0),
        promise: Some(Below(20.0)),
        what: "resident memory with 100 clusters, before the first question; yardstick: the Go original at rest",
    },
    Kind {
        name: "rss_10000_tokens_mb",
        unit: "MB",
        yardstick: Some(38.0),
        promise: Some(Below(40.0)),
        what: "the same with 10,000 live tokens in the cache",
    },
    Kind {
        name: "outbound_per_1000_valid",
        unit: "",
        yardstick: None,
        promise: Some(AtMost(0.0)),
        what: "requests to issuers for 1,000 valid tokens of 50 clusters whose keys are there",
    },
];

const RATES: [Kind; 4] = [
    Kind {
        name: "known_ratio",
        unit: "x",
        yardstick: Some(0.14),
        promise: Some(AtLeast(0.65)),
        what: "rate of 100 known tokens over that of a bare axum handler, 32 connections, plain HTTP/1.1, median \
               of 3; yardstick: the same ratio of the Go original",
    },
    Kind {
        name: "new_ratio",
        unit: "x",
        yardstick: None,
        promise: Some(AtLeast(0.30)),
        what: "the same where every token is new (RS256)",
    },
    Kind {
        name: "junk_ratio",
        unit: "x",
        yardstick: None,
        promise: Some(AtLeast(0.80)),
        what: "the same for bearer texts that are no tokens",
    },
    Kind {
        name: "known_p99_ms",
        unit: "ms",
        yardstick: Some(33.0),
        promise: Some(AtMost(3.0)),
        what: "99 of 100 answers about known tokens are faster, under that load; yardstick: the Go original",
    },
];

const EXCHANGE: [Kind; 2] = [
    Kind {
        name: "exchange_over_tokenrequest",
        unit: "x",
        yardstick: Some(4.5),
        promise: Some(AtMost(1.3)),
        what: "median of an exchange over that of a bare TokenRequest at the same API server, 8 connections, in \
               turns; yardstick: the same ratio of the Go original",
    },
    Kind {
        name: "exchange_p99_ms",
        unit: "ms",
        yardstick: None,
        promise: Some(Below(60.0)),
        what: "99 of 100 exchanges are faster, under that load",
    },
];

/// The names of all figures.
pub(super) fn names() -> Vec<&'static str> {
    MEMORY.iter().chain(&RATES).chain(&EXCHANGE).map(|kind| kind.name).collect()
}

/// Builds what is measured, the yardstick, and what makes the load.
pub(super) fn build() -> Result<Binaries> {
    Binaries::build_with_examples("token-service", Profile::Release)
}

/// Measures every figure that is wanted: reviews on one service with 100 clusters, exchanges on another.
pub(super) async fn measure(
    display: &Display,
    binaries: &Binaries,
    wanted: &impl Fn(&str) -> bool,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |kinds: &'static [Kind], values: &[f64]| {
        figures.extend(kinds.iter().zip(values).map(|(kind, &value)| Figure { kind, value }));
    };
    let any = |kinds: &[Kind]| kinds.iter().any(|kind| wanted(kind.name));
    if any(&MEMORY) || any(&RATES) {
        let lab = display.run("100 issuers and the service", Lab::start(binaries)).await?;
        if any(&MEMORY) {
            add(&MEMORY, &display.run("memory, outbound requests", rates::memory(&lab)).await?);
        }
        if any(&RATES) {
            add(&RATES, &display.run("rates", rates::rates(&lab)).await?);
        }
    }
    if any(&EXCHANGE) {
        add(&EXCHANGE, &display.run("exchanges", exchange::exchanges(binaries)).await?);
    }
    Ok(figures)
}
