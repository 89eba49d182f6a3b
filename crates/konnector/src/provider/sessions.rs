//! The sessions that are open, by the Secret that their kubeconfig comes from.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_core::api::kubebind::ClusterSecretKeyRef;
use portolan_runtime::{client::ClientError, metrics::Gauges, tasks::Tasks};

use super::{
    consumer::ConsumerCluster, leftover::ConsumerNamespaces, rotation::RotationContext, session::Session,
};
use crate::secrets::ProviderAccess;

/// Intervals at which a provider is polled, and gets heartbeats.
#[derive(Clone, Copy, Debug)]
pub struct ProviderIntervals {
    pub poll: Duration,
    pub heartbeat: Duration,
}

/// All sessions of the konnector.
pub struct Sessions {
    tasks: Tasks,
    intervals: ProviderIntervals,
    /// When each provider last answered, by Secret.
    last_contact: Gauges,
    rotation: RotationContext,
    consumer: Arc<ConsumerCluster>,
    namespaces: ConsumerNamespaces,
    /// `true` if providers may have namespaces made on the consumer.
    creates_namespaces: bool,
    open: Mutex<HashMap<ClusterSecretKeyRef, OpenSession>>,
}

struct OpenSession {
    access: Arc<ProviderAccess>,
    session: Arc<Session>,
}

/// The outcome of putting a session in its place.
enum PutOutcome {
    First,
    /// This one was there before.
    Instead(Arc<Session>),
    /// This one is there already, and as good.
    Late(Arc<Session>),
}

impl Sessions {
    pub fn new(
        tasks: &Tasks,
        intervals: ProviderIntervals,
        last_contact: Gauges,
        rotation: RotationContext,
        namespaces: ConsumerNamespaces,
        creates_namespaces: bool,
    ) -> Self {
        let consumer = Arc::new(ConsumerCluster::new(rotation.consumer.clone()));
        Self {
            tasks: tasks.clone(),
            intervals,
            last_contact,
            rotation,
            consumer,
            namespaces,
            creates_namespaces,
            open: Mutex::default(),
        }
    }

    /// The session for a kubeconfig. One with another content ends the session of the former content.
    pub async fn ensure(
        &self,
        reference: &ClusterSecretKeyRef,
        access: &Arc<ProviderAccess>,
        notify: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<Session>, ClientError> {
        if let Some(session) = self.current(reference, access) {
            return Ok(session);
        }
        let last_contact = self.last_contact.with_label_values(&[&label(reference)]);
        let consumer = Arc::clone(&self.consumer);
        let changed = Arc::clone(&notify);
        let started = Session::start(&self.tasks, &access.kubeconfig, notify, last_contact, consumer).await?;
        match self.put(reference, access, &started) {
            // Somebody else was faster while the client was made.
            PutOutcome::Late(session) => {
                started.stop();
                return Ok(session);
            }
            PutOutcome::First => {}
            // Whoever works with the former session has to learn of this one.
            PutOutcome::Instead(former) => {
                former.stop();
                changed();
            }
        }
        self.work(reference, access, &started);
        Ok(started)
    }

    /// Puts a session in its place, unless a current one is there. Both in one go: a session that is neither in its
    /// place nor stopped would be worked with by nobody else.
    fn put(
        &self,
        reference: &ClusterSecretKeyRef,
        access: &Arc<ProviderAccess>,
        started: &Arc<Session>,
    ) -> PutOutcome {
        let mut sessions = self.open.lock();
        if let Some(current) = current(&sessions, reference, access) {
            return PutOutcome::Late(current);
        }
        let open = OpenSession { access: Arc::clone(access), session: Arc::clone(started) };
        sessions
            .insert(reference.clone(), open)
            .map_or(PutOutcome::First, |former| PutOutcome::Instead(former.session))
    }

    /// Starts the tasks of a session.
    fn work(&self, reference: &ClusterSecretKeyRef, access: &Arc<ProviderAccess>, session: &Arc<Session>) {
        session.spawn_poll(self.intervals.poll);
        session.spawn_claim(self.intervals.poll);
        session.spawn_leftovers(self.namespaces.clone(), self.intervals.poll);
        if self.creates_namespaces {
            session.spawn_seeded(self.namespaces.clone(), self.intervals.poll);
        }
        session.spawn_heartbeat(reference, self.intervals);
        if access.renewed.is_some() {
            session.spawn_rotation(self.rotation.clone(), reference, access);
        }
    }

    /// Ends the sessions whose Secret nobody refers to any more.
    pub fn retain(&self, is_referenced: impl Fn(&ClusterSecretKeyRef) -> bool) {
        let mut sessions = self.open.lock();
        let kept: Vec<_> = sessions.iter().filter(|(reference, _)| is_referenced(reference)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(_, open)| open.session.agreed_contract()).collect();
        sessions.retain(|reference, open| {
            let keep = is_referenced(reference);
            if !keep {
                open.session.stop();
                let contract = open.session.agreed_contract();
                if contract.is_some() && !kept.contains(&contract) {
                    self.tasks.spawn("give back", Arc::clone(&open.session).give_back());
                }
                // It may have been removed before.
                let _ = self.last_contact.remove_label_values(&[&label(reference)]);
            }
            keep
        });
    }

    /// The session that is open for a Secret.
    pub fn open(&self, reference: &ClusterSecretKeyRef) -> Option<Arc<Session>> {
        self.open.lock().get(reference).map(|open| Arc::clone(&open.session))
    }

    fn current(&self, reference: &ClusterSecretKeyRef, access: &ProviderAccess) -> Option<Arc<Session>> {
        current(&self.open.lock(), reference, access)
    }
}

fn current(
    sessions: &HashMap<ClusterSecretKeyRef, OpenSession>,
    reference: &ClusterSecretKeyRef,
    access: &ProviderAccess,
) -> Option<Arc<Session>> {
    let open = sessions.get(reference)?;
    let same = open.access.fingerprint == access.fingerprint && open.access.renewed == access.renewed;
    let is_current = same && !open.session.is_stale();
    is_current.then(|| Arc::clone(&open.session))
}

fn label(reference: &ClusterSecretKeyRef) -> String {
    format!("{}/{}", reference.namespace, reference.name)
}

#[cfg(test)]
mod tests;
