//! The chart as Helm installs it: its account is enough for the provider.

use kube::Api;
use portolan_core::{
    api::kubebind::{APIServiceExport, CONDITION_PROVIDER_IN_SYNC},
    condition,
};
use portolan_testkit::{
    command::{chart, helm},
    watch_until,
    workdir::Workdir,
};

use crate::scene::{SOON, Scene};

#[tokio::test]
async fn a_crd_is_exported_with_nothing_but_the_chart() {
    let home = Workdir::new("provider-chart").unwrap();
    let Some(scene) = Scene::installed("charted", &home).await else {
        return println!("skipped: {}: there is no Go: https://go.dev/dl", module_path!());
    };
    let namespace = scene.consumer("charted").await.namespace;
    scene.create_crd("mangos", "Namespaced").await;
    let exports: Api<APIServiceExport> = Api::namespaced(scene.client(), &namespace);
    let in_sync = |export: &APIServiceExport| {
        export.status.as_ref().is_some_and(|s| condition::is_true(&s.conditions, CONDITION_PROVIDER_IN_SYNC))
    };
    watch_until(exports, &scene.crd_name("mangos"), in_sync, SOON).await.unwrap();

    // Rights in the whole cluster come with the value for them, and not before.
    for (allowed, expected) in [("false", false), ("true", true)] {
        let arguments = format!("template provider {} --set allowShared={allowed}", chart("provider"));
        let rendered = helm(home.path(), scene.control_plane(), &arguments).await.unwrap().unwrap().stdout;
        for part in ["--allow-shared", "clusterrolebindings", "kube-bind-shared-kinds"] {
            assert_eq!(rendered.contains(part), expected, "{allowed} {part}");
        }
    }
}
