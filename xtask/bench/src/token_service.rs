//! The figures of the token service. Rates are over that of a bare axum handler in the same run, which reads the same
//! questions and answers bytes that never change.

mod exchange;
mod lab;
mod rates;

use anyhow::Result;

use self::lab::Lab;
use super::{
    Choice,
    figure::{
        Figure, Kind,
        Promise::{AtLeast, AtMost, Below},
        Value,
    },
};
use crate::{
    display::Display,
    services::{Binaries, Profile},
};

const MEMORY: &[Kind] = &[
    Kind {
        name: "rss_mb",
        unit: "MB",
        promise: Some(Below(20.0)),
        what: "resident memory with 100 clusters, before the first question",
    },
    Kind {
        name: "rss_10000_tokens_mb",
        unit: "MB",
        promise: Some(Below(40.0)),
        what: "the same with 10,000 live tokens in the cache",
    },
    Kind {
        name: "outbound_per_1000_valid",
        unit: "",
        promise: Some(AtMost(0.0)),
        what: "requests to issuers for 1,000 valid tokens of 50 clusters whose keys are there",
    },
];

const RATES: &[Kind] = &[
    Kind {
        name: "known_ratio",
        unit: "x",
        promise: Some(AtLeast(0.65)),
        what: "rate of 100 known tokens over that of a bare axum handler, 32 connections, plain HTTP/1.1, median \
               of 3",
    },
    Kind {
        name: "new_ratio",
        unit: "x",
        promise: Some(AtLeast(0.30)),
        what: "the same where every token is new (RS256)",
    },
    Kind {
        name: "junk_ratio",
        unit: "x",
        promise: Some(AtLeast(0.80)),
        what: "the same for bearer texts that are no tokens, in equal parts: without dots, with bad base64, with \
               bad JSON, without an algorithm, with HS256, and with another algorithm than the key's",
    },
    Kind {
        name: "known_p99_ms",
        unit: "ms",
        promise: Some(AtMost(3.0)),
        what: "99 of 100 answers about known tokens are faster, under that load; yardstick: those of the bare \
               handler",
    },
];

const EXCHANGE: &[Kind] = &[
    Kind {
        name: "exchange_over_tokenrequest",
        unit: "x",
        promise: Some(AtMost(1.3)),
        what: "median of an exchange over that of a bare TokenRequest at the same API server, 8 connections, in \
               turns",
    },
    Kind {
        name: "exchange_p99_ms",
        unit: "ms",
        promise: Some(Below(60.0)),
        what: "99 of 100 exchanges are faster, under that load; yardstick: those of the bare TokenRequests",
    },
];

/// All figures by group.
pub(super) fn groups() -> Vec<(&'static str, &'static [Kind])> {
    vec![("memory", MEMORY), ("rates", RATES), ("exchange", EXCHANGE)]
}

/// Builds what is measured, the yardstick, and what makes the load.
pub(super) fn build(profile: Profile) -> Result<Binaries> {
    Binaries::build_with_examples(&["token-service", "token-exchange"], profile)
}

/// Measures every figure that is wanted: reviews on one service with 100 clusters, exchanges on another.
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
    let (memory, rates) = (choice.any("memory", MEMORY), choice.any("rates", RATES));
    if memory || rates {
        let lab = display.run("100 issuers and the service", Lab::start(binaries)).await?;
        if memory {
            take("memory", MEMORY, display.run("memory, outbound requests", rates::memory(&lab)).await?);
        }
        if rates {
            take("rates", RATES, display.run("rates", rates::rates(&lab)).await?);
        }
    }
    if choice.any("exchange", EXCHANGE) {
        take("exchange", EXCHANGE, display.run("exchanges", exchange::exchanges(binaries)).await?);
    }
    Ok(())
}
