//! Takes steps, one after the other: people's work, and faults that last for some steps of others.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use portolan_testkit::audit::Mark;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    faults::Open,
    findings::{Findings, Name},
    history::Place,
    record::{Record, is_late, late_writes, written},
    steps::{Side, Step, choose},
    world::{Service, World},
};
use crate::display::Display;

/// Limit for both sides to agree once nothing is broken any more.
pub(super) const AGREE_WITHIN: Duration = Duration::from_secs(120);
/// Limit for waiting on a difference that can only get worse.
const SURE_AFTER: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time without writes before quiet begins: longer than a restarted process keeps the conditions of its predecessor, and than
/// a write backs off that an absent API server has refused some times.
const SETTLED: Duration = Duration::from_secs(12);
/// Limit for quiet to begin.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// Limit on concurrent faults.
const AT_ONCE: usize = 2;

pub(super) struct Driver<'a> {
    pub(super) world: &'a mut World,
    pub(super) rng: StdRng,
    /// The objects that users have on the consumer, as far as they remember.
    pub(super) known: BTreeSet<Place>,
    pub(super) record: Record,
    /// Faults that last.
    pub(super) open: Vec<Open>,
    /// The steps so far, with their times.
    pub(super) trace: Vec<String>,
    pub(super) taken: usize,
    steps: Vec<Step>,
    started: Instant,
}

impl<'a> Driver<'a> {
    pub(super) fn new(world: &'a mut World, seed: u64, steps: Vec<Step>) -> Self {
        Self {
            world,
            rng: StdRng::seed_from_u64(seed),
            known: BTreeSet::new(),
            record: Record::default(),
            open: Vec::new(),
            trace: Vec::new(),
            taken: 0,
            steps,
            started: Instant::now(),
        }
    }

    /// Takes steps for a while and repairs what is broken at the end of it.
    pub(super) async fn work(&mut self, length: Duration, display: &Display) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.step(display).await?;
            let pause = self.rng.random_range(10..120);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Box::pin(self.mend_everything()).await
    }

    /// Waits until both sides agree, and gives what is wrong all the same.
    pub(super) async fn settle(&mut self) -> Result<Findings> {
        let (started, mut worse_since) = (Instant::now(), None);
        loop {
            self.keep_alive().await?;
            let is_over = started.elapsed() > AGREE_WITHIN;
            match Box::pin(self.record.judge(self.world)).await {
                Ok(findings) if findings.is_empty() => {
                    self.record.no_more_excuses();
                    return Ok(findings);
                }
                Ok(findings) => {
                    if findings.iter().any(|finding| finding.name != Name::Differ) {
                        worse_since = worse_since.or_else(|| Some(Instant::now()));
                    }
                    let is_sure = worse_since.is_some_and(|since| since.elapsed() > SURE_AFTER);
                    if is_over {
                        return Ok(findings);
                    }
                    // What differs may still be under way.
                    if is_sure {
                        return Ok(findings.without(Name::Differ));
                    }
                }
                // An API server that is back answers a moment later.
                Err(error) if is_over => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Finds writes of our processes though there is nothing left to do.
    pub(super) async fn quiet(&mut self, length: Duration) -> Result<Findings> {
        let started = Instant::now();
        let mut marks = self.marks()?;
        // What follows from the last steps may still be under way.
        loop {
            tokio::time::sleep(SETTLED).await;
            let is_quiet = !written(self.world, marks)?.iter().any(|(_, entry)| is_late(entry));
            marks = self.marks()?;
            if is_quiet || started.elapsed() > QUIET_WITHIN {
                break;
            }
        }
        tokio::time::sleep(length).await;
        Ok(late_writes(&written(self.world, marks)?))
    }

    fn marks(&self) -> Result<[Mark; 2]> {
        let of = |side| self.world.plane(side).audit().mark();
        Ok([of(Side::Consumer)?, of(Side::Provider)?])
    }

    async fn step(&mut self, display: &Display) -> Result<()> {
        self.keep_alive().await?;
        Box::pin(self.mend_what_is_due()).await?;
        let possible: Vec<_> = self.steps.iter().copied().filter(|step| self.can(*step)).collect();
        let Some(step) = choose(&mut self.rng, &possible) else { return Ok(()) };
        let name = step.about().name;
        display.detail(name);
        let done =
            if step.is_fault() { Box::pin(self.breaks(step)).await } else { Box::pin(self.act(step)).await };
        if let Some(what) = done.with_context(|| format!("the step {name}"))? {
            self.taken += 1;
            self.note(format_args!("{name}: {what}"));
        }
        Ok(())
    }

    pub(super) fn note(&mut self, what: impl std::fmt::Display) {
        self.trace.push(format!("[{:>6.2}s] {what}", self.started.elapsed().as_secs_f64()));
    }

    pub(super) fn is_up(&self, side: Side) -> bool {
        !self.open.iter().any(|open| open.is_away(side))
    }

    fn can(&self, step: Step) -> bool {
        if !self.is_up(step.about().needs) {
            return false;
        }
        // The provider's own people are refused as well.
        if step.writes_copies() && self.open.iter().any(|open| open.is_of(Step::Webhook)) {
            return false;
        }
        // What was stored in a newer version than a backup knows could not be shared any more.
        if matches!(step, Step::Version | Step::Schema)
            && self.open.iter().any(|open| open.is_of(Step::Restore))
        {
            return false;
        }
        !step.is_fault() || (self.open.len() < AT_ONCE && !self.open.iter().any(|open| open.is_of(step)))
    }

    /// Restarts processes that have ended, as a kubelet does.
    async fn keep_alive(&mut self) -> Result<()> {
        for (service, side) in [(Service::Konnector, Side::Consumer), (Service::Provider, Side::Provider)] {
            let has_ended = self.world.process(service).exited().is_some();
            let is_killed = self.open.iter().any(|open| open.is_kill_of(service));
            if has_ended && !is_killed && self.is_up(side) {
                self.world.revive(service).await?;
                self.note(format_args!("{service:?} had ended and is started again"));
            }
        }
        Ok(())
    }
}
