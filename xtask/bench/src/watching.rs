//! One open watch, whose events a bench waits for: exact to the millisecond, and without asking.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context as _, Result};
use kube::{
    Api, ResourceExt as _,
    api::DynamicObject,
    runtime::watcher::{Config, Event},
};
use portolan_runtime::watch::follow;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

/// Limit for anything that is waited for; beyond it, the bench fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A watch that is open until it is dropped.
pub(super) struct Watching {
    objects: UnboundedReceiver<DynamicObject>,
    _task: JoinSet<()>,
}

impl Watching {
    /// Opens a watch and returns when what is there already has been listed.
    pub(super) async fn open(api: Api<DynamicObject>) -> Result<Self> {
        let (sender, objects) = unbounded_channel();
        let (listed, mut is_listed) = unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(follow(api, Config::default(), move |event| match event {
            // Nobody listens any more when the bench has moved on.
            Ok(Event::Apply(object)) => drop(sender.send(object)),
            Ok(Event::InitDone) => drop(listed.send(())),
            _ => {}
        }));
        tokio::time::timeout(LIMIT, is_listed.recv()).await.context("the watch did not open")?;
        Ok(Self { objects, _task: task })
    }

    /// Waits for an event of an object for which `predicate` holds.
    pub(super) async fn until(&mut self, predicate: impl Fn(&DynamicObject) -> bool) -> Result<()> {
        let found = async {
            while let Some(object) = self.objects.recv().await {
                if predicate(&object) {
                    return Ok(());
                }
            }
            anyhow::bail!("the watch ended")
        };
        tokio::time::timeout(LIMIT, found).await.context("the expected event did not come")?
    }

    /// Waits until `count` objects whose names start with `prefix` have come.
    pub(super) async fn until_all(&mut self, prefix: &str, count: usize) -> Result<()> {
        self.until_all_with(prefix, count, |_| true).await
    }

    /// The same for those for which `predicate` holds.
    pub(super) async fn until_all_with(
        &mut self,
        prefix: &str,
        count: usize,
        predicate: impl Fn(&DynamicObject) -> bool,
    ) -> Result<()> {
        let found = async {
            let mut names = HashSet::new();
            while names.len() < count {
                let object = self.objects.recv().await.context("the watch ended")?;
                let counts = predicate(&object);
                names.extend(Some(object.name_any()).filter(|name| counts && name.starts_with(prefix)));
            }
            Ok(())
        };
        tokio::time::timeout(LIMIT, found).await.context("not all objects came")?
    }
}
