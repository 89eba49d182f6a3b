//! Plain HTTP to servers on this machine, for probes, metrics and load.

use std::io::Cursor;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps connections open, as many as there are requests at the same time.
#[derive(Clone)]
pub(crate) struct HttpClient(Client<HttpConnector, Full<Cursor<Vec<u8>>>>);

impl HttpClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(TIMEOUT));
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends `request` and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Vec<u8>)> {
        check_loopback(request.uri())?;
        let uri = request.uri().clone();
        let exchange = async {
            let response = self.0.request(request.map(|body| Full::new(Cursor::new(body)))).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes().to_vec()))
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await;
        answer.with_context(|| format!("{uri} did not answer"))?.with_context(|| format!("{uri} failed"))
    }

    /// The status and text at `url`.
    pub(crate) async fn get(&self, url: &str) -> Result<(StatusCode, String)> {
        let (status, body) = self.send(Request::get(url).body(Vec::new())?).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Load is for our own servers only: anything but plain HTTP to this machine is refused.
pub(crate) fn check_loopback(uri: &Uri) -> Result<()> {
    ensure!(uri.scheme_str() == Some("http"), "{uri} is not an http:// URL");
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    ensure!(loopback, "{uri} is not on this machine: load goes to 127.0.0.1, ::1 or localhost only");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_loopback_passes() {
        let verdict = |uri: &str| check_loopback(&uri.parse().unwrap()).is_ok();
        assert!(
            verdict("http://127.0.0.1:80/x") && verdict("http://[::1]:80/") && verdict("http://localhost/")
        );
        let refused =
            ["http://10.0.0.1/", "http://example.com/", "https://127.0.0.1/", "/x", "http://127.0.0.1.evil/"];
        assert!(refused.iter().all(|uri| !verdict(uri)));
    }
}
