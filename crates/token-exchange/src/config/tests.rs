//! The configuration of the exchange: what is closed, what is open, what is refused.

use super::{file::HOUR, *};

fn parse(text: &str) -> Result<ExchangeConfig, String> {
    ExchangeConfig::parse(text).map_err(|error| error.to_string())
}

#[test]
fn without_a_word_nothing_is_open() {
    let config = ExchangeConfig::empty();
    assert_eq!(config.audiences, [AUDIENCE]);
    assert!(config.issuers.is_empty() && !config.any_issuer && !config.has_namespace("default"));
    assert_eq!(config.rates, RateLimits { per_caller: Some(50), per_issuer: Some(1000), per_address: None });
    let warnings = config.warnings(None);
    assert!(
        warnings.len() == 2 && warnings.iter().all(|w| w.contains("no token is exchanged")),
        "{warnings:?}"
    );
}

#[test]
fn every_open_door_is_warned_of() {
    let text = "{audiences: ['*'], anyIssuer: true, namespaces: ['*', kube-system], issuers: [{issuer: 'https://own'}]}";
    let warnings = parse(text).unwrap().warnings(Some("https://own"));
    for word in ["anyIssuer", "audiences \"*\"", "kube-system", "chains are possible"] {
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
    }
    assert_eq!(
        parse("{namespaces: [a], issuers: [{issuer: 'https://i'}]}").unwrap().warnings(Some("https://own")),
        [""; 0]
    );
}

#[test]
fn kube_system_is_there_only_by_name() {
    let every = parse("namespaces: ['*']").unwrap();
    assert!(every.has_namespace("default") && !every.has_namespace(KUBE_SYSTEM));
    assert!(parse("namespaces: ['*', kube-system]").unwrap().has_namespace(KUBE_SYSTEM));
}

#[test]
fn issuers_have_their_own_rules() {
    let text = "issuers:\n- {issuer: 'https://accounts.google.com'}\n\
                - {issuer: 'https://login.microsoftonline.com/t/v2.0', maxSourceLifetime: 90m, audiences: [api://x]}\n\
                - {issuer: 'https://sts.windows.net/t/'}\n\
                - {issuer: 'https://a', api_server: 'https://a:6443'}\n";
    let config = parse(text).unwrap();
    let google = &config.issuers["https://accounts.google.com"];
    assert_eq!(google.jwks_uri.as_deref(), Some("https://www.googleapis.com/oauth2/v3/certs"));
    assert_eq!((google.max_source_lifetime, config.audiences_of(google)), (HOUR, &[AUDIENCE.to_owned()][..]));
    let first = config.issuers["https://sts.windows.net/t/"].jwks_uri.as_deref();
    assert_eq!(first, Some("https://login.microsoftonline.com/common/discovery/keys"));
    let cluster = &config.issuers["https://a"];
    assert_eq!((google.require_key_id, cluster.require_key_id, &cluster.jwks_uri), (false, true, &None));
    let day = "issuers: [{issuer: 'https://i', maxSourceLifetime: 24h5m, jwks_uri: 'https://k/keys?p=1'}]";
    assert_eq!(parse(day).unwrap().issuers["https://i"].max_source_lifetime.as_secs(), 86_700);
    let both = "issuers: [{issuers: ['https://new', 'https://old'], api_server: 'https://a'}]";
    assert!(parse(both).unwrap().issuers["https://new"].has_name("https://old"));
    let azure = &config.issuers["https://login.microsoftonline.com/t/v2.0"];
    assert_eq!(
        (azure.max_source_lifetime.as_secs(), config.audiences_of(azure)),
        (5400, &["api://x".to_owned()][..])
    );
}

#[test]
fn the_url_of_keys_may_have_a_query() {
    for more in ["", ", api_server: 'https://i:6443'"] {
        let text = format!("issuers: [{{issuer: 'https://i', jwks_uri: 'https://k/keys?p=a&q=b'{more}}}]");
        assert_eq!(
            parse(&text).unwrap().issuers["https://i"].jwks_uri.as_deref(),
            Some("https://k/keys?p=a&q=b")
        );
    }
}

#[test]
fn mistakes_are_named() {
    let table = [
        ("issuer: []", "unknown field"),
        ("issuers: [{issuer: 'http://i'}]", "is not https"),
        ("issuers: [{issuer: ftp}]", "is not an https URL"),
        (
            "issuers: [{issuer: 'https://i', api_server: 'https://i', jwks_uri: 'ftp://i'}]",
            "is not an https URL",
        ),
        ("issuers: [{issuer: 'https://i', api_server: 'https://i', jwks_uri: 'http://i'}]", "is not https"),
        ("issuers: [{issuer: 'https://i', jwks_uri: keys}]", "is not an https URL"),
        ("issuers: [{issuer: 'https://i?a=b'}]", "has a query"),
        ("issuers: [{issuer: 'https://i'}, {issuer: 'https://i'}]", "listed twice"),
        ("issuers: [{issuer: 'https://i', token_path: /t}]", "token_path needs api_server"),
        ("issuers: [{issuer: 'https://i', mode: review}]", "jwks or hybrid"),
        ("issuers: [{issuer: 'https://i', api_server: 'https://i', mode: hybrid}]", "mode hybrid needs"),
        ("issuers: [{issuer: 'https://i', maxSourceLifetime: 25h1s}]", "at most 90000s"),
        ("issuers: [{issuers: []}]", "issuer is required"),
        ("issuers: [{}]", "issuer is required"),
        ("issuers: [{issuer: ''}]", "issuer is required"),
        ("issuers: [{issuer: 'https://i', issuers: ['https://j']}]", "not both"),
        (
            "issuers: [{issuers: ['https://i', 'https://j'], api_server: 'https://a'}, {issuer: 'https://j'}]",
            "\"https://j\" is listed twice",
        ),
        (
            "issuers: [{issuer: 'https://i', api_server: 'https://i', jwks_uri: 'ftp://i/keys'}]",
            "jwks_uri \"ftp://i/keys\" is not an https URL",
        ),
        (
            "issuers: [{issuer: 'https://i', api_server: 'https://i', jwks_uri: 'http://i/keys'}]",
            "is not https",
        ),
        ("issuers: [{issuer: 'https://i?a=b'}]", "has a query"),
        ("issuers: [{issuer: 'https://i', allow_addresses: [x]}]", "is not an address"),
        ("audiences: []", "name at least one"),
        ("namespaces: [Default]", "is not the name of a namespace"),
    ];
    for (text, problem) in table {
        assert!(parse(text).unwrap_err().contains(problem), "{text}: {:?}", parse(text));
    }
}
