//! Hints after the walk-through: the clusters, and the things to try next.

use std::env;

use super::{
    kube_bind::{CONSUMER, KUBECONFIG, mapped_namespace},
    world::World,
};

/// Text for a terminal: it can be pasted into a shell as it is.
pub(super) fn text(world: &World, passed: bool) -> String {
    let file = |name: &str| world.file(name).display().to_string();
    let (consumer, provider) = (file("consumer-admin.kubeconfig"), file("provider-admin.kubeconfig"));
    let ports: Vec<_> = world.services().map(|(name, url)| format!("#   {name}: {url}/metrics\n")).collect();
    let head = if passed { "Everything works." } else { "A step failed; the clusters stay up to look at." };
    let next = if passed { next(&kubectl(world)) } else { String::new() };
    format!(
        "\n# {head} Both clusters run until Ctrl-C. Their administrators' kubeconfigs:\n\
         export CONSUMER={consumer}\nexport PROVIDER={provider}\n\
         # What the provider has given to consumer {CONSUMER}: {contract}\n\
         # The services' metrics:\n{ports}{next}",
        ports = ports.concat(),
        contract = file(KUBECONFIG),
    )
}

fn next(kubectl: &str) -> String {
    let namespace = mapped_namespace().unwrap_or_default();
    format!(
        r#"
# What is bound:
{kubectl} --kubeconfig $CONSUMER get apiservicebindingbundles,apiservicebindings
{kubectl} --kubeconfig $PROVIDER get apiserviceexports,boundschemas,apiservicenamespaces --all-namespaces

# Create an object on the consumer, see it on the provider:
{kubectl} --kubeconfig $CONSUMER create --filename - <<EOF
apiVersion: wildwest.dev/v1alpha1
kind: Cowboy
metadata:
  name: jane
  namespace: default
spec:
  intent: ride
EOF
{kubectl} --kubeconfig $PROVIDER get cowboys --all-namespaces

# Write its status on the provider, see it on the consumer:
{kubectl} --kubeconfig $PROVIDER patch cowboy jane --namespace {namespace} \
    --subresource status --type merge --patch '{{"status":{{"result":"rode"}}}}'
{kubectl} --kubeconfig $CONSUMER get cowboys

# Unbind. The copies on the provider and the CRD on the consumer go:
{kubectl} --kubeconfig $CONSUMER delete apiservicebindingbundle prod-services
"#
    )
}

/// The person's own kubectl, else the one that was built with the control planes.
fn kubectl(world: &World) -> String {
    let is_in = |path| env::split_paths(&path).any(|folder| folder.join("kubectl").is_file());
    match world.clusters.consumer.kubectl() {
        Some(built) if !env::var_os("PATH").is_some_and(is_in) => built.display().to_string(),
        _ => "kubectl".to_owned(),
    }
}
