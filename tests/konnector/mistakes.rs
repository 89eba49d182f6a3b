//! Mistakes on the command line end with exit code 64, and objects with odd names are still reported.

use std::path::Path;

use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, PostParams},
};
use portolan_testkit::{command::Line, eventually::eventually, workdir::Workdir};
use serde_json::json;

use crate::support::{SOON, Service, clusters, cowboy};

/// No port of the machine is taken for what ends at once.
const PORTS: [&str; 2] = ["--admin-address=127.0.0.1:0", "--server-address=127.0.0.1:0"];

/// Runs a service or a command with a kubeconfig, and gives its exit code and what it said.
async fn ended(home: &Path, service: &str, words: &[&str], kubeconfig: &str) -> (i32, String) {
    let path = home.join("kubeconfig");
    if kubeconfig.is_empty() {
        let _ = std::fs::remove_file(&path);
    } else {
        std::fs::write(&path, kubeconfig).unwrap();
    }
    let flag = format!("--kubeconfig={}", path.display());
    let mut arguments = words.to_vec();
    arguments.push(&flag);
    if words.is_empty() {
        arguments.extend(PORTS.iter().take(if service == "konnector" { 2 } else { 1 }));
    }
    let ran = Line::binary(service, home, &arguments).unwrap().run().await.unwrap();
    (ran.code, ran.stderr)
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_a_usage_error() {
    let home = Workdir::new("mistakes").unwrap();
    let good = clusters().await.consumer.kubeconfig();
    let with = |from: &str, to: &str| good.replace(from, to);
    let rubbish = with("certificate-authority-data: ", "certificate-authority-data: '!' # ");
    let table = [
        ("", "no file"),
        ("rubbish", "no kubeconfig"),
        ("a: [", "no YAML"),
        (&with("current-context: portolan", "current-context: other"), "no context"),
        (&rubbish, "no certificate"),
    ];
    let programs: [(&str, &[&str]); 5] = [
        ("konnector", &[]),
        ("provider", &[]),
        ("konnector", &["drain", "--bundle=x"]),
        ("konnector", &["release", "--bundle=x"]),
        ("provider", &["kubeconfig", "--consumer=x"]),
    ];
    for (kubeconfig, what) in table {
        for (service, words) in programs {
            let (code, said) = ended(home.path(), service, words, kubeconfig).await;
            assert_eq!(code, 64, "{service} {words:?} with {what}: {said}");
            assert!(!said.is_empty(), "{service} {words:?} with {what}");
        }
    }
    for flag in ["--no-such-flag", "--log-level=a=b=c"] {
        for service in ["konnector", "provider"] {
            assert_eq!(ended(home.path(), service, &[flag], &good).await.0, 64, "{service} {flag}");
        }
    }
}

#[tokio::test]
async fn an_event_arrives_whatever_the_object_is_called() {
    let service = Service::bind(clusters().await, "long-names").await;
    service.create("first", &json!({"intent": "ride"})).await;
    service.arrives("first").await;
    let longest = format!("{}.{}", "x".repeat(126), "y".repeat(126));
    for name in [longest.as_str(), "a.b-c.d"] {
        let theirs = cowboy(&service.resource, name, &json!({"intent": "theirs"}));
        service.there().create(&PostParams::default(), &theirs).await.unwrap();
        let origin = service.create(name, &json!({"intent": "ours"})).await;
        let events: Api<Event> = Api::namespaced(service.consumer.clone(), "long-names");
        let about = |event: &Event| event.regarding.as_ref().and_then(|on| on.uid.clone()) == origin.uid();
        let event = eventually("an Event says that the name is taken", SOON, async || {
            let all = events.list(&ListParams::default()).await?;
            Ok::<_, kube::Error>(all.items.into_iter().find(about))
        })
        .await
        .unwrap();
        assert_eq!(event.reason.as_deref(), Some("ForeignObject"));
        assert!(event.name_any().len() <= 253 && event.name_any().starts_with(&name[..5]));
    }
    let log = clusters().await.konnector.log_tail(usize::MAX);
    assert!(!log.contains("failed to write an Event"), "{log}");
    let longest = log.lines().max_by_key(|line| line.len()).unwrap_or_default();
    assert!(longest.len() < 2500, "{longest}");
}
