//! A request that the controller has looked at since it was last edited: no decision counts before, and that is a moment.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use portolan_core::api::devportal::{APIKey, KeyPhase};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};

use crate::{key_change::asks_the_same, news::NewsItem, problem::Problem};

/// Time that a controller at work needs to look at an edited request, and much more.
const WITHIN: Duration = Duration::from_secs(3);

/// How long decisions that are asked for now wait for the controller.
pub(super) fn end() -> Instant {
    Instant::now() + WITHIN
}

/// A request as `look` finds it once the controller has looked at it, or at the end. Each of `news`, which was followed
/// before, is a reason to look again. Nothing is decided about an edit that comes meanwhile: nobody has seen it.
pub(super) async fn looked_at<F>(
    look: impl Fn() -> F,
    mut news: Receiver<NewsItem>,
    end: Instant,
) -> Result<Arc<APIKey>, Problem>
where
    F: Future<Output = Result<Arc<APIKey>, Problem>>,
{
    let first = look().await?;
    let mut seen = Arc::clone(&first);
    while is_new(&seen) && hears(&mut news, end).await {
        seen = look().await?;
        if !asks_the_same(&first, &seen) {
            let why = "the request was changed meanwhile: look at it again";
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
    }
    Ok(seen)
}

/// Returns `true` if the controller has yet to look at a request.
fn is_new(key: &APIKey) -> bool {
    let observed = key.status.as_ref().and_then(|status| status.observed_generation);
    key.phase() == KeyPhase::Pending && observed != key.metadata.generation
}

/// Waits for news; `false` if there is none in time.
async fn hears(news: &mut Receiver<NewsItem>, end: Instant) -> bool {
    // News that is at hand makes nobody wait for longer.
    if end <= Instant::now() {
        return false;
    }
    let told = timeout_at(end, news.recv()).await;
    // Whoever is behind has missed some.
    matches!(told, Ok(Ok(_) | Err(RecvError::Lagged(_))))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::news::Newsroom;

    fn key(tier: &str, generation: i64, observed: i64, phase: &str) -> Arc<APIKey> {
        let spec = json!({"apiProductRef": {"name": "p"}, "planTier": tier, "requestedBy": {"userId": "ann", "email": "a@x.org"}});
        let key = json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIKey",
            "metadata": {"name": "k", "namespace": "a", "uid": "1", "generation": generation},
            "spec": spec, "status": {"phase": phase, "observedGeneration": observed},
        });
        Arc::new(serde_json::from_value(key).unwrap())
    }

    /// What comes of looks that find these, one after the other: the tier and the number of looks, or the refusal.
    async fn outcome(looks: &[Arc<APIKey>], told: usize) -> Result<(String, usize), u16> {
        let newsroom = Newsroom::new();
        let news = newsroom.follow();
        for _ in 0..told {
            newsroom.tell(NewsItem::anything());
        }
        let count = Cell::new(0);
        let look = || {
            let found = Arc::clone(&looks[count.get().min(looks.len() - 1)]);
            count.set(count.get() + 1);
            async move { Ok::<_, Problem>(found) }
        };
        let seen = looked_at(look, news, end()).await;
        seen.map(|seen| (seen.spec.plan_tier.clone(), count.get())).map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_decided_about_an_edit_that_nobody_has_seen() {
        let (old, new) = (key("gold", 1, 1, "Pending"), key("gold", 2, 1, "Pending"));
        let (done, edited) = (key("gold", 2, 2, "Pending"), key("tin", 3, 1, "Pending"));
        let (edited_and_done, decided) = (key("tin", 3, 3, "Pending"), key("gold", 2, 2, "Rejected"));
        let found = |looks: usize| Ok::<_, u16>(("gold".to_owned(), looks));
        for (looks, told, expected) in [
            (vec![&old], 9, found(1)),
            (vec![&new, &done], 9, found(2)),
            (vec![&new, &new, &done], 9, found(3)),
            (vec![&new], 0, found(1)),
            (vec![&new], 2, found(3)),
            (vec![&new, &done], 5000, found(2)),
            (vec![&new, &edited], 9, Err(409)),
            (vec![&new, &edited_and_done], 9, Err(409)),
            (vec![&new, &new, &edited_and_done], 9, Err(409)),
            (vec![&new, &decided], 9, Err(409)),
        ] {
            let looks: Vec<_> = looks.into_iter().cloned().collect();
            assert_eq!(outcome(&looks, told).await, expected, "{looks:?}");
        }
    }
}
