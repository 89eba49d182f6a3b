//! Pure: the writes that bring the names of clusters to the wanted state.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, ResourceExt as _};
use portolan_runtime::apply::Precondition;
use serde_json::{Value, json};

use crate::host;

/// The field manager, and the label of everything that is ours.
pub const MANAGER: &str = "portolan-token-service-names";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The manager of slices, which keeps Kubernetes' own controller away from them.
const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HOSTNAME: &str = "api";

/// The objects of the namespace.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub front: String,
    pub services: Vec<Service>,
    pub slices: Vec<EndpointSlice>,
}

/// One write.
#[derive(Clone, Debug)]
pub enum Step {
    Service(Value, Precondition),
    Slice(Value, Precondition),
    DeleteService { name: String, uid: String },
    DeleteSlice { name: String, uid: String },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |body: &Value| body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Service(body, _) => write!(f, "apply Service {}", name(body)),
            Self::Slice(body, _) => write!(f, "apply EndpointSlice {}", name(body)),
            Self::DeleteService { name, .. } => write!(f, "delete Service {name}"),
            Self::DeleteSlice { name, .. } => write!(f, "delete EndpointSlice {name}"),
        }
    }
}

/// The writes, and what stands in their way.
pub fn plan(wanted: &[&str], observed: &Observed) -> (Vec<Step>, Vec<String>) {
    let Some(front) = observed.services.iter().find(|service| service.name_any() == observed.front) else {
        return (
            Vec::new(),
            vec![format!("names of clusters: there is no Service {} to lead to", observed.front)],
        );
    };
    let addresses = addresses(front);
    if addresses.is_empty() {
        let line = format!("names of clusters: the Service {} has no address of its own", observed.front);
        return (Vec::new(), vec![line]);
    }
    let ports = front.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
    let (mut steps, mut complaints) = (Vec::new(), Vec::new());
    // A cluster may be called as the slice of another is.
    let (mut services, mut slices) = (BTreeSet::new(), BTreeSet::new());
    for cluster in wanted {
        let found = observed.services.iter().find(|service| service.name_any() == *cluster);
        if found.is_some_and(|service| !is_ours(service)) {
            complaints.push(format!(
                "names of clusters: there is a Service {cluster} that is not ours, so {HOSTNAME}.{cluster}.{} leads elsewhere",
                host::NAMESPACE
            ));
            continue;
        }
        if !found.is_some_and(|service| has_ports(service, &ports)) {
            steps.push(Step::Service(service(cluster, &ports), seen(found)));
        }
        for address in &addresses {
            let slice = slice(cluster, *address, &ports);
            let name = slice.name_any();
            let found = observed.slices.iter().find(|slice| slice.name_any() == name);
            if !found.is_some_and(|found| is_ours(found) && says_the_same(found, &slice)) {
                steps.push(Step::Slice(body(&slice, "discovery.k8s.io/v1", "EndpointSlice"), seen(found)));
            }
            slices.insert(name);
        }
        services.insert((*cluster).to_owned());
    }
    let goes = |slice: &&EndpointSlice| is_ours(*slice) && !slices.contains(&slice.name_any());
    for slice in observed.slices.iter().filter(goes) {
        steps.push(Step::DeleteSlice { name: slice.name_any(), uid: slice.uid().unwrap_or_default() });
    }
    let goes = |service: &&Service| is_ours(*service) && !services.contains(&service.name_any());
    for service in observed.services.iter().filter(goes) {
        steps.push(Step::DeleteService { name: service.name_any(), uid: service.uid().unwrap_or_default() });
    }
    (steps, complaints)
}

fn is_ours<K: Resource>(object: &K) -> bool {
    object.meta().labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == MANAGER)
}

fn seen<K: Resource>(found: Option<&K>) -> Precondition {
    found
        .and_then(|object| object.meta().uid.clone())
        .map_or(Precondition::Absent, |uid| Precondition::Present { uid, managed_fields: None })
}

fn addresses(front: &Service) -> Vec<IpAddr> {
    let spec = front.spec.as_ref();
    let all = spec.and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    all.iter().filter_map(|address| address.parse().ok()).collect()
}

/// Headless and without a selector: its addresses are those of the slices.
fn service(cluster: &str, ports: &[ServicePort]) -> Value {
    let ports: Vec<_> = ports.iter().map(|port| json!({"name": port.name, "port": port.port})).collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": cluster, "labels": {MANAGED_BY: MANAGER}},
        "spec": {"clusterIP": "None", "ports": ports},
    })
}

