//! `token-exchange explain`: the verdict on a token, and the rule behind it. No token is made.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
};

use portolan_core::{
    auth::{TokenRefusal, UnverifiedToken},
    text::{differing, quoted},
};
use portolan_runtime::{clock, explain, process, readiness::Readiness, tasks::Tasks};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

use crate::{
    accounts::{AnnotationFault, KnownAccount, MAX_FAULTS},
    args::{ExchangeArgs, ExplainArgs},
    audit::CallerFacts,
    decide::{self, SourceToken},
    issuer::SourceIssuer,
    outcome::{ExchangeDenial, ExchangeWish},
    service::{account, decided},
    state::{ConfigSnapshot, ExchangeState},
};

pub fn run(args: &ExchangeArgs, wanted: &ExplainArgs) -> ExitCode {
    // Without its configuration and its cluster there is nothing to explain.
    explain::run(&args.log, |token| said(args, wanted, token))
}

async fn said(
    args: &ExchangeArgs,
    wanted: &ExplainArgs,
    token: SecretString,
) -> Result<String, process::ProcessFailure> {
    let tasks = Tasks::default();
    let (faults, _unheard) = mpsc::channel::<AnnotationFault>(MAX_FAULTS);
    let target = crate::target(args).await?;
    let state =
        ExchangeState::load(args.config.clone(), target, faults, (&tasks, &Readiness::default())).await?;
    let wish = ExchangeWish {
        token,
        namespace: wanted.namespace.clone(),
        account: wanted.service_account.clone(),
        from: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let text = explained(&state, &wish).await;
    tasks.cancel();
    Ok(text)
}

async fn explained(state: &ExchangeState, wish: &ExchangeWish) -> String {
    let mut text = String::new();
    let token = match UnverifiedToken::parse(wish.token.expose_secret()) {
        Ok(token) => token,
        Err(refusal) => return format!("form       refused: {refusal} ({})\n", refusal.label()),
    };
    let mut line = |name: &str, what: &str| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{name:<11}{what}");
    };
    line("form", "compact JWS");
    line("algorithm", &format!("{:?}", token.unverified_algorithm()));
    line("issuer", &format!("{} (claimed)", quoted(token.unverified_issuer())));
    line("key id", &format!("{} (claimed)", quoted(token.unverified_key_id().unwrap_or("none"))));
    let snapshot = state.snapshot();
    explain::wait_for_keys(snapshot.issuers.values().map(|issuer| &*issuer.jwks)).await;
    for issuer in snapshot.issuers.values() {
        line("listed", &candidate(issuer, &token));
    }
    let mut about = CallerFacts::default();
    let outcome = decided(state, &snapshot, wish, &mut about).await;
    if let Some(listed) = snapshot.issuer(token.unverified_issuer())
        && let Ok(claims) = listed.verify(&token, clock::now()).await
    {
        let wanted = snapshot.config.audiences_of(&listed.config);
        line("subject", &quoted(claims.sub.as_deref().unwrap_or_default()));
        line("audiences", &format!("{:?}, and one of {wanted:?} is wanted", claims.aud.0));
        if let Ok(account) = account(&snapshot, wish, true).await {
            let source = SourceToken { token: &token, claims: &claims, wanted };
            for said in bindings(&account, source) {
                line("binding", &said);
            }
        }
    }
    match outcome {
        Ok(approved) => {
            line("verdict", "a token would be made");
            line(
                "account",
                &format!("{}/{}, by binding {:?}", wish.namespace, wish.account, approved.binding.key),
            );
            line("lifetime", &format!("{} s", approved.lifetime.as_secs()));
        }
        Err(denied) => {
            line("verdict", &format!("refused by rule {}", denied.label()));
            line("cure", &help(&denied, &snapshot, wish));
        }
    }
    text
}

fn candidate(issuer: &SourceIssuer, token: &UnverifiedToken<'_>) -> String {
    let name = issuer.config.name();
    if token.claims_to_be_of(&issuer.config.issuers) {
        return format!("{name}: same issuer, {}", issuer.jwks.about(token));
    }
    format!("{name}: another issuer: {}", differing(token.unverified_issuer(), name))
}

/// Explains for each binding of an account whether a source meets it.
fn bindings(account: &KnownAccount, source: SourceToken<'_>) -> Vec<String> {
    let good = account.bindings.good.iter().map(|binding| {
        let key = &binding.key;
        if binding.issuer != source.claims.iss {
            return format!("{key:?}: another issuer: {}", differing(&source.claims.iss, &binding.issuer));
        }
        match decide::missing(binding, source) {
            None => format!("{key:?}: met"),
            Some((_, "subject")) => {
                let subject = source.claims.sub.as_deref().unwrap_or_default();
                format!("{key:?}: another subject: {}", differing(subject, &binding.subject))
            }
            Some((_, missing)) => format!("{key:?}: not met: {missing}"),
        }
    });
    let broken =
        account.bindings.broken.iter().map(|broken| format!("{:?}: broken: {}", broken.key, broken.problem));
    good.chain(broken).collect()
}

/// The remedy for a denial.
fn help(denied: &ExchangeDenial, snapshot: &ConfigSnapshot, wish: &ExchangeWish) -> String {
    let label = denied.label();
    let of_account = format!("{}/{}", wish.namespace, wish.account);
    match label {
        "issuer" => "list the issuer under issuers, byte for byte as the token names it".to_owned(),
        "namespace" => {
            let listed: Vec<_> = snapshot.config.namespaces.iter().map(String::as_str).collect();
            format!("list the namespace under namespaces; there are: {}", listed.join(", "))
        }
        "name" => "these are not names of a namespace and a ServiceAccount".to_owned(),
        "account" => format!("there is no ServiceAccount {of_account}"),
        "no_binding" => {
            format!("annotate ServiceAccount {of_account} with a binding to this issuer and subject")
        }
        "subject" | "uid" | "claims" | "binding_audience" => {
            "the binding names another source; see the lines above".to_owned()
        }
        decide::FOR_OTHERS => "ask the issuer for a token with one of the wanted audiences".to_owned(),
        "source_lifetime" => {
            "get a token with a shorter life, or raise maxSourceLifetime of the issuer (at most 25h)"
                .to_owned()
        }
        "read_forbidden" => "apply the Role of charts/token-exchange in this namespace".to_owned(),
        "rate" => "wait a second".to_owned(),
        _ => match denied {
            ExchangeDenial::Unavailable(_) | ExchangeDenial::Internal => {
                "run `token-exchange check` to see what cannot be reached".to_owned()
            }
            _ => of_refusal(label).and_then(|refusal| refusal.cure()).unwrap_or_default().to_owned(),
        },
    }
}

/// The refusal of a token that has a label.
fn of_refusal(label: &str) -> Option<TokenRefusal> {
    let known = [
        TokenRefusal::Malformed,
        TokenRefusal::TooLarge,
        TokenRefusal::Algorithm,
        TokenRefusal::Type,
        TokenRefusal::UnknownKey,
        TokenRefusal::Signature,
        TokenRefusal::Expired,
        TokenRefusal::NotYet,
        TokenRefusal::Identity,
        TokenRefusal::Legacy,
        TokenRefusal::Revoked,
        TokenRefusal::Contradiction,
    ];
    known.into_iter().find(|refusal| refusal.label() == label)
}
