//! Every CustomResourceDefinition of Portolan and the chart that ships it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, core::crd::merge_crds};

use crate::api::{devportal, gateway, kubebind};

/// A CRD and the chart that installs it.
#[derive(Clone, Debug)]
pub struct ChartCrd {
    /// Name of the chart, which is the name of the service.
    pub chart: &'static str,
    /// The definition.
    pub crd: CustomResourceDefinition,
}

/// All CRDs, in a stable order.
///
/// # Examples
///
/// ```
/// use portolan_core::crds;
///
/// assert!(crds::all().iter().any(|shipped| shipped.chart == "konnector"));
/// ```
pub fn all() -> Vec<ChartCrd> {
    let of =
        |chart, crds: Vec<CustomResourceDefinition>| crds.into_iter().map(move |crd| ChartCrd { chart, crd });
    let provided = of("konnector", konnector()).chain(of("provider", provider()));
    provided.chain(of("listener", listener())).chain(of("devportal", devportal())).collect()
}

/// The CRDs of the consumer side, which the konnector installs when it starts.
pub fn konnector() -> Vec<CustomResourceDefinition> {
    vec![bindings(), kubebind::APIServiceBindingBundle::crd()]
}

/// The CRDs of the provider side.
pub fn provider() -> Vec<CustomResourceDefinition> {
    vec![
        kubebind::APIServiceExportRequest::crd(),
        kubebind::APIServiceExport::crd(),
        kubebind::APIServiceNamespace::crd(),
        kubebind::BoundSchema::crd(),
        kubebind::ClusterBinding::crd(),
    ]
}

/// The CRD of the clusters that the listener discovers.
pub fn listener() -> Vec<CustomResourceDefinition> {
    vec![gateway::ClusterAccess::crd()]
}

/// The CRDs of the developer portal.
pub fn devportal() -> Vec<CustomResourceDefinition> {
    vec![devportal::APIProduct::crd(), devportal::APIKey::crd()]
}

fn bindings() -> CustomResourceDefinition {
    let versions =
        vec![kubebind::binding_v1alpha1::APIServiceBinding::crd(), kubebind::APIServiceBinding::crd()];
    merge_crds(versions, kubebind::VERSION).expect("both versions have the same names and scope")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> serde_json::Value {
        let found = all().into_iter().find(|c| c.crd.metadata.name.as_deref() == Some(name));
        serde_json::to_value(found.expect(name).crd).unwrap()
    }

    #[test]
    fn both_versions_of_bindings_are_served_and_v1alpha2_is_stored() {
        let crd = named("apiservicebindings.kube-bind.io");
        let mut versions: Vec<_> = crd["spec"]["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| (v["name"].as_str().unwrap(), v["served"] == true, v["storage"] == true))
            .collect();
        versions.sort_unstable();
        assert_eq!(versions, [("v1alpha1", true, false), ("v1alpha2", true, true)]);
    }

    #[test]
    fn immutable_fields_say_so() {
        let crd = named("apiserviceexports.kube-bind.io");
        let spec =
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        for (field, message) in [
            ("resources", "resources are immutable"),
            ("informerScope", "informerScope is immutable"),
            ("isolation", "isolation is immutable"),
        ] {
            assert_eq!(spec[field]["x-kubernetes-validations"][0]["message"], message, "{field}");
        }
    }

    #[test]
    fn short_names_and_categories_are_those_of_the_contract() {
        let bundle = named("apiservicebindingbundles.kube-bind.io");
        assert_eq!(bundle["spec"]["names"]["shortNames"], serde_json::json!(["sbb"]));
        assert_eq!(bundle["spec"]["names"]["categories"], serde_json::json!(["kube-bindings"]));
        assert_eq!(bundle["spec"]["scope"], "Cluster");
        assert_eq!(
            named("boundschemas.kube-bind.io")["spec"]["names"]["shortNames"],
            serde_json::json!(["bs"])
        );
    }
}
