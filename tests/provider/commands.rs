//! The commands of whoever runs a provider: who there is, who is shut out, what is wrong.

use k8s_openapi::api::{
    authorization::v1::SelfSubjectAccessReview,
    core::v1::{Secret, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceExport, ClusterBinding},
    kubeconfig::parse,
};
use portolan_testkit::{eventually, kubeconfig, watch_until};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene};

async fn rows(scene: &Scene) -> Value {
    let output = scene.run(&["consumers", "-o", "json"]).await;
    assert!(output.status.success(), "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

fn row(rows: &Value, name: &str) -> Value {
    rows.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn consumers_are_listed_with_what_is_known_of_each() {
    let scene = Scene::shared("listed").await;
    let consumer = scene.consumer("listed").await;
    scene.create_crd("mangos", "Namespaced").await;
    let name = scene.crd_name("mangos");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &consumer.namespace);
    watch_until(exports.clone(), &name, |_| true, SOON).await.unwrap();
    let fresh = row(&rows(&scene).await, "listed");
    assert_eq!((&fresh["namespace"], &fresh["exports"]), (&json!("kube-bind-listed"), &json!(1)));
    assert_eq!((&fresh["lastContact"], &fresh["bound"]), (&json!(null), &json!([])));
    assert!(fresh["kubeconfigExpires"].as_str().unwrap().ends_with('Z'), "{fresh}");

    // What a konnector reports that does so once in a hundred years.
    let time = "2026-01-01T00:00:00Z";
    let beat = json!({"status": {
        "lastHeartbeatTime": time, "heartbeatInterval": "876000h0m0s", "konnectorVersion": "v9.9.9",
    }});
    let bindings: Api<ClusterBinding> = Api::namespaced(scene.client(), &consumer.namespace);
    watch_until(bindings.clone(), "cluster", |_| true, SOON).await.unwrap();
    bindings.patch_status("cluster", &PatchParams::default(), &Patch::Merge(&beat)).await.unwrap();
    let condition = json!({"type": "Connected", "status": "True", "lastTransitionTime": time});
    let connected = json!({"status": {"conditions": [condition]}});
    exports.patch_status(&name, &PatchParams::default(), &Patch::Merge(&connected)).await.unwrap();
    let known = eventually("the provider has judged it", SOON, async || {
        let known = row(&rows(&scene).await, "listed");
        Ok::<_, anyhow::Error>((known["healthy"] == true).then_some(known))
    });
    let known = known.await.unwrap();
    assert_eq!((&known["lastContact"], &known["konnectorVersion"]), (&json!(time), &json!("v9.9.9")));
    assert_eq!(known["bound"], json!([name]));

    let table = scene.run(&["consumers"]).await.stdout;
    let line = table.lines().find(|line| line.starts_with("listed ")).unwrap();
    for part in ["ok", "1 of 1", name.as_str(), "ago", "in "] {
        assert!(line.contains(part), "{table}");
    }
    assert!(table.starts_with("CONSUMER"), "{table}");
}

/// Returns `true` if the API server still knows a credential.
async fn is_known(client: &Client) -> bool {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = serde_json::from_value(json!({
        "metadata": {}, "spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}},
    }));
    match api.create(&PostParams::default(), &review.unwrap()).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) => status.code != 401,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_revoked_consumer_is_shut_out_and_the_new_kubeconfig_works() {
    let scene = Scene::shared("revoked").await;
    let consumer = scene.consumer("revoked").await;
    let untouched = scene.consumer("revoked-not").await;
    let old = kubeconfig::client(&consumer.kubeconfig).await.unwrap();
    let other = kubeconfig::client(&untouched.kubeconfig).await.unwrap();
    assert!(is_known(&old).await && is_known(&other).await);
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client(), &consumer.namespace);
    let before = accounts.get("kube-binder").await.unwrap().uid();

    let output = scene.run(&["revoke", "--consumer", "revoked"]).await;
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stderr.contains("every token of consumer revoked is revoked"), "{}", output.stderr);
    assert_ne!(accounts.get("kube-binder").await.unwrap().uid(), before);
    eventually("the old token is revoked", SOON, async || {
        Ok::<_, kube::Error>((!is_known(&old).await).then_some(()))
    })
    .await
    .unwrap();
    assert!(is_known(&other).await);
    // With a watch that was begun with it, the old token still shows this Secret.
    let secrets: Api<Secret> = Api::namespaced(scene.client(), &consumer.namespace);
    let kept = secrets.get("kubeconfig").await.unwrap().data.unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&kept["kubeconfig"].0), consumer.kubeconfig);
    assert_ne!(output.stdout, consumer.kubeconfig);

    let access = parse(output.stdout.as_bytes()).unwrap();
    assert_eq!(
        (access.namespace.as_str(), access.server),
        ("kube-bind-revoked", scene.control_plane().server_url())
    );
    let new = kubeconfig::client(&output.stdout).await.unwrap();
    let exports: Api<APIServiceExport> = Api::namespaced(new, "kube-bind-revoked");
    exports.list(&ListParams::default()).await.unwrap();

    for (arguments, code, said) in [
        (["revoke", "--consumer", "nobody-at-all"], 1, "there is no consumer \"nobody-at-all\""),
        (["revoke", "--consumer", "Not_A_Name"], 64, "--consumer: \"Not_A_Name\" is not a DNS label"),
    ] {
        let output = scene.run(&arguments).await;
        assert_eq!(output.status.code(), Some(code), "{}", output.stderr);
        assert!(output.stderr.contains(said) && output.stdout.is_empty(), "{}", output.stderr);
    }
}

