//! The parts of a product's status that are fetched from elsewhere: the token endpoint and the OpenAPI text.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use portolan_core::{
    api::devportal::{
        APIProduct, APIProductStatus, ConfigMapReference, DiscoveredAuthScheme, OidcDiscovery, OpenApiStatus,
        openapi_config_map_name,
    },
    condition::ConditionStatus,
    standard_condition::{self, Judgement, find},
};

use crate::{
    fetches::{
        FetchOutcome, FetchTarget, OidcOutcome, OpenApiOutcome, OpenApiText, RememberedAnswer, location,
    },
    names::ObjectName,
    scheme,
};

pub(super) const OIDC: &str = "OIDCDiscovered";
pub(super) const OPENAPI: &str = "OpenAPISpecReady";

/// The documents that a product needs, and those that its status has.
pub(super) fn targets(
    product: &APIProduct,
    scheme: Option<&DiscoveredAuthScheme>,
) -> Vec<(FetchTarget, Option<RememberedAnswer>)> {
    let oidc = scheme
        .and_then(scheme::issuer)
        .map(|issuer| (FetchTarget::Oidc(issuer.to_owned()), known_oidc(product, issuer)));
    let openapi = openapi_url(product).map(|url| (openapi_target(product, url), known_openapi(product, url)));
    oidc.into_iter().chain(openapi).collect()
}

fn openapi_url(product: &APIProduct) -> Option<&str> {
    let url = product.spec.documentation.as_ref()?.open_api_spec_url.as_deref()?.trim();
    (!url.is_empty()).then_some(url)
}

fn openapi_target(product: &APIProduct, url: &str) -> FetchTarget {
    let uid = product.uid().unwrap_or_default();
    FetchTarget::OpenApi { product: ObjectName::of(product), uid, url: url.to_owned() }
}

/// The result of a former process about an issuer.
fn known_oidc(product: &APIProduct, issuer: &str) -> Option<RememberedAnswer> {
    let status = product.status.as_ref()?;
    let said = find(&status.conditions, OIDC).filter(|said| said.message.contains(&location(issuer)))?;
    let token_endpoint = Some(status.oidc_discovery.as_ref()?.token_endpoint.clone());
    let note = said.message.strip_prefix(&discovered(issuer));
    Some(if let Some(note) = note.filter(|_| said.status == ConditionStatus::True) {
        let note = note.strip_prefix(": ").map(str::to_owned);
        RememberedAnswer::Answer(FetchOutcome::Oidc(OidcOutcome { token_endpoint, failure: None, note }))
    } else {
        let last = OidcOutcome { token_endpoint, ..OidcOutcome::default() };
        RememberedAnswer::Last(FetchOutcome::Oidc(last))
    })
}

/// The document that a former process has read.
fn known_openapi(product: &APIProduct, url: &str) -> Option<RememberedAnswer> {
    let status = product.status.as_ref()?;
    let kept = status.openapi.as_ref().filter(|kept| kept.source_url == url)?;
    let raw = kept.config_map_ref.is_none().then(|| kept.raw.as_str().into());
    let bytes = usize::try_from(kept.bytes).ok()?;
    let text = OpenApiText { sha256: kept.sha256.clone(), bytes, raw };
    let outcome = FetchOutcome::OpenApi(OpenApiOutcome { text: Some(text), failure: None });
    let is_good = find(&status.conditions, OPENAPI).is_some_and(|said| said.status == ConditionStatus::True);
    Some(if is_good { RememberedAnswer::Answer(outcome) } else { RememberedAnswer::Last(outcome) })
}

fn discovered(issuer: &str) -> String {
    format!("OIDC discovery fetched from {}", location(issuer))
}

/// Fills in what was fetched.
pub(super) fn fill(
    product: &APIProduct,
    status: &mut APIProductStatus,
    now: Timestamp,
    outcome: impl Fn(&FetchTarget) -> Option<FetchOutcome>,
) {
    let issuer = status.discovered_auth_scheme.as_ref().and_then(scheme::issuer).map(str::to_owned);
    let oidc = issuer.as_ref().and_then(|issuer| outcome(&FetchTarget::Oidc(issuer.clone())));
    let oidc = if let Some(FetchOutcome::Oidc(oidc)) = oidc { Some(oidc) } else { None };
    let generation = product.metadata.generation;
    // What was said of the same issuer stands until there is an answer.
    let about = |issuer: &String| {
        find(&status.conditions, OIDC).is_some_and(|said| said.message.contains(&location(issuer)))
    };
    if oidc.is_some() || !issuer.as_ref().is_some_and(about) {
        let endpoint = oidc.as_ref().and_then(|oidc| oidc.token_endpoint.clone());
        status.oidc_discovery = endpoint.map(|token_endpoint| OidcDiscovery { token_endpoint });
        let judgement = judge_oidc(issuer.as_deref(), oidc);
        standard_condition::set(&mut status.conditions, OIDC, judgement, generation, now);
    }
    let Some(url) = openapi_url(product) else {
        status.openapi = None;
        return standard_condition::remove(&mut status.conditions, OPENAPI);
    };
    let read = outcome(&openapi_target(product, url));
    let read = if let Some(FetchOutcome::OpenApi(read)) = read { Some(read) } else { None };
    let is_said =
        find(&status.conditions, OPENAPI).is_some_and(|said| said.observed_generation == generation);
    if read.is_none() && is_said {
        return;
    }
    let judgement = judge_openapi(read.as_ref());
    standard_condition::set(&mut status.conditions, OPENAPI, judgement, generation, now);
    // The text of another URL stays until there is an answer.
    if let Some(read) = read {
        status.openapi = read.text.map(|text| kept(product, url, &text, now));
    }
}

