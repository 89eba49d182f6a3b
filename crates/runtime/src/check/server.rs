//! Whether an API server can be reached, is the one it should be, takes our credential, and has our time.

use std::time::Duration;

use http::Request;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};
use tokio::time::timeout;

use super::finding::Check;
use crate::{authorities, clock, telemetry::Chain};

/// How long an API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// How far clocks may be apart before tokens are refused for it.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Checks an API server in four steps; the later ones need the earlier ones.
pub async fn server(client: &Client, of: &str, docs: &str) -> Vec<Check> {
    let answer = timeout(PATIENCE, ask(client)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
    let (reached, tls) = match &answer {
        Ok(_) => (Ok("it answers".to_owned()), Some(Ok("the certificate fits".to_owned()))),
        Err(why) if is_about_tls(why) => (Ok("it answers".to_owned()), Some(Err(why.clone()))),
        Err(why) => (Err(why.clone()), None),
    };
    let later = |name: &str| Check::skipped(format!("{name} of {of}"), "it gave no usable answer", docs);
    let mut checks = vec![Check::new(
        format!("reachability of {of}"),
        reached,
        "check server in the kubeconfig, DNS, network policies and firewalls between the clusters",
        docs,
    )];
    checks.push(match tls {
        Some(result) => Check::new(
            format!("TLS name of {of}"),
            result,
            "put the server's CA into certificate-authority-data, and a name of its certificate into tls-server-name",
            docs,
        ),
        None => later("TLS name"),
    });
    match answer {
        Ok(answer) => checks.extend([credential(&answer, of, docs), clock(&answer, of, docs)]),
        Err(_) => checks.extend([later("credential"), later("clock")]),
    }
    checks
}

/// What the bundle of authorities of a kubeconfig holds, where it can be used.
pub fn authorities(pem: Option<&[u8]>, of: &str, docs: &str) -> Option<Check> {
    let about = authorities::about(pem?)?;
    Some(Check::new(format!("authorities of {of}"), Ok(about), "", docs))
}

struct Answer {
    status: u16,
    date: Option<Timestamp>,
}

async fn ask(client: &Client) -> Result<Answer, String> {
    let request = Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| Chain(&error).to_string())?;
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        date: date.and_then(|date| rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp()),
    })
}

/// What rustls says of a certificate that it does not take.
fn is_about_tls(why: &str) -> bool {
    ["certificate", "UnknownIssuer", "tls handshake"].iter().any(|word| why.contains(word))
}

fn credential(answer: &Answer, of: &str, docs: &str) -> Check {
    let result = match answer.status {
        401 => Err("the server does not know the credential".to_owned()),
        status @ 500.. => Err(format!("the server answers {status}")),
        _ => Ok("it is accepted".to_owned()),
    };
    Check::new(
        format!("credential of {of}"),
        result,
        "make a new kubeconfig, and put it into the Secret",
        docs,
    )
}

fn clock(answer: &Answer, of: &str, docs: &str) -> Check {
    let name = format!("clock of {of}");
    let Some(date) = answer.date else {
        return Check::skipped(name, "the server does not tell the time", docs);
    };
    // The header has whole seconds.
    let apart = clock::now().duration_since(date).abs();
    let text = format!("{} s apart", apart.as_secs());
    let result = if apart > MAX_SKEW { Err(text) } else { Ok(text) };
    Check::new(name, result, "let both clusters follow a time server", docs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_seconds_and_not_by_minutes() {
        let apart = |seconds: i64| {
            let date = clock::now() - SignedDuration::from_secs(seconds);
            clock(&Answer { status: 200, date: Some(date) }, "p", "docs").ok
        };
        assert_eq!(
            (apart(2), apart(-2), apart(120), apart(-120)),
            (Some(true), Some(true), Some(false), Some(false))
        );
        assert_eq!(clock(&Answer { status: 200, date: None }, "p", "docs").ok, None);
    }

    #[test]
    fn a_refused_credential_is_told_from_missing_rights() {
        let of = |status| credential(&Answer { status, date: None }, "p", "docs").ok;
        assert_eq!((of(200), of(403), of(401), of(503)), (Some(true), Some(true), Some(false), Some(false)));
    }
}