#[tokio::test]
async fn check_finds_what_is_wrong_and_says_what_to_do() {
    let scene = Scene::shared("checked").await;
    scene.consumer("checked").await;
    scene.create_crd("mangos", "Namespaced").await;
    scene.create_crd("sheriffs", "Cluster").await;
    let name = scene.crd_name("mangos");
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), "kube-bind-checked");
    watch_until(exports, &name, |export| export.status.is_some(), SOON).await.unwrap();
    let output = scene.run(&["check", "-o", "json"]).await;
    let checks: Value = serde_json::from_str(&output.stdout).unwrap();
    let found = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
        check.cloned().unwrap_or_else(|| panic!("no {name}: {checks}"))
    };
    for good in [
        "reachability of this cluster".to_owned(),
        "CRD apiserviceexports.kube-bind.io".to_owned(),
        "right to apiserviceexports.kube-bind.io".to_owned(),
        "running provider".to_owned(),
        format!("offer of {name}"),
        format!("export kube-bind-checked/{name}"),
        "kubeconfig of consumer checked".to_owned(),
    ] {
        assert_eq!(found(&good)["ok"], true, "{}", found(&good));
    }
    for bad in
        [format!("offer of {}", scene.crd_name("sheriffs")), "konnector of consumer checked".to_owned()]
    {
        let check = found(&bad);
        assert_eq!(check["ok"], false, "{check}");
        assert!(!check["cure"].as_str().unwrap().is_empty(), "{check}");
        assert!(check["docs"].as_str().unwrap().starts_with("docs/provider.md#"), "{check}");
    }
    assert_eq!(output.status.code(), Some(1));
    let text = scene.run(&["check"]).await.stdout;
    assert!(text.contains("[+] running provider") && text.contains("    cure: "), "{text}");
}

#[tokio::test]
async fn what_somebody_has_to_change_on_the_command_line_ends_with_64() {
    let scene = Scene::shared("usage").await;
    let nowhere = "--admin-address=127.0.0.1:0";
    let table: [(&[&str], &str); 9] = [
        (&["--nonsense"], "--nonsense"),
        (&["nonsense"], "nonsense"),
        (&["--drain-limit=0"], "--drain-limit"),
        (&["--kubeconfig=/no/such/file", nowhere], "/no/such/file"),
        (&["--context=nowhere", nowhere], "nowhere"),
        (&["--admin-address=192.0.2.1:1"], "192.0.2.1:1"),
        (&["--log-level=a=b=c"], "a=b=c"),
        (&["kubeconfig", "--consumer", "usage", "--kubeconfig=/no/such/file"], "/no/such/file"),
        (&["consumers", "--context=nowhere"], "nowhere"),
    ];
    for (arguments, said) in table {
        let output = scene.run(arguments).await;
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{arguments:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn another_pretty_name_reaches_the_consumers_that_are_there() {
    let scene = Scene::of_its_own("pretty").await;
    let (first, second) = (scene.consumer("pretty-a").await, scene.consumer("pretty-b").await);
    let binding = |namespace: &str| Api::<ClusterBinding>::namespaced(scene.client(), namespace);
    let (first, second) = (binding(&first.namespace), binding(&second.namespace));
    for binding in [&first, &second] {
        watch_until(binding.clone(), "cluster", |_| true, SOON).await.unwrap();
    }
    // This one was named by a person.
    let named = json!({"spec": {"providerPrettyName": "By hand"}});
    second.patch("cluster", &PatchParams::default(), &Patch::Merge(&named)).await.unwrap();
    let _scene = scene.restarted_with(&["--pretty-name", "Another"]).await;
    let is = |binding: &ClusterBinding| binding.spec.provider_pretty_name == "Another";
    watch_until(first, "cluster", is, SOON).await.unwrap();
    assert_eq!(second.get("cluster").await.unwrap().spec.provider_pretty_name, "By hand");
}
