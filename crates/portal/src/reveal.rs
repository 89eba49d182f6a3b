//! The value of a key, read with the caller's own rights, and noted in an Event.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;
use portolan_core::api::devportal::APIKey;
use portolan_runtime::limits::RateSubject;
use secrecy::SecretString;

use crate::{app::App, caller::Caller, paths::ObjectName, problem::Problem, sight::CallerContext};

/// The refusal to those who ask for somebody else's key.
const REFUSED: &str = "you can only read your own api key secrets";
/// Reason of the Event.
const REASON: &str = "KeyRevealed";
/// Longest note of an Event, in bytes. The API server takes no longer one, and then nobody would know.
const MAX_NOTE: usize = 1024;

/// Reads the value of a key. `what_for` says in the Event what it was read for.
pub async fn reveal(
    app: &Arc<App>,
    caller: &Caller,
    place: &ObjectName,
    what_for: &'static str,
) -> Result<(SecretString, Arc<APIKey>), Problem> {
    if !app.rates.allows(RateSubject::Named(caller.user.name.clone())) {
        return Err(Problem::too_many("too many keys at once, wait a moment"));
    }
    let read = read(app, caller, place).await;
    app.metrics.reveal(read.is_ok());
    let (value, key) = read?;
    note(app, caller, place, &key, what_for);
    Ok((value, key))
}

async fn read(
    app: &App,
    caller: &Caller,
    place: &ObjectName,
) -> Result<(SecretString, Arc<APIKey>), Problem> {
    let (key, _) = CallerContext::new(app, caller).key_to(place, REFUSED).await?;
    let missing = |what: &str| Problem::new(StatusCode::NOT_FOUND, what);
    let reference = key.status.as_ref().and_then(|status| status.secret_ref.as_ref());
    let reference = reference.ok_or_else(|| missing("secret reference not found in apikey status"))?;
    let path = place.secret(&reference.name)?;
    let secret =
        app.upstream.get(&path, &caller.credential).await.map_err(|problem| match problem.status {
            StatusCode::FORBIDDEN => Problem::forbidden(REFUSED),
            StatusCode::NOT_FOUND => missing("secret not found"),
            _ => problem,
        })?;
    let value = secret["data"][&reference.key].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    let value = value.and_then(|bytes| String::from_utf8(bytes).ok());
    let value = value.ok_or_else(|| missing("secret key 'api_key' not found in secret"))?;
    Ok((SecretString::from(value), key))
}

fn note(app: &Arc<App>, caller: &Caller, place: &ObjectName, key: &APIKey, what_for: &'static str) {
    let on = ObjectReference {
        api_version: Some("devportal.kuadrant.io/v1alpha1".to_owned()),
        kind: Some("APIKey".to_owned()),
        namespace: Some(place.namespace.clone()),
        name: Some(place.name.clone()),
        uid: key.uid(),
        ..ObjectReference::default()
    };
    let note = told(&caller.user.name, what_for);
    let noting = Arc::clone(app);
    app.tasks.spawn_graceful(async move { noting.reporter.inform(&on, REASON, "Reveal", &note).await });
}

/// What the Event says, with as much of a long name as there is room for.
fn told(who: &str, what_for: &str) -> String {
    let what = format!(" has read the key {what_for}");
    let mut end = who.len().min(MAX_NOTE.saturating_sub(what.len()));
    while !who.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{what}", &who[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_who_has_read_a_key_however_long_the_name_is() {
        assert_eq!(told("ann", "on a page"), "ann has read the key on a page");
        for long in ["x".repeat(2_000), "ä".repeat(2_000), format!("x{}", "ä".repeat(2_000))] {
            let note = told(&long, "on a page");
            assert!(note.len() <= MAX_NOTE && note.len() > MAX_NOTE - 2, "{}", note.len());
            assert!(note.ends_with(" has read the key on a page"), "{note}");
        }
    }
}
