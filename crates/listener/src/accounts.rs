//! Tokens of service accounts of the management cluster, for clusters that accept them: requested once, and renewed
//! after four fifths of their lifetime.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use portolan_core::api::gateway::ServiceAccountReference;
use portolan_runtime::{
    apply::code, args::interval, backoff::Backoff, clock, tasks::Tasks, telemetry::brief,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::sleep;

use crate::problem::Problem;

const DEFAULT_LIFE: Duration = Duration::from_secs(3600);
/// The minimum that API servers allow.
const SHORTEST_LIFE: Duration = Duration::from_secs(600);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

type Notify = Box<dyn Fn() + Send + Sync>;

/// All tokens that are held.
pub struct AccountTokens {
    client: Client,
    tasks: Tasks,
    allowed: BTreeSet<String>,
    held: Mutex<BTreeMap<ServiceAccountReference, Held>>,
    notify: Notify,
}

struct Held {
    tasks: Tasks,
    state: Option<Result<SecretString, Problem>>,
}

impl AccountTokens {
    pub fn new(
        client: Client,
        tasks: &Tasks,
        allowed: BTreeSet<String>,
        notify: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let notify = Box::new(notify);
        Arc::new(Self { client, tasks: tasks.clone(), allowed, held: Mutex::default(), notify })
    }

    /// The token of an account. None until the request for it is answered.
    pub fn token(self: &Arc<Self>, reference: &ServiceAccountReference) -> Result<Option<Vec<u8>>, Problem> {
        let life = life(reference)?;
        if !self.allowed.contains(&reference.namespace) {
            let allowed: Vec<_> = self.allowed.iter().map(String::as_str).collect();
            let ServiceAccountReference { name, namespace, .. } = reference;
            return Err(Problem::lasting(
                "NamespaceNotAllowed",
                format!(
                    "no token of service account {namespace}/{name} is asked for: these namespaces are allowed: {}. Add its namespace to --secret-namespaces.",
                    allowed.join(", ")
                ),
            ));
        }
        let mut held = self.held.lock();
        if let Some(known) = held.get(reference) {
            let state = known.state.clone().transpose()?;
            return Ok(state.map(|token| token.expose_secret().as_bytes().to_vec()));
        }
        let tasks = self.tasks.child();
        let (accounts, wanted) = (Arc::clone(self), reference.clone());
        tasks.spawn("account token", async move { accounts.keep(&wanted, life).await });
        held.insert(reference.clone(), Held { tasks, state: None });
        Ok(None)
    }

    /// Drops tokens that nobody refers to any more.
    pub fn retain(&self, is_referenced: impl Fn(&ServiceAccountReference) -> bool) {
        self.held.lock().retain(|reference, held| {
            let keep = is_referenced(reference);
            if !keep {
                held.tasks.cancel();
            }
            keep
        });
    }

    async fn keep(&self, reference: &ServiceAccountReference, life: Duration) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        loop {
            let wait = match self.ask(reference, life).await {
                Ok((token, granted)) => {
                    self.set(reference, Ok(token));
                    backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
                    renew_after(granted)
                }
                Err(problem) => {
                    self.set(reference, Err(problem));
                    backoff.next_delay()
                }
            };
            sleep(wait).await;
        }
    }

    async fn ask(
        &self,
        reference: &ServiceAccountReference,
        life: Duration,
    ) -> Result<(SecretString, Duration), Problem> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &reference.namespace);
        let spec = TokenRequestSpec {
            audiences: reference.audience.clone(),
            expiration_seconds: i64::try_from(life.as_secs()).ok(),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let asked = api.create_token_request(&reference.name, &PostParams::default(), &request).await;
        let answer = asked.map_err(|error| refused(reference, &error))?;
        let status = answer.status.ok_or_else(|| {
            let ServiceAccountReference { name, namespace, .. } = reference;
            let message = format!(
                "the TokenRequest for service account {namespace}/{name} was answered without a token"
            );
            Problem::passing("TokenRequestFailed", message)
        })?;
        let left = status.expiration_timestamp.0.as_second() - clock::now().as_second();
        let granted = u64::try_from(left).map_or(life, Duration::from_secs);
        Ok((status.token.into(), granted))
    }

    /// Keeps a token as long as it lasts, even if it cannot be renewed.
    fn set(&self, reference: &ServiceAccountReference, state: Result<SecretString, Problem>) {
        let mut held = self.held.lock();
        let Some(known) = held.get_mut(reference) else { return };
        if state.is_err() && matches!(known.state, Some(Ok(_))) {
            return;
        }
        known.state = Some(state);
        drop(held);
        (self.notify)();
    }
}

fn renew_after(life: Duration) -> Duration {
    life * 4 / 5
}

fn life(reference: &ServiceAccountReference) -> Result<Duration, Problem> {
    let Some(text) = &reference.token_expiration else { return Ok(DEFAULT_LIFE) };
    match interval(text) {
        Ok(life) if life >= SHORTEST_LIFE => Ok(life),
        _ => Err(Problem::lasting(
            "TokenExpirationInvalid",
            format!(
                "token_expiration {:?} is not a duration of ten minutes at least, such as 1h",
                text.chars().take(40).collect::<String>()
            ),
        )),
    }
}

fn refused(reference: &ServiceAccountReference, error: &kube::Error) -> Problem {
    let account = format!("{}/{}", reference.namespace, reference.name);
    match code(error) {
        404 => Problem::passing(
            "ServiceAccountNotFound",
            format!("service account {account} does not exist: create it, or correct the reference"),
        ),
        403 => Problem::passing(
            "TokenRequestForbidden",
            format!(
                "the listener may not ask for a token of service account {account}: let it create serviceaccounts/token there"
            ),
        ),
        _ => Problem::passing(
            "TokenRequestFailed",
            format!("no token of service account {account}: {}", brief(error)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn reference(expiration: Option<&str>) -> ServiceAccountReference {
        ServiceAccountReference {
            name: "a".to_owned(),
            namespace: "n".to_owned(),
            audience: Vec::new(),
            token_expiration: expiration.map(str::to_owned),
        }
    }

    #[test]
    fn tokens_are_renewed_after_four_fifths_of_their_life() {
        let table = [
            (None, Some(3600)),
            (Some("90m"), Some(5400)),
            (Some("10m"), Some(600)),
            (Some("5m"), None),
            (Some("x"), None),
        ];
        for (text, expected) in table {
            assert_eq!(life(&reference(text)).ok().map(|life| life.as_secs()), expected, "{text:?}");
        }
        assert_eq!(life(&reference(Some("x"))).unwrap_err().reason, "TokenExpirationInvalid");
        assert_eq!(renew_after(Duration::from_secs(3600)), Duration::from_secs(2880));
    }

    #[test]
    fn refusals_have_a_reason_each() {
        let error = |code| kube::Error::Api(Status { code, ..Status::failure("", "") }.boxed());
        for (code, expected) in
            [(404, "ServiceAccountNotFound"), (403, "TokenRequestForbidden"), (500, "TokenRequestFailed")]
        {
            assert_eq!(refused(&reference(None), &error(code)).reason, expected);
        }
    }
}