fn judge_oidc(issuer: Option<&str>, outcome: Option<OidcOutcome>) -> Judgement {
    let Some(issuer) = issuer else {
        return Judgement::fails("NoOIDCAuth", "No JWT/OIDC authentication configured in AuthPolicy");
    };
    match outcome {
        None => Judgement::unknown("Fetching", format!("{} is being asked", location(issuer))),
        Some(OidcOutcome { failure: Some(why), token_endpoint, .. }) => {
            let kept = if token_endpoint.is_some() { ". The last token endpoint is kept" } else { "" };
            Judgement::fails("DiscoveryFailed", format!("{why}{kept}"))
        }
        Some(OidcOutcome { note: Some(note), .. }) => {
            Judgement::holds("Discovered", format!("{}: {note}", discovered(issuer)))
        }
        Some(_) => Judgement::holds("Discovered", discovered(issuer)),
    }
}

fn judge_openapi(outcome: Option<&OpenApiOutcome>) -> Judgement {
    match outcome {
        None => Judgement::unknown("Fetching", "The OpenAPI spec is being read"),
        Some(OpenApiOutcome { failure: Some((reason, why)), text }) => {
            let kept = if text.is_some() { ". The last text is kept" } else { "" };
            Judgement::fails(reason, format!("{why}{kept}"))
        }
        Some(_) => Judgement::holds("SpecFetched", "OpenAPI spec was successfully fetched"),
    }
}

