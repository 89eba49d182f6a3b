//! The check that an API server can be reached, is the right one, takes our credential, and has our time.

use std::time::Duration;

use http::Request;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};
use tokio::time::timeout;

use super::finding::Check;
use crate::{args::ClientArgs, authorities, client, clock, telemetry::ErrorChain};

/// Limit for an API server to answer.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Skew of clocks from which tokens are refused for it.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Connects to the cluster that `service` works in, and checks its API server.
///
/// # Errors
/// The checks that say what is wrong. Without that cluster, nothing else can be checked.
pub async fn own_cluster(
    args: &ClientArgs,
    service: &str,
    docs: &str,
) -> Result<(Client, Vec<Check>), Vec<Check>> {
    let name = "this cluster";
    let client = client::connect(args).await.map_err(|error| {
        let cure = format!("give --kubeconfig, set KUBECONFIG, or run this inside the {service}'s pod");
        vec![Check::new(name, Err(ErrorChain(&error).to_string()), cure, docs)]
    })?;
    let checks = server(&client, name, docs).await;
    if checks.iter().all(|check| check.ok == Some(true)) { Ok((client, checks)) } else { Err(checks) }
}

/// Checks an API server in four steps; the later ones need the earlier ones.
pub async fn server(client: &Client, of: &str, docs: &str) -> Vec<Check> {
    let answer = timeout(TIMEOUT, ask(client)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
    let (reached, tls) = match &answer {
        Ok(_) => (Ok("it answers".to_owned()), Some(Ok("the certificate is valid for it".to_owned()))),
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

/// Describes the bundle of authorities of a kubeconfig, where it can be used.
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
    let response = client.send(request).await.map_err(|error| ErrorChain(&error).to_string())?;
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        date: date.and_then(|date| rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp()),
    })
}

/// Returns `true` if rustls wrote this about a certificate that it does not take.
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
        return Check::skipped(name, "the server sends no Date header", docs);
    };
    // The header has whole seconds.
    let apart = clock::now().duration_since(date).abs();
    let text = format!("{} s apart", apart.as_secs());
    let result = if apart > MAX_SKEW { Err(text) } else { Ok(text) };
    Check::new(name, result, "synchronize the clocks of both clusters with a time server", docs)
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
