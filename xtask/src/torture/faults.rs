//! Faults: what is broken for some steps of others, and then repaired.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use jiff::Timestamp;
use k8s_openapi::{
    api::admissionregistration::v1::ValidatingWebhookConfiguration,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_runtime::clock;
use portolan_testkit::workload::EXPORTED;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{
    agree::Listed,
    driver::Driver,
    kinds::{GROUP, Kind},
    people::taken,
    steps::{Side, Step},
    world::Service,
};

/// More than a moment, so that what is cut off notices.
const LONG: Duration = Duration::from_millis(1500);

/// The faults.
enum Fault {
    Killed(Service),
    Away(Side),
    Withdrawn(Kind),
    WrongSecret,
    Webhook,
    /// A backup that is going to be restored.
    Backup {
        side: Side,
        directory: PathBuf,
        objects: Listed,
        made: Timestamp,
    },
}

/// A fault, and for how many steps it stays.
pub(super) struct Open {
    fault: Fault,
    left: u32,
}

impl Open {
    pub(super) fn is_away(&self, side: Side) -> bool {
        matches!(self.fault, Fault::Away(away) if away == side)
    }

    pub(super) fn is_kill_of(&self, service: Service) -> bool {
        matches!(self.fault, Fault::Killed(killed) if killed == service)
    }

    pub(super) fn is_of(&self, step: Step) -> bool {
        let own = match self.fault {
            Fault::Killed(_) => Step::Kill,
            Fault::Away(_) => Step::ApiServer,
            Fault::Withdrawn(_) => Step::Label,
            Fault::WrongSecret => Step::Secret,
            Fault::Webhook => Step::Webhook,
            Fault::Backup { .. } => Step::Restore,
        };
        own == step
    }

    /// The side whose API server is needed to repair it.
    fn needs(&self) -> Option<Side> {
        match self.fault {
            Fault::Killed(Service::Konnector) | Fault::WrongSecret => Some(Side::Consumer),
            Fault::Killed(Service::Provider) | Fault::Withdrawn(_) | Fault::Webhook => Some(Side::Provider),
            Fault::Backup { side, .. } => Some(side),
            Fault::Away(_) => None,
        }
    }
}

impl Driver<'_> {
    /// Breaks something. Gives what, or `None` where there was nothing to break.
    pub(super) async fn breaks(&mut self, step: Step) -> Result<Option<String>> {
        match step {
            Step::Kill => {
                let service = [Service::Konnector, Service::Provider][usize::from(self.rng.random_bool(0.3))];
                self.world.process(service).kill();
                Ok(Some(self.opens(Fault::Killed(service), 1..8, &format!("{service:?}"))))
            }
            Step::ApiServer => Ok(self.api_server()),
            Step::Freeze => Ok(Some(self.freeze())),
            Step::Label => self.withdraw().await,
            Step::Secret => self.wrong_secret().await,
            Step::Rotate => self.rotate().await,
            Step::Webhook => self.webhook().await,
            Step::Restore => self.back_up().await,
            Step::Version => self.evolve().await,
            Step::Schema => self.widen().await,
            other => bail!("{other:?} breaks nothing"),
        }
    }

    fn opens(&mut self, fault: Fault, steps: Range<u32>, what: &str) -> String {
        let left = self.rng.random_range(steps);
        self.open.push(Open { fault, left });
        format!("{what}, for {left} steps")
    }

    fn any_side(&mut self) -> Side {
        if self.rng.random_bool(0.5) { Side::Consumer } else { Side::Provider }
    }

    fn api_server(&mut self) -> Option<String> {
        let side = self.any_side();
        if !self.is_up(side) {
            return None;
        }
        self.world.plane(side).stop_apiserver();
        Some(self.opens(Fault::Away(side), 1..12, &format!("of the {side:?}")))
    }

    fn freeze(&mut self) -> String {
        let side = self.any_side();
        let proxy = if side == Side::Consumer { &self.world.near } else { &self.world.far };
        format!("what is open to the {side:?}, of {} connections so far", proxy.silence())
    }

    async fn withdraw(&mut self) -> Result<Option<String>> {
        let kind = self.world.kinds[self.rng.random_range(0..self.world.kinds.len())];
        self.record.excuse(Some(kind.plural), clock::precise_now());
        self.label(kind, None).await?;
        Ok(Some(self.opens(Fault::Withdrawn(kind), 1..15, &kind.crd_name())))
    }

    async fn label(&mut self, kind: Kind, value: Option<&str>) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.world.client(Side::Provider));
        let change = json!({"metadata": {"labels": {EXPORTED: value}}});
        let params = PatchParams::default();
        taken(async || crds.patch(&kind.crd_name(), &params, &Patch::Merge(&change)).await).await?;
        Ok(())
    }

    async fn wrong_secret(&mut self) -> Result<Option<String>> {
        let others = self.rng.random_bool(0.5);
        let (content, what) = if others {
            (self.world.others_kubeconfig.clone(), "the kubeconfig of another contract")
        } else {
            ("nonsense: {".to_owned(), "nonsense")
        };
        self.world.write_secret(&content).await?;
        Ok(Some(self.opens(Fault::WrongSecret, 2..15, what)))
    }

    async fn rotate(&mut self) -> Result<Option<String>> {
        if !self.is_up(Side::Provider) {
            return Ok(None);
        }
        self.world.kubeconfig = self.world.new_kubeconfig(super::world::CONSUMER).await?;
        self.world.write_secret(&self.world.kubeconfig).await?;
        Ok(Some("a new token".to_owned()))
    }

    async fn webhook(&mut self) -> Result<Option<String>> {
        let hook = json!({
            "metadata": {"name": GROUP},
            "webhooks": [{
                "name": "fails.torture.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": [{"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["*"]}],
            }],
        });
        let hook: ValidatingWebhookConfiguration = serde_json::from_value(hook)?;
        let hooks: Api<ValidatingWebhookConfiguration> = Api::all(self.world.client(Side::Provider));
        taken(async || hooks.create(&PostParams::default(), &hook).await).await?;
        Ok(Some(self.opens(Fault::Webhook, 3..15, "it refuses every write")))
    }

    async fn back_up(&mut self) -> Result<Option<String>> {
        let side = self.any_side();
        if !self.is_up(side) {
            return Ok(None);
        }
        let made = clock::precise_now();
        let objects = self.world.list(side).await?;
        let directory = self.world.files.path().join(format!("backup-{}", self.taken));
        self.world.plane(side).back_up(&directory)?;
        let backup = Fault::Backup { side, directory, objects, made };
        Ok(Some(self.opens(backup, 3..20, &format!("of the {side:?}"))))
    }

    /// Repairs what has lasted long enough, and can be repaired now.
    pub(super) async fn mend_what_is_due(&mut self) -> Result<()> {
        self.open.iter_mut().for_each(|open| open.left = open.left.saturating_sub(1));
        while let Some(due) = self
            .open
            .iter()
            .position(|open| open.left == 0 && open.needs().is_none_or(|side| self.is_up(side)))
        {
            let open = self.open.remove(due);
            Box::pin(self.mend(open.fault)).await?;
        }
        Ok(())
    }

    /// Mends all that is broken. A backup may have brought old faults back.
    pub(super) async fn mend_everything(&mut self) -> Result<()> {
        while !self.open.is_empty() {
            Box::pin(self.mend_what_is_due()).await?;
        }
        for kind in self.world.kinds.clone() {
            self.label(kind, Some("true")).await?;
        }
        self.remove_webhook().await?;
        self.world.write_secret(&self.world.kubeconfig).await
    }

    async fn mend(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Killed(service) => {
                self.world.revive(service).await?;
                self.note(format_args!("{service:?} is started again"));
            }
            Fault::Away(side) => {
                tokio::time::sleep(LONG).await;
                self.world.plane(side).start_apiserver().await?;
                self.note(format_args!("the API server of the {side:?} is back"));
            }
            Fault::Withdrawn(kind) => {
                self.label(kind, Some("true")).await?;
                self.note(format_args!("{} is offered again", kind.crd_name()));
            }
            Fault::WrongSecret => {
                self.world.write_secret(&self.world.kubeconfig).await?;
                self.note("the Secret is right again");
            }
            Fault::Webhook => {
                self.remove_webhook().await?;
                self.note("the webhook is gone");
            }
            Fault::Backup { side, directory, objects, made } => {
                Box::pin(self.restore(side, &directory, objects, made)).await?;
            }
        }
        Ok(())
    }

    async fn remove_webhook(&self) -> Result<()> {
        let hooks: Api<ValidatingWebhookConfiguration> = Api::all(self.world.client(Side::Provider));
        taken(async || hooks.delete(GROUP, &DeleteParams::default()).await).await?;
        Ok(())
    }

    async fn restore(
        &mut self,
        side: Side,
        directory: &Path,
        objects: Listed,
        made: Timestamp,
    ) -> Result<()> {
        self.world.plane(side).stop_apiserver();
        if side == Side::Consumer {
            let is_users = |object: &Value| {
                let metadata = &object["metadata"];
                metadata["deletionTimestamp"].is_null()
                    && metadata["labels"]["kube-bind.io/owner"] != "provider"
            };
            let theirs = objects.iter().filter(|(_, object)| is_users(object));
            self.known = theirs.map(|(place, _)| place.clone()).collect();
        }
        // What users delete between backup and restore, the restored side does not know.
        self.record.excuse(None, made);
        self.record.restored(self.world, side, objects)?;
        self.world.plane(side).restore(directory).await?;
        std::fs::remove_dir_all(directory)?;
        // One that was there when the backup was made would refuse people's writes as well.
        if side == Side::Provider && !self.open.iter().any(|open| open.is_of(Step::Webhook)) {
            self.remove_webhook().await?;
        }
        self.note(format_args!("the {side:?} is restored from its backup"));
        Ok(())
    }
}
