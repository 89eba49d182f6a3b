//! Tokens of service accounts of the management cluster, for clusters that accept them: requested once, and renewed
//! after four fifths of their lifetime, or when a cluster refuses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
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
use tokio::time::{Instant, sleep_until};

use crate::problem::Problem;

const DEFAULT_LIFE: Duration = Duration::from_secs(3600);
/// The minimum that API servers allow.
const SHORTEST_LIFE: Duration = Duration::from_secs(600);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Shortest time between two tokens of an account.
const PAUSE: Duration = Duration::from_secs(60);
/// Interval at which the time of day is read while a token is waited for.
const TICK: Duration = Duration::from_secs(30);

type TokenNotify = Box<dyn Fn() + Send + Sync>;

/// All tokens that are held.
pub struct AccountTokens {
    client: Client,
    tasks: Tasks,
    allowed: BTreeSet<String>,
    held: Mutex<BTreeMap<ServiceAccountReference, HeldToken>>,
    notify: TokenNotify,
}

struct HeldToken {
    tasks: Tasks,
    state: Option<Result<SecretString, Problem>>,
    /// Time of the last answer.
    since: Instant,
    /// `true` while another token is requested because a cluster refuses this one.
    is_refused: bool,
    refused: Arc<tokio::sync::Notify>,
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
        let (tasks, refused) = (self.tasks.child(), Arc::<tokio::sync::Notify>::default());
        let (accounts, wanted, told) = (Arc::clone(self), reference.clone(), Arc::clone(&refused));
        tasks.spawn("account token", async move { accounts.keep(&wanted, life, &told).await });
        let new = HeldToken { tasks, state: None, since: Instant::now(), is_refused: false, refused };
        held.insert(reference.clone(), new);
        Ok(None)
    }

    /// Requests another token, since a cluster refuses this one: its account may have been made anew.
    pub fn refused(&self, reference: &ServiceAccountReference) {
        let mut held = self.held.lock();
        let Some(known) = held.get_mut(reference) else { return };
        if matches!(known.state, Some(Ok(_))) && !known.is_refused && known.since.elapsed() >= PAUSE {
            known.is_refused = true;
            known.refused.notify_one();
        }
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

    async fn keep(&self, reference: &ServiceAccountReference, life: Duration, refused: &tokio::sync::Notify) {
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
            tokio::select! {
                () = pass(wait) => {}
                () = refused.notified() => {}
            }
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
        // Not by the time at which it ends: our clock may differ from that of the API server.
        let granted = answer.spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let status = answer.status.ok_or_else(|| {
            let ServiceAccountReference { name, namespace, .. } = reference;
            let message = format!(
                "the TokenRequest for service account {namespace}/{name} was answered without a token"
            );
            Problem::passing("TokenRequestFailed", message)
        })?;
        Ok((status.token.into(), granted.map_or(life, Duration::from_secs)))
    }

    /// Keeps a token as long as it lasts, even if it cannot be renewed, unless a cluster refuses it.
    fn set(&self, reference: &ServiceAccountReference, state: Result<SecretString, Problem>) {
        let mut held = self.held.lock();
        let Some(known) = held.get_mut(reference) else { return };
        if state.is_err() && matches!(known.state, Some(Ok(_))) && !known.is_refused {
            return;
        }
        (known.is_refused, known.since) = (false, Instant::now());
        known.state = Some(state);
        drop(held);
        (self.notify)();
    }
}

fn renew_after(life: Duration) -> Duration {
    (life / 5 * 4).max(PAUSE)
}

/// Waits, and no longer than that by the time of day: a machine that is suspended does not count its sleep.
async fn pass(wait: Duration) {
    let (until, begun) = (Instant::now() + wait, clock::now());
    while Instant::now() < until && !is_over(begun, clock::now(), wait) {
        sleep_until(until.min(Instant::now() + TICK)).await;
    }
}

fn is_over(begun: Timestamp, now: Timestamp, wait: Duration) -> bool {
    i64::try_from(wait.as_secs()).is_ok_and(|wait| now.as_second() - begun.as_second() > wait)
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{
        Router,
        response::{IntoResponse as _, Response},
    };
    use http::{StatusCode, header};
    use kube::core::Status;
    use serde_json::json;
    use tokio::{sync::mpsc, time::advance};

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
        assert_eq!(renew_after(Duration::ZERO), PAUSE, "an odd answer is not asked for again at once");
    }

    #[test]
    fn the_sleep_of_a_machine_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let wait = Duration::from_secs(2880);
        for (now, expected) in [(0, false), (2880, false), (2881, true), (90_000, true), (-90_000, false)] {
            assert_eq!(is_over(at(0), at(now), wait), expected, "{now}");
        }
        assert!(!is_over(at(0), at(0), Duration::from_millis(500)), "short waits are no busy loop");
    }

    /// The API server's answer to the request with this number: two tokens, and then the account is gone.
    fn answer(number: usize) -> Response {
        let (code, body) = match number {
            1 | 2 => {
                let status =
                    json!({"token": format!("t{number}"), "expirationTimestamp": "2000-01-01T00:00:00Z"});
                let spec = json!({"audiences": [], "expirationSeconds": 3600});
                let body = json!({
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                    "metadata": {}, "spec": spec, "status": status,
                });
                (StatusCode::CREATED, body)
            }
            _ => (StatusCode::NOT_FOUND, json!({"status": "Failure", "message": "gone", "code": 404})),
        };
        (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_refused_is_requested_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let serve = move || {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            async move { answer(number) }
        };
        let client = Client::new(Router::new().fallback(serve), "default");
        let (tell, mut told) = mpsc::unbounded_channel();
        let (tasks, allowed) = (Tasks::default(), BTreeSet::from(["n".to_owned()]));
        let tokens = AccountTokens::new(client, &tasks, allowed, move || _ = tell.send(()));
        let account = reference(None);
        assert_eq!(tokens.token(&account), Ok(None));
        told.recv().await.unwrap();
        assert_eq!(tokens.token(&account), Ok(Some(b"t1".to_vec())));
        tokens.refused(&account);
        advance(PAUSE).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1, "it was new, and its end does not count by our clock");
        tokens.refused(&account);
        told.recv().await.unwrap();
        assert_eq!(tokens.token(&account), Ok(Some(b"t2".to_vec())));
        advance(PAUSE).await;
        tokens.refused(&account);
        told.recv().await.unwrap();
        assert_eq!(tokens.token(&account).unwrap_err().reason, "ServiceAccountNotFound");
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
