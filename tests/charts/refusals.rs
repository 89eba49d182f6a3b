//! Values that are refused, with a sentence that says what to do.

use super::{RELEASE, SERVICES, chart, sufficient, template};

/// The message with which Helm refuses a chart with some values.
fn refusal(name: &str, values: &str) -> Option<String> {
    let output = template(RELEASE, &chart(name), values)?;
    assert!(!output.status.success(), "{name} takes {values:?}");
    Some(String::from_utf8(output.stderr).unwrap())
}

fn refuses(name: &str, values: &str, message: &str) {
    if let Some(said) = refusal(name, values) {
        assert!(said.contains(message), "{name} with {values:?}: {said}");
    }
}

#[test]
fn a_value_that_is_misspelt_or_of_another_type_is_named() {
    let cases = [
        ("replicaz: 3", "additional properties 'replicaz' not allowed"),
        ("image: {tagg: v1}", "at '/image': additional properties 'tagg' not allowed"),
        ("podDisruptionBudget: {minAvailable: 1}", "additional properties 'minAvailable' not allowed"),
        ("serviceMonitor: {enable: true}", "additional properties 'enable' not allowed"),
        ("livenessProbe: {period: 3}", "additional properties 'period' not allowed"),
        ("replicas: '3'", "at '/replicas': got string, want integer"),
        ("replicas: -1", "at '/replicas': minimum: got -1, want 0"),
        ("image: {repository: ''}", "at '/image/repository'"),
        ("image: {digest: sha256:abc}", "at '/image/digest'"),
        ("image: {pullPolicy: Sometimes}", "at '/image/pullPolicy'"),
        ("args: --one", "at '/args': got string, want array"),
        ("serviceMonitor: {interval: 30}", "at '/serviceMonitor/interval'"),
        ("prometheusRule: {runbookBase: 'https://a.example'}", "at '/prometheusRule/runbookBase'"),
        ("podDisruptionBudget: {maxUnavailable: 0}", "at '/podDisruptionBudget/maxUnavailable'"),
        ("podDisruptionBudget: {maxUnavailable: 0%}", "at '/podDisruptionBudget/maxUnavailable'"),
        ("fullnameOverride: Upper", "at '/fullnameOverride'"),
        ("portolan-lib: {a: 1}", "additional properties 'a' not allowed"),
        ("image: null", "at '': missing property 'image'"),
        ("image: {repository: null}", "at '/image': missing property 'repository'"),
        ("serviceAccount: null", "at '': missing property 'serviceAccount'"),
        ("serviceAccount: {create: null}", "at '/serviceAccount': missing property 'create'"),
        ("podDisruptionBudget: {maxUnavailable: null}", "missing property 'maxUnavailable'"),
        ("prometheusRule: {runbookBase: null}", "missing property 'runbookBase'"),
    ];
    for service in SERVICES {
        for (values, message) in cases {
            refuses(service, &sufficient(service, &format!("{values}\n")), message);
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row for each refusal")]
fn what_would_not_work_is_refused_with_the_cure() {
    let both = "tls: {secretName: tls}\n";
    let cases = [
        (
            "konnector",
            "boundGroups: ['*']".to_owned(),
            "\"*\" and the core group would be rights on everything",
        ),
        (
            "token-service",
            both.to_owned(),
            "set config, or existingConfigMap or existingSecret to one with the key clusters.yaml: without it, no cluster is known",
        ),
        (
            "token-exchange",
            both.to_owned(),
            "with the key exchange.yaml: without it, nobody may exchange anything",
        ),
        (
            "token-service",
            format!("{both}existingSecret: a\nexistingConfigMap: b"),
            "set only one of config, existingConfigMap and existingSecret",
        ),
        (
            "token-exchange",
            format!("{both}config: {{a: 1}}\nexistingConfigMap: b"),
            "set only one of config, existingConfigMap and existingSecret",
        ),
        (
            "token-service",
            "existingSecret: a".to_owned(),
            "set tls.secretName to a Secret of type kubernetes.io/tls; or plainHttp=true",
        ),
        (
            "token-exchange",
            format!("{both}existingSecret: a\nplainHttp: true"),
            "set only one of tls.secretName and plainHttp",
        ),
        (
            "gateway",
            format!("{both}definitions: {{emptyDir: {{}}}}\nlistener: {{url: 'https://l'}}"),
            "set only one of listener.url and definitions",
        ),
        (
            "gateway",
            format!("{both}persistedDocuments: {{only: true}}"),
            "set persistedDocuments.configMapName: with persistedDocuments.only, nothing else is executed",
        ),
        (
            "gateway",
            "replicas: 1".to_owned(),
            "set tls.secretName to a Secret of type kubernetes.io/tls; or plainHttp=true",
        ),
        (
            "portal",
            "replicas: 1".to_owned(),
            "set tls.secretName to a Secret of type kubernetes.io/tls; or plainHttp=true",
        ),
        (
            "portal",
            format!("{both}oidc: {{issuer: 'https://i.example', clientId: c}}"),
            "set externalUrl: the issuer sends browsers back to it",
        ),
        (
            "portal",
            format!("{both}externalUrl: https://p.example\noidc: {{issuer: 'https://i.example'}}"),
            "set oidc.clientId: the portal's id at the issuer",
        ),
        (
            "portal",
            format!("{both}identity: {{mode: impersonate}}"),
            "set oidc.issuer: with identity.mode=impersonate, nobody else is impersonated",
        ),
        (
            "token-service",
            format!("{both}existingSecret: a\nhttpRoute: {{enabled: true}}"),
            "set httpRoute.parentRefs: a route needs a Gateway",
        ),
    ];
    for (name, values, message) in cases {
        refuses(name, &values, message);
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_place() {
    let both = "tls: {secretName: tls}\n";
    let cases = [
        ("token-service", format!("{both}existingSecret: a\nservice: {{port: 0}}"), "at '/service/port'"),
        (
            "token-service",
            format!("{both}existingSecret: a\nservice: {{type: ExternalName}}"),
            "at '/service/type'",
        ),
        (
            "token-exchange",
            format!("{both}existingSecret: a\nautoscaling: {{minReplicas: 0}}"),
            "at '/autoscaling/minReplicas'",
        ),
        ("gateway", format!("{both}listener: {{url: 'http://l'}}"), "at '/listener/url'"),
        ("portal", format!("{both}identity: {{groups: ['system:masters']}}"), "at '/identity/groups/0'"),
        ("portal", format!("{both}identity: {{usernamePrefix: ''}}"), "at '/identity/usernamePrefix'"),
        ("portal", format!("{both}session: {{keys: []}}"), "at '/session/keys'"),
        (
            "token-exchange",
            format!("{both}existingSecret: a\ncredentials: [{{name: x}}]"),
            "missing property 'secretName'",
        ),
    ];
    for (name, values, message) in cases {
        refuses(name, &values, message);
    }
}

#[test]
fn rights_on_everything_and_an_umbrella_of_nothing_are_refused() {
    let cases = [
        ("konnector", "boundGroups: ['']", "name API groups such as wildwest.dev"),
        ("konnector", "secretNamespaces: [A_b]", "at '/secretNamespaces/0'"),
        (
            "portolan",
            "",
            "nothing is switched on: set enabled=true of at least one of konnector, provider, token-service, token-exchange, listener, gateway",
        ),
        ("portolan", "konector: {enabled: true}", "additional properties 'konector' not allowed"),
        (
            "portolan",
            "konnector: {enabled: true, replicaz: 1}",
            "additional properties 'replicaz' not allowed",
        ),
        ("portolan", "konnector: {enabled: 'true'}", "at '/konnector/enabled': got string, want boolean"),
        ("portolan", "token-service: {enabled: true}", "set config, or existingConfigMap"),
    ];
    for (name, values, message) in cases {
        refuses(name, values, message);
    }
}
