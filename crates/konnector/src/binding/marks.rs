//! Marks of bindings, and one-word annotations on them and on bundles.

use portolan_core::{api::kubebind::APIServiceExport, names};

/// Finalizer on bindings: objects are drained before the CRDs go.
pub const FINALIZER: &str = "kubebind.io/unbind";
/// Annotation on bindings: the uid of the export that is bound. Another export of the same name is another.
pub const ANNOTATION_EXPORT_UID: &str = "kube-bind.io/export-uid";
/// Annotation on bindings: their resources, for `kubectl get`.
pub const ANNOTATION_RESOURCES: &str = "kube-bind.io/resources";
/// Annotation on bindings: the bundle that has made them. What a backup tool has restored may have no owner.
pub const ANNOTATION_BUNDLE: &str = "kube-bind.io/bundle";
/// Reason of `Connected`: the CRD belongs to somebody else, perhaps to another binding.
pub const FOREIGN_CRD: &str = "ForeignCustomResourceDefinition";

/// The value of [`ANNOTATION_RESOURCES`] for an export.
pub fn resources_of(export: &APIServiceExport) -> String {
    let names = export.spec.resources.iter().map(|r| names::crd(&r.resource, &r.group));
    names.collect::<Vec<_>>().join(",")
}