fn kept(product: &APIProduct, url: &str, text: &OpenApiText, now: Timestamp) -> OpenApiStatus {
    let before = product.status.as_ref().and_then(|status| status.openapi.as_ref());
    let is_same = |before: &&OpenApiStatus| before.sha256 == text.sha256 && before.source_url == url;
    let since = before.filter(is_same).map_or(Time(now), |before| before.last_sync_time.clone());
    let name = openapi_config_map_name(&product.name_any());
    OpenApiStatus {
        raw: text.raw.as_deref().unwrap_or_default().to_owned(),
        sha256: text.sha256.clone(),
        bytes: i64::try_from(text.bytes).unwrap_or(i64::MAX),
        last_sync_time: since,
        source_url: url.to_owned(),
        config_map_ref: text.raw.is_none().then_some(ConfigMapReference { name }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn product() -> APIProduct {
        serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct", "metadata": {"name": "p", "namespace": "a"},
            "spec": {"displayName": "P", "targetRef": {"group": "g", "kind": "k", "name": "n"}, "documentation": {"openAPISpecURL": "https://a/spec"}},
        }))
        .unwrap()
    }

    fn scheme() -> DiscoveredAuthScheme {
        serde_json::from_value(
            json!({"authentication": {"users": {"jwt": {"issuerUrl": "https://issuer/"}}}}),
        )
        .unwrap()
    }

    fn outcomes(raw: Option<&str>) -> impl Fn(&FetchTarget) -> Option<FetchOutcome> {
        let text = OpenApiText { sha256: "s".to_owned(), bytes: 5, raw: raw.map(Into::into) };
        move |target| {
            Some(match target {
                FetchTarget::Oidc(_) => FetchOutcome::Oidc(OidcOutcome {
                    token_endpoint: Some("https://t".to_owned()),
                    failure: None,
                    note: None,
                }),
                FetchTarget::OpenApi { .. } => {
                    FetchOutcome::OpenApi(OpenApiOutcome { text: Some(text.clone()), failure: None })
                }
            })
        }
    }

    fn filled(outcome: impl Fn(&FetchTarget) -> Option<FetchOutcome>, second: i64) -> APIProductStatus {
        let mut status =
            APIProductStatus { discovered_auth_scheme: Some(scheme()), ..APIProductStatus::default() };
        fill(&product(), &mut status, Timestamp::from_second(second).unwrap(), outcome);
        status
    }

    fn reason<'a>(status: &'a APIProductStatus, r#type: &str) -> &'a str {
        &find(&status.conditions, r#type).unwrap().reason
    }

    #[test]
    fn what_a_former_process_knew_is_not_asked_again() {
        for raw in [Some("text!"), None] {
            let mut product = product();
            product.status = Some(filled(outcomes(raw), 1));
            let known = targets(&product, Some(&scheme()));
            let expected =
                known.iter().map(|(target, _)| outcomes(raw)(target).map(RememberedAnswer::Answer));
            assert!(known.iter().map(|(_, known)| known.clone()).eq(expected), "{known:?}");
            let mut again = product.status.clone().unwrap();
            fill(&product, &mut again, Timestamp::from_second(9).unwrap(), outcomes(raw));
            assert_eq!(Some(again), product.status, "and nothing is written");
        }
        assert!(targets(&product(), Some(&scheme())).iter().all(|(_, known)| known.is_none()));
    }

    #[test]
    fn another_product_of_the_same_name_is_asked_for_anew() {
        let of = |uid: &str| {
            let mut product = product();
            product.metadata.uid = Some(uid.to_owned());
            targets(&product, None)
        };
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }

    /// What a process gives that fetches in vain, with what was found last.
    fn in_vain(last: &FetchOutcome) -> FetchOutcome {
        match last.clone() {
            FetchOutcome::Oidc(last) => {
                let failure = Some(format!("{}: down", location("https://issuer/")));
                FetchOutcome::Oidc(OidcOutcome { failure, ..last })
            }
            FetchOutcome::OpenApi(last) => FetchOutcome::OpenApi(OpenApiOutcome {
                failure: Some(("FetchFailed", "down".to_owned())),
                ..last
            }),
        }
    }

    #[test]
    fn what_was_kept_when_something_went_wrong_is_kept_after_a_restart_too() {
        for raw in [Some("text!"), None] {
            let failing = |target: &FetchTarget| outcomes(raw)(target).map(|last| in_vain(&last));
            let mut product = product();
            product.status = Some(filled(outcomes(raw), 1));
            let mut status = product.status.clone().unwrap();
            fill(&product, &mut status, Timestamp::from_second(2).unwrap(), failing);
            assert_eq!((reason(&status, OIDC), reason(&status, OPENAPI)), ("DiscoveryFailed", "FetchFailed"));
            assert_eq!(status.oidc_discovery.as_ref().unwrap().token_endpoint, "https://t");
            assert_eq!(status.openapi.as_ref().unwrap().raw, raw.unwrap_or_default());
            product.status = Some(status);
            // A new process writes nothing before its own answer, and knows what it is to keep.
            let mut again = product.status.clone().unwrap();
            fill(&product, &mut again, Timestamp::from_second(9).unwrap(), |_| None);
            assert_eq!(Some(&again), product.status.as_ref());
            for (target, known) in targets(&product, Some(&scheme())) {
                assert_eq!(known, outcomes(raw)(&target).map(RememberedAnswer::Last), "{target:?}");
            }
        }
    }

    #[test]
    fn large_texts_are_referred_to() {
        let status = filled(outcomes(None), 1).openapi.unwrap();
        assert_eq!((status.raw.as_str(), status.config_map_ref.unwrap().name.as_str()), ("", "p-openapi"));
        assert_eq!(filled(outcomes(Some("text!")), 1).openapi.unwrap().raw, "text!");
    }

    #[test]
    fn nothing_is_known_before_it_was_asked_and_failures_say_why() {
        let asked = filled(|_| None, 1);
        assert_eq!((reason(&asked, OIDC), reason(&asked, OPENAPI)), ("Fetching", "Fetching"));
        assert!(asked.oidc_discovery.is_none() && asked.openapi.is_none());
        let failed = filled(
            |target| {
                Some(match target {
                    FetchTarget::Oidc(_) => FetchOutcome::Oidc(OidcOutcome {
                        failure: Some("why".to_owned()),
                        ..OidcOutcome::default()
                    }),
                    FetchTarget::OpenApi { .. } => FetchOutcome::OpenApi(OpenApiOutcome {
                        failure: Some(("SpecSizeTooLarge", "big".to_owned())),
                        text: None,
                    }),
                })
            },
            1,
        );
        assert_eq!(
            (reason(&failed, OIDC), reason(&failed, OPENAPI)),
            ("DiscoveryFailed", "SpecSizeTooLarge")
        );
        assert!(failed.oidc_discovery.is_none());
        let mut none = APIProductStatus::default();
        let mut plain = product();
        plain.spec.documentation = None;
        fill(&plain, &mut none, Timestamp::UNIX_EPOCH, |_| None);
        assert_eq!((reason(&none, OIDC), find(&none.conditions, OPENAPI)), ("NoOIDCAuth", None));
    }
}
