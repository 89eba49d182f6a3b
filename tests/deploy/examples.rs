//! The examples of the documents, as docs/examples has them.

use std::fs;

use portolan_testkit::workdir::Workdir;

use crate::{cluster, kubectl, repository};

const STRICTLY: &str = "apply --server-side --validate=strict --filename -";
/// A Service of the document, whose name has dots.
const DOTS: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: api.app1.kube-fed, namespace: default}\n\
                    spec: {ports: [{port: 443, targetPort: 8080}]}\n";

fn example(name: &str) -> String {
    fs::read_to_string(repository().join("docs/examples").join(name)).unwrap()
}

#[tokio::test]
async fn every_manifest_is_taken_word_for_word() {
    let (plane, home) = (cluster("examples").await, Workdir::new("examples").unwrap());
    for crd in fs::read_dir(repository().join("charts/konnector/files/crds")).unwrap() {
        let text = fs::read_to_string(crd.unwrap().path()).unwrap();
        assert_eq!(kubectl(&plane, &home, STRICTLY, &text).await.code, 0);
    }
    let wait = "wait --for=condition=Established crd --all --timeout=30s";
    assert_eq!(kubectl(&plane, &home, wait, "").await.code, 0);
    assert_eq!(kubectl(&plane, &home, "create namespace smoke-tests", "").await.code, 0);
    for (name, objects) in [("bundles.yaml", 2), ("cluster-names.yaml", 4), ("service-account.yaml", 1)] {
        let ran = kubectl(&plane, &home, STRICTLY, &example(name)).await;
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let applied = ran.stdout.lines().filter(|line| line.ends_with(" serverside-applied")).count();
        assert_eq!(applied, objects, "{name}: {ran:?}");
    }
    // The document has this instead of the second one.
    let dots = kubectl(&plane, &home, STRICTLY, DOTS).await;
    assert!(dots.code != 0 && dots.stderr.contains("metadata.name: Invalid value"), "{dots:?}");
    // Proves that the test would notice an unknown field.
    let misspelt = example("bundles.yaml").replace("kubeconfigSecretRef", "kubeconfigSecret");
    assert_ne!(kubectl(&plane, &home, STRICTLY, &misspelt).await.code, 0);
}
