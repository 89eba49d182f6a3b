//! What the konnector needs while it has nothing to do.

use std::time::Duration;

use anyhow::Result;

use super::lab::Lab;

const REST: Duration = Duration::from_secs(30);

pub(super) async fn rss(lab: &Lab) -> Result<Vec<f64>> {
    tokio::time::sleep(REST).await;
    Ok(vec![lab.konnector.rss_mb()?])
}
