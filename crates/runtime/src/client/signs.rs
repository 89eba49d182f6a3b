//! Signs of life of an API server: when bytes last came from it, and what waits for some.

use std::{
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    metrics::{Counters, Metrics},
    readiness::Readiness,
    tasks::Tasks,
};

/// Silence after which a connection that should speak is given up. With [`super::shards`]' pings and short watches, a
/// living one speaks more often.
pub(super) const SILENCE: Duration = Duration::from_secs(35);
/// Time that a request waits before the next ones take another connection.
pub(super) const DOUBT: Duration = Duration::from_secs(3);
/// Silence of an API server after which the process is not ready.
const OUT_OF_CONTACT: Duration = Duration::from_secs(45);
/// Interval at which contact is looked at.
const LOOK: Duration = Duration::from_secs(5);

static LOST: OnceLock<Counters> = OnceLock::new();
/// The cluster that the process runs for.
static OWN: OnceLock<Arc<Server>> = OnceLock::new();
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Counts the lost connections of all clients that are made from now on.
pub(super) fn register(metrics: &Metrics) {
    LOST.get_or_init(|| {
        metrics.counters(
            "api_connections_lost_total",
            "Connections to API servers that were closed because they fell silent, by cluster (own or remote).",
            &["cluster"],
        )
    });
}

/// Makes the process not ready while its own API server does not answer.
pub fn follow_contact(tasks: &Tasks, readiness: &Readiness) {
    let part = readiness.expect("api-server", "it has not been asked yet");
    part.ready();
    tasks.spawn("contact with the API server", async move {
        let mut was_silent = false;
        loop {
            sleep(LOOK).await;
            let silence = OWN.get().and_then(|server| server.out_of_contact());
            match silence {
                Some(silence) => {
                    let seconds = silence.as_secs();
                    part.not_ready(&format!("it has been silent for {seconds} seconds"));
                    if !was_silent {
                        warn!(seconds, "the API server is silent: no change is seen until it answers");
                    }
                }
                None if was_silent => {
                    info!("the API server answers again");
                    part.ready();
                }
                None => {}
            }
            was_silent = silence.is_some();
        }
    });
}

/// A moment that many tasks set and read.
#[derive(Debug, Default)]
pub(super) struct Mark(AtomicU64);

impl Mark {
    pub(super) fn set(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    /// Sets it to another one, unless that is before it.
    fn follow(&self, other: &Self) {
        self.0.fetch_max(other.get(), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_millis(now().saturating_sub(self.get()))
    }
}

/// Milliseconds since the first look at the clock, which is at 1: 0 is before everything.
fn now() -> u64 {
    u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// One API server, as a client sees it.
#[derive(Debug)]
pub(super) struct Server {
    /// `own` or `remote`.
    pub(super) cluster: &'static str,
    /// Set once the connection speaks HTTP/2.
    pub(super) multiplexes: AtomicBool,
    heard: Mark,
    failed: Mark,
    /// When the last connection that is in doubt was asked in vain.
    doubted: Mark,
}

impl Server {
    pub(super) fn new(cluster: &'static str) -> Arc<Self> {
        let (heard, failed, doubted) = (Mark::default(), Mark::default(), Mark::default());
        heard.set();
        let server = Arc::new(Self { cluster, multiplexes: AtomicBool::new(false), heard, failed, doubted });
        if cluster == "own" {
            OWN.get_or_init(|| Arc::clone(&server));
        }
        server
    }

    pub(super) fn failed(&self) {
        self.failed.set();
    }

    /// Time of silence, where that is too long. Who asks nothing hears nothing.
    fn out_of_contact(&self) -> Option<Duration> {
        let silence = self.heard.elapsed();
        (self.failed.get() > self.heard.get() && silence > OUT_OF_CONTACT).then_some(silence)
    }

    /// A connection was given up.
    pub(super) fn lost(&self) {
        self.failed();
        if let Some(lost) = LOST.get() {
            lost.with_label_values(&[self.cluster]).inc();
        }
        warn!(
            cluster = self.cluster,
            seconds = SILENCE.as_secs(),
            "a connection to an API server fell silent: opening another one"
        );
    }
}

/// The connections of a shard: one with HTTP/2, else as many as it has exchanges.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) server: Arc<Server>,
    heard: Mark,
    /// The first request since something was heard.
    asked: Mark,
    unanswered: AtomicUsize,
    exchanges: AtomicUsize,
    used: Mark,
    /// Set once no further request may be sent on the connection.
    doubted: AtomicBool,
}

impl Line {
    pub(super) fn new(server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self {
            server,
            heard: Mark::default(),
            asked: Mark::default(),
            unanswered: AtomicUsize::new(0),
            exchanges: AtomicUsize::new(0),
            used: Mark::default(),
            doubted: AtomicBool::new(false),
        })
    }

    pub(super) fn heard(&self) {
        self.heard.set();
        self.server.heard.set();
    }

    pub(super) fn multiplexes(&self) -> bool {
        self.server.multiplexes.load(Ordering::Relaxed)
    }

    pub(super) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    pub(super) fn unused_for(&self) -> Duration {
        self.used.elapsed()
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
        self.server.doubted.follow(&self.asked);
    }

    /// Returns `true` if nothing speaks against the connection. What has forgotten one connection has mostly forgotten
    /// those beside it, too: once one is in doubt, the others are of use if something was heard on them since. One that
    /// is only being made is of use.
    pub(super) fn is_trusted(&self) -> bool {
        let (heard, doubted) = (self.heard.get(), self.server.doubted.get());
        !self.is_doubted() && (!self.multiplexes() || heard == 0 || heard >= doubted)
    }

    /// Returns `true` if a request waits for longer than is usual, and nothing else was heard meanwhile.
    pub(super) fn keeps_silent(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0 && self.has_been_asked_in_vain()
    }

    fn has_been_asked_in_vain(&self) -> bool {
        self.asked.get() >= self.heard.get() && self.asked.elapsed() >= DOUBT
    }

    /// A request is sent.
    pub(super) fn ask(self: &Arc<Self>) -> (Unanswered, Exchange) {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) == 0 || self.asked.get() <= self.heard.get() {
            self.asked.set();
        }
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.used.set();
        let unanswered = Unanswered { line: Arc::clone(self), since: Instant::now(), is_answered: false };
        (unanswered, Exchange(Arc::clone(self)))
    }
}

/// A request that waits for the head of its answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    line: Arc<Line>,
    since: Instant,
    is_answered: bool,
}

impl Unanswered {
    /// The head has come. However late that is, it speaks for the connection.
    pub(super) fn ends(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Unanswered {
    /// Whoever gives up after a while will try again: not on the same connection, where that is the reason.
    fn drop(&mut self) {
        let line = &self.line;
        // Without HTTP/2, other requests have other connections, and say nothing of this one's.
        let in_vain = !self.is_answered && (line.has_been_asked_in_vain() || !line.multiplexes());
        if in_vain && self.since.elapsed() >= DOUBT && !line.is_doubted() {
            line.doubt();
            line.server.failed();
        }
        line.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request and its answer, to the end of its body.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Line>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.used.set();
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
