//! Memory with few and with many tokens, and rates beside the yardstick.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::lab::{Lab, Report};
use crate::figure::Value;

const LIVE_TOKENS: usize = 10_000;
const NEW_TOKENS: usize = 20_000;
const KNOWN_TOKENS: usize = 100;
const JUNK_TEXTS: usize = 600;
const WARM_CLUSTERS: usize = 50;
const VALID_TOKENS: usize = 1_000;
const REQUESTS: usize = 100_000;
const ROUNDS: usize = 3;
/// After this no verdict is left, and every token is new again.
const FORGOTTEN: Duration = Duration::from_secs(12);

/// Memory at rest and with many tokens, and what valid tokens cost the issuers.
pub(super) async fn memory(lab: &Lab) -> Result<Vec<Value>> {
    let at_rest = lab.service.rss_mb()?;
    let before = lab.outbound();
    for cluster in 0..WARM_CLUSTERS {
        let tokens = VALID_TOKENS / WARM_CLUSTERS;
        let questions = lab.questions(cluster, 0..tokens);
        all_accepted(&lab.ask_about(cluster, &questions).await?, tokens)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let outbound = (lab.outbound() - before) as f64;
    // More than the cache keeps its verdicts for; the last ones are the live ones.
    let questions = lab.questions(0, 0..LIVE_TOKENS);
    all_accepted(&lab.ask(&questions, LIVE_TOKENS).await?, LIVE_TOKENS)?;
    Ok([at_rest, lab.service.rss_mb()?, outbound].map(Value::from).into())
}

/// The median of each ratio over some rounds, and the median of the slowest answers about known tokens, beside that of
/// the yardstick's.
pub(super) async fn rates(lab: &Lab) -> Result<Vec<Value>> {
    let new = lab.questions(0, 100_000..100_000 + NEW_TOKENS);
    let known = &new[..KNOWN_TOKENS];
    let junk = lab.junk(JUNK_TEXTS);
    let mut rounds: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let first = lab.ask_yardstick(known, REQUESTS).await?;
        let known = lab.ask(known, REQUESTS).await?;
        let junk = lab.ask(&junk, REQUESTS).await?;
        let last = lab.ask_yardstick(&new[..KNOWN_TOKENS], REQUESTS).await?;
        sleep(FORGOTTEN.saturating_sub(start.elapsed())).await;
        let new = lab.ask(&new, NEW_TOKENS).await?;
        all_accepted(&known, REQUESTS)?;
        all_accepted(&new, NEW_TOKENS)?;
        ensure!(junk.refused == REQUESTS, "{} of {REQUESTS} junk texts were refused: {junk:?}", junk.refused);
        let yardstick = f64::midpoint(first.per_second(), last.per_second());
        let ratio = |report: &Report| report.per_second() / yardstick;
        let bare_p99_ms = f64::midpoint(first.p99_ms, last.p99_ms);
        let values = [ratio(&known), ratio(&new), ratio(&junk), known.p99_ms, bare_p99_ms];
        rounds.iter_mut().zip(values).for_each(|(round, value)| round.push(value));
    }
    let [known, new, junk, p99_ms, bare_p99_ms] = rounds.map(|mut values| median(&mut values));
    Ok(vec![known.into(), new.into(), junk.into(), Value::beside(p99_ms, bare_p99_ms)])
}

fn all_accepted(report: &Report, total: usize) -> Result<()> {
    ensure!(report.accepted == total, "{} of {total} good tokens were accepted", report.accepted);
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
