//! Exchanges of refresh tokens: one for all requests that come with the same token, and brought to an end even if all of
//! them are given up. The issuer may take a token once, and what it gives for it must not be lost.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use portolan_runtime::tasks::Tasks;
use tokio::sync::oneshot;

use super::{oidc::OidcError, open::IssuerTokens};

/// Time for which requests that came with one refresh token share what it was exchanged for.
const SHARED_FOR: Duration = Duration::from_secs(60);

/// The results of recent exchanges of refresh tokens.
pub struct TokenRenewals {
    known: Cache<String, IssuerTokens>,
    tasks: Tasks,
}

impl TokenRenewals {
    pub fn new(tasks: &Tasks) -> Self {
        let known = Cache::builder().max_capacity(10_000).time_to_live(SHARED_FOR).build();
        Self { known, tasks: tasks.clone() }
    }

    /// Returns the result of an earlier exchange of this token, or exchanges it.
    pub async fn shared(
        &self,
        token: String,
        exchange: impl Future<Output = Result<IssuerTokens, OidcError>> + Send + 'static,
    ) -> Result<IssuerTokens, Arc<OidcError>> {
        let known = self.known.clone();
        let (tell, told) = oneshot::channel();
        // A browser that leaves a page gives its requests up, and comes back with the same token from the next one.
        self.tasks.spawn_graceful(async move {
            let _ = tell.send(known.try_get_with(token, exchange).await);
        });
        told.await.unwrap_or_else(|_| Err(Arc::new(OidcError::Silent("the portal ends".to_owned()))))
    }

    /// Forgets what a token was exchanged for.
    pub async fn forget(&self, token: &str) {
        self.known.invalidate(token).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn an_exchange_comes_to_its_end_though_nobody_waits_for_it() {
        let renewals = TokenRenewals::new(&Tasks::default());
        let (begun, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, answer) = (Arc::clone(&begun), Arc::clone(&answered));
        let exchange = async move {
            begins.notify_one();
            answer.notified().await;
            Ok(IssuerTokens { id: "id".to_owned(), refresh: Some("second".to_owned()), ends: 1 })
        };
        tokio::select! {
            _ = renewals.shared("first".to_owned(), exchange) => panic!("it has not been answered"),
            () = begun.notified() => {}
        }
        answered.notify_one();
        // Another exchange of this token would be refused.
        let again = renewals.shared("first".to_owned(), async { Err(OidcError::Foreign) }).await;
        assert_eq!(again.unwrap().refresh.as_deref(), Some("second"));
        renewals.forget("first").await;
        assert!(renewals.shared("first".to_owned(), async { Err(OidcError::Foreign) }).await.is_err());
    }
}
