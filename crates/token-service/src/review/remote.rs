//! A review by a configured cluster, whose credential hears whether it was accepted.

use http::StatusCode;
use portolan_core::auth::UnverifiedToken;
use portolan_runtime::token_review::{self, RemoteReviewer, ReviewRefusal, ReviewStatus, ReviewUnanswered};

use crate::cluster::Cluster;

/// Asks a cluster about a token. The log says what goes wrong on the way.
pub async fn review_at(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    audiences: &[String],
) -> Result<ReviewStatus, ReviewRefusal> {
    let answer = ask_cluster(cluster, token.text(), audiences).await;
    answer.map_err(|why| token_review::unanswered(&cluster.config.name, &why))
}

/// Asks a cluster, or says why there is no answer.
pub async fn ask_cluster(
    cluster: &Cluster,
    token: &str,
    audiences: &[String],
) -> Result<ReviewStatus, ReviewUnanswered> {
    let held = cluster.credential.held();
    let remote = RemoteReviewer {
        name: &cluster.config.name,
        url: cluster.config.api_server.as_deref().unwrap_or_default(),
        credential: held.as_ref().map(|held| held.credential.clone()),
        fetcher: &cluster.outbound.fetcher,
    };
    let answer = token_review::ask(remote, token, audiences).await;
    let status = match &answer {
        Ok(_) => Some(StatusCode::OK),
        Err(ReviewUnanswered::Status(status)) => Some(*status),
        Err(ReviewUnanswered::Fetch(_) | ReviewUnanswered::Other(_)) => None,
    };
    if let (Some(held), Some(status)) = (&held, status) {
        cluster.credential.answered(&cluster.config.name, held, status);
    }
    answer
}
