//! `konnector drain`: deletes bundles and bindings, and waits for the running konnector to finish with them.

use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle},
    condition::{self, Condition},
};
use portolan_runtime::{apply::code, client, process::ProcessFailure};
use serde::de::DeserializeOwned;
use tokio::time::{Duration, Instant, sleep};

use super::say;
use crate::{
    args::{DrainArgs, KonnectorArgs},
    policy,
};

const PAUSE: Duration = Duration::from_millis(500);

/// Deletes what is asked for and waits until it is gone.
pub(super) async fn drain(args: &KonnectorArgs, what: &DrainArgs) -> Result<(), ProcessFailure> {
    let client = client::connect(&args.client).await?;
    let deadline = Instant::now() + what.timeout;
    delete(&client, what).await?;
    let mut told = String::new();
    loop {
        let left = left(&client, what).await?;
        if left.is_empty() {
            say("drained: nothing is left");
            return Ok(());
        }
        let now = left.join("; ");
        if Instant::now() > deadline {
            return Err(format!(
                "not drained within {} s, which a running konnector would do: {now}. If the provider is gone for good: konnector release --bundle NAME",
                what.timeout.as_secs()
            )
            .into());
        }
        if now != told {
            say(&format!("waiting for: {now}"));
            told = now;
        }
        sleep(PAUSE).await;
    }
}

async fn delete(client: &Client, what: &DrainArgs) -> Result<(), ProcessFailure> {
    let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
    if let Some(name) = &what.bundle {
        bundles.delete(name, &DeleteParams::background()).await?;
        return Ok(());
    }
    remove_all(&bundles, |_| true).await?;
    let bindings: Api<APIServiceBinding> = Api::all(client.clone());
    remove_all(&bindings, |binding| policy::bundle_of(binding).is_none()).await?;
    Ok(())
}

async fn remove_all<K>(api: &Api<K>, which: impl Fn(&K) -> bool) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    for object in all(api).await?.iter().filter(|object| which(object)) {
        match api.delete(&object.name_any(), &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => {
                other?;
            }
        }
    }
    Ok(())
}

/// All objects of a kind; none where its CRD is gone, and they went with it.
async fn all<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) if code(&error) == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Lists what is still there, each with the reason.
async fn left(client: &Client, what: &DrainArgs) -> Result<Vec<String>, kube::Error> {
    let bindings: Api<APIServiceBinding> = Api::all(client.clone());
    let mut bindings = all(&bindings).await?;
    let bundles: Api<APIServiceBindingBundle> = Api::all(client.clone());
    let mut bundles = all(&bundles).await?;
    if let Some(name) = &what.bundle {
        bindings.retain(|binding| policy::bundle_of(binding) == Some(name));
        bundles.retain(|bundle| bundle.name_any() == *name);
    }
    let of_binding = |binding: &APIServiceBinding| {
        let conditions = binding.status.as_ref().map(|status| status.conditions.as_slice());
        line("binding", &binding.name_any(), conditions.unwrap_or_default())
    };
    let mut left: Vec<_> = bindings.iter().map(of_binding).collect();
    // A bundle waits for its bindings, so that it says nothing new beside them.
    if left.is_empty() {
        left.extend(bundles.iter().map(|bundle| line("bundle", &bundle.name_any(), &[])));
    }
    Ok(left)
}

fn line(kind: &str, name: &str, conditions: &[Condition]) -> String {
    match condition::find(conditions, condition::READY)
        .filter(|_| !condition::is_true(conditions, condition::READY))
    {
        Some(ready) => format!("{kind} {name} ({})", ready.message),
        None => format!("{kind} {name}"),
    }
}