fn has_ports(service: &Service, wanted: &[ServicePort]) -> bool {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let brief =
        |ports: &[ServicePort]| ports.iter().map(|port| (port.name.clone(), port.port)).collect::<Vec<_>>();
    brief(ports) == brief(wanted) && spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

fn slice(cluster: &str, address: IpAddr, ports: &[ServicePort]) -> EndpointSlice {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let ports: Vec<_> =
        ports.iter().map(|port| json!({"name": port.name, "port": port.port, "protocol": "TCP"})).collect();
    let labels = json!({MANAGED_BY: MANAGER, SLICE_MANAGED_BY: MANAGER, SERVICE_NAME: cluster});
    let slice = json!({
        "metadata": {"name": format!("{cluster}-{}", family.to_lowercase()), "labels": labels},
        "addressType": family, "ports": ports,
        "endpoints": [{"addresses": [address.to_string()], "hostname": HOSTNAME}],
    });
    serde_json::from_value(slice).expect("a slice of these fields")
}

fn body<K: serde::Serialize>(object: &K, version: &str, kind: &str) -> Value {
    let mut body = serde_json::to_value(object).unwrap_or_default();
    body["apiVersion"] = version.into();
    body["kind"] = kind.into();
    body
}

fn says_the_same(found: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let brief = |slice: &EndpointSlice| {
        let endpoints = slice.endpoints.iter();
        let endpoints = endpoints.map(|one| (one.addresses.clone(), one.hostname.clone()));
        let ports = slice.ports.iter().flatten().map(|port| (port.name.clone(), port.port));
        (endpoints.collect::<Vec<_>>(), ports.collect::<Vec<_>>(), slice.address_type.clone())
    };
    let label = |slice: &EndpointSlice| slice.labels().get(SERVICE_NAME).cloned();
    brief(found) == brief(wanted) && label(found) == label(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(addresses: &[&str]) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "api", "uid": "front"},
            "spec": {"clusterIPs": addresses, "ports": [{"name": "https", "port": 443}]},
        }))
        .unwrap()
    }

    fn observed(addresses: &[&str]) -> Observed {
        Observed { front: "api".to_owned(), services: vec![front(addresses)], slices: Vec::new() }
    }

    /// The namespace after the steps, with a uid each.
    fn after(mut observed: Observed, steps: &[Step]) -> Observed {
        for step in steps {
            match step.clone() {
                Step::Service(mut body, _) => {
                    body["metadata"]["uid"] = "s".into();
                    observed.services.push(serde_json::from_value(body).unwrap());
                }
                Step::Slice(mut body, _) => {
                    body["metadata"]["uid"] = "e".into();
                    observed.slices.push(serde_json::from_value(body).unwrap());
                }
                Step::DeleteService { name, .. } => observed.services.retain(|one| one.name_any() != name),
                Step::DeleteSlice { name, .. } => observed.slices.retain(|one| one.name_any() != name),
            }
        }
        observed
    }

    fn said(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cluster_gets_a_headless_service_and_a_slice_for_each_family_and_then_nothing() {
        let both = observed(&["10.96.0.7", "fd00::7"]);
        let (steps, complaints) = plan(&["app1"], &both);
        assert_eq!(
            said(&steps),
            ["apply Service app1", "apply EndpointSlice app1-ipv4", "apply EndpointSlice app1-ipv6"]
        );
        assert!(complaints.is_empty());
        let Step::Slice(slice, Precondition::Absent) = &steps[1] else { panic!("{steps:?}") };
        assert_eq!(slice["endpoints"], json!([{"addresses": ["10.96.0.7"], "hostname": "api"}]));
        assert_eq!(slice["metadata"]["labels"][SERVICE_NAME], "app1");
        let Step::Service(service, _) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(service["spec"], json!({"clusterIP": "None", "ports": [{"name": "https", "port": 443}]}));
        let (again, _) = plan(&["app1"], &after(both, &steps));
        assert!(again.is_empty(), "{again:?}");
    }

    #[test]
    fn what_is_configured_no_more_goes_and_what_is_not_ours_stays() {
        let before = observed(&["10.96.0.7"]);
        let (steps, _) = plan(&["app1", "app2"], &before);
        let mut now = after(before, &steps);
        let foreign = json!({"metadata": {"name": "app3", "uid": "x"}, "spec": {"clusterIP": "10.96.0.9"}});
        now.services.push(serde_json::from_value(foreign).unwrap());
        let (steps, complaints) = plan(&["app2", "app3"], &now);
        assert_eq!(said(&steps), ["delete EndpointSlice app1-ipv4", "delete Service app1"]);
        assert_eq!(
            complaints,
            [
                "names of clusters: there is a Service app3 that is not ours, so api.app3.kube-fed leads elsewhere"
            ]
        );
    }

    #[test]
    fn a_cluster_goes_that_was_called_as_the_slice_of_another_is() {
        let before = observed(&["10.96.0.7"]);
        let (steps, _) = plan(&["app1", "app1-ipv4"], &before);
        let (steps, _) = plan(&["app1"], &after(before, &steps));
        assert_eq!(said(&steps), ["delete EndpointSlice app1-ipv4-ipv4", "delete Service app1-ipv4"]);
    }

    #[test]
    fn another_address_of_the_service_is_followed() {
        let before = observed(&["10.96.0.7"]);
        let (steps, _) = plan(&["app1"], &before);
        let mut now = after(before, &steps);
        now.services[0] = front(&["10.96.0.8"]);
        let (steps, _) = plan(&["app1"], &now);
        assert_eq!(said(&steps), ["apply EndpointSlice app1-ipv4"]);
        assert!(matches!(&steps[0], Step::Slice(_, Precondition::Present { uid, .. }) if uid == "e"));
    }

    #[test]
    fn without_an_address_to_lead_to_nothing_is_made_and_nothing_goes() {
        for nowhere in [Observed::default(), observed(&["None"])] {
            let (steps, complaints) = plan(&["app1"], &nowhere);
            assert!(steps.is_empty() && complaints.len() == 1, "{complaints:?}");
        }
    }
}
