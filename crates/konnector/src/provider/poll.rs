//! The backstop poll of a session: whether the provider still answers, and whether a watch has missed something.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use portolan_core::api::kubebind::APIServiceExport;
use rand::RngExt as _;
use tokio::time::timeout;
use tracing::warn;

use super::{
    contact::{ANSWER_LIMIT, ProviderContact},
    pulse::number,
    session::Session,
};

/// Time that a provider under load may need for an answer, where the interval lets it.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Splits the interval into the pause between polls and the limit for an answer.
fn parts(interval: Duration) -> (Duration, Duration) {
    let least = TIMEOUT.min(interval * 2 / 3);
    let limit = (interval / 3).clamp(least, ANSWER_LIMIT.max(least));
    (interval.saturating_sub(limit), limit)
}

impl Session {
    /// The watch tells of changes at once. The poll tells whether the provider still answers, which a watch
    /// on a dead connection does not.
    pub(super) fn spawn_poll(self: &Arc<Self>, interval: Duration) {
        let session = Arc::clone(self);
        let (pause, limit) = parts(interval);
        self.tasks.spawn("provider poll", async move {
            session.look_at_contract(limit).await;
            loop {
                // Spread, so that many bundles do not ask at the same instant.
                let spread = rand::rng().random_range(0.8..=1.0);
                tokio::time::sleep(pause.mul_f64(spread)).await;
                tokio::join!(session.poll(limit), session.look_at_contract(limit));
            }
        });
    }

    /// Notices a contract namespace that has become another, whatever the exports in it are called.
    async fn look_at_contract(&self, limit: Duration) {
        let known = || (self.last_doubt().map(|doubt| doubt.why), self.found());
        let before = known();
        self.doubt(limit).await;
        if known() != before {
            self.tell();
        }
    }

    async fn poll(&self, limit: Duration) {
        let api: Api<APIServiceExport> = Api::namespaced(self.client.clone(), &self.namespace);
        let shown = self.newest_shown();
        let answer = timeout(limit, api.list_metadata(&ListParams::default())).await;
        let contact = match &answer {
            Ok(Ok(_)) => ProviderContact::Up,
            Ok(Err(error)) => ProviderContact::of(error),
            Err(_) => {
                ProviderContact::Down { message: format!("no answer within {} seconds", limit.as_secs_f32()) }
            }
        };
        if contact == ProviderContact::Up {
            self.pulse.answered();
        }
        let was_silent = self.pulse.was_silent(answer.is_err());
        match answer {
            // Watches on connections that died silently never tell of it.
            Ok(Ok(_)) if was_silent => self.renew("the provider answers again"),
            Ok(Ok(list)) if self.pulse.runs_backwards(list.metadata.resource_version.as_ref(), shown) => {
                self.renew("its resource versions went backwards: it was restored from a backup");
            }
            Ok(Ok(list)) => self.compare(&list.items),
            _ => {}
        }
        let before = self.contact();
        // Before the first list, only the list itself makes contact.
        if contact != before && (self.contents.exports().is_some() || contact != ProviderContact::Up) {
            warn!(namespace = self.namespace, ?contact, "contact with the provider changed");
            self.pulse.set(contact);
            self.tell();
        }
    }

    /// The newest version that the watch of exports has shown.
    fn newest_shown(&self) -> Option<u128> {
        self.contents
            .exports
            .all()
            .iter()
            .filter_map(|export| number(export.metadata.resource_version.as_ref()))
            .max()
    }

    /// Renews the session when its watch has missed what two polls in a row have found.
    fn compare(&self, listed: &[PartialObjectMeta<APIServiceExport>]) {
        let found: BTreeSet<_> = listed.iter().filter_map(kube::ResourceExt::uid).collect();
        let known: BTreeSet<_> =
            self.contents.exports.all().iter().filter_map(|export| export.uid()).collect();
        let missed: BTreeSet<_> = found.symmetric_difference(&known).cloned().collect();
        if self.pulse.missed_again(missed) && self.contents.exports().is_some() {
            self.renew("the watch has missed changes that the poll found");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_within_one_interval() {
        let milliseconds = Duration::from_millis;
        let table: [(u64, u128); 5] =
            [(900, 600), (2000, 1333), (6000, 2000), (15_000, 5000), (60_000, 10_000)];
        for (interval, limit) in table {
            let (pause, answer) = parts(milliseconds(interval));
            assert_eq!(answer.as_millis(), limit, "{interval}");
            assert_eq!(pause + answer, milliseconds(interval));
        }
    }
}
