//! CRDs of the size and shape that real projects ship: most are small, some embed whole pod templates several times.
//!
//! They are made, not kept: the same ones every time, from a list of sizes. Every line is described, as generators of
//! CRDs do it; there are several versions, rules, enums, defaults and columns.

mod pod;
mod words;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use self::words::{Words, fields, object, record};

/// The shape of a CRD.
struct Shape {
    /// Its kind, in lower case, of which there is one.
    name: &'static str,
    /// Number of versions, the last of them stored.
    versions: usize,
    /// Its size as YAML, in thousands of bytes.
    size: usize,
}

const fn shape(name: &'static str, versions: usize, size: usize) -> Shape {
    Shape { name, versions, size }
}

/// From the largest to the smallest.
const SHAPES: [Shape; 40] = [
    shape("inference", 1, 2_700),
    shape("runtime", 2, 1_900),
    shape("cluster", 2, 1_700),
    shape("workflow", 1, 1_500),
    shape("template", 1, 1_300),
    shape("schedule", 1, 1_200),
    shape("job", 1, 1_100),
    shape("service", 2, 1_000),
    shape("broker", 1, 900),
    shape("monitor", 1, 850),
    shape("alerter", 1, 800),
    shape("ruler", 1, 750),
    shape("agent", 1, 700),
    shape("policy", 3, 650),
    shape("clusterpolicy", 3, 600),
    shape("bridge", 1, 500),
    shape("connector", 1, 450),
    shape("mirror", 1, 400),
    shape("sensor", 1, 350),
    shape("source", 1, 300),
    shape("scaledobject", 1, 280),
    shape("scaledjob", 1, 260),
    shape("composition", 2, 240),
    shape("definition", 2, 220),
    shape("function", 2, 200),
    shape("issuer", 1, 180),
    shape("clusterissuer", 1, 160),
    shape("certificate", 1, 140),
    shape("challenge", 1, 120),
    shape("order", 1, 100),
    shape("rule", 1, 90),
    shape("probe", 1, 80),
    shape("user", 1, 70),
    shape("topic", 2, 60),
    shape("rebalance", 1, 50),
    shape("usage", 2, 40),
    shape("lock", 1, 30),
    shape("report", 1, 20),
    shape("exception", 1, 15),
    shape("binding", 1, 10),
];

/// Parts of a version, besides what each has.
#[derive(Clone, Copy)]
struct Parts {
    /// Pod templates.
    templates: usize,
    /// Settings of something.
    records: usize,
}

/// Forty CRDs, about 22 MB as YAML, the largest about 2.7 MB. None is exported.
///
/// # Panics
/// Never: what is made is a CRD.
pub fn all() -> Vec<CustomResourceDefinition> {
    let make = |(seed, shape): (usize, &Shape)| serde_json::from_value(fitting(shape, seed));
    SHAPES.iter().enumerate().map(make).collect::<Result<_, _>>().expect("what is made is a CRD")
}

/// As many pod templates as go into four fifths of the size, and records for the rest.
fn fitting(shape: &Shape, seed: usize) -> Value {
    const SAMPLE: usize = 8;
    let size = |templates, records| {
        let crd = crd(shape, seed, Parts { templates, records });
        serde_saphyr::to_string(&crd).map_or(0, |yaml| yaml.len())
    };
    let (wanted, least) = (shape.size * 1000, size(0, 0));
    let template = size(1, 0) - least;
    let templates = (wanted.saturating_sub(least) * 4 / 5) / template;
    let record = (size(0, SAMPLE) - least) / SAMPLE;
    let records = wanted.saturating_sub(least + templates * template) / record;
    crd(shape, seed, Parts { templates, records })
}

fn crd(shape: &Shape, seed: usize, parts: Parts) -> Value {
    // Eight groups, as one project ships several kinds.
    let (group, plural) = (format!("g{}.real.dev", seed % 8), format!("{}s", shape.name));
    let kind = format!("{}{}", shape.name[..1].to_uppercase(), &shape.name[1..]);
    let versions: Vec<_> = (1..=shape.versions).map(|number| version(shape, seed, number, parts)).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"controller-gen.kubebuilder.io/version": "v0.17.2"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": shape.name,
                "categories": ["real"],
            },
            "versions": versions,
        },
    })
}

fn version(shape: &Shape, seed: usize, number: usize, parts: Parts) -> Value {
    let words = &mut Words::new(seed * 10 + number);
    json!({
        "name": format!("v1beta{number}"),
        "served": true,
        "storage": number == shape.versions,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "schema": {"openAPIV3Schema": {
            "description": words.text(30),
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"description": words.text(45), "type": "string"},
                "kind": {"description": words.text(45), "type": "string"},
                "metadata": {"type": "object"},
                "spec": spec(words, parts),
                "status": status(words),
            },
        }},
    })
}

fn spec(words: &mut Words, parts: Parts) -> Value {
    let mut properties = fields(words, "name:s paused:b minReplicas:i maxReplicas:i selector:m labels:m");
    properties.insert(
        "mode".to_owned(),
        json!({"description": words.text(20), "type": "string", "default": "Always",
            "enum": ["Always", "IfNotPresent", "Never", "OnFailure"]}),
    );
    if parts.templates > 0 {
        let components =
            (0..parts.templates).map(|number| (format!("component{number}"), pod::component(words)));
        let components = components.collect();
        properties.insert("components".to_owned(), object(words, components));
    }
    for number in 0..parts.records {
        properties.insert(format!("{}{number}", words.name()), record(words));
    }
    let mut spec = object(words, properties);
    spec["x-kubernetes-validations"] = json!([{
        "rule": "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "message": "minReplicas must not exceed maxReplicas",
    }]);
    spec
}

fn status(words: &mut Words) -> Value {
    let mut properties = fields(words, "phase:s observedGeneration:i replicas:i readyReplicas:i url:s");
    let mut condition = fields(words, "type:s status:e reason:s message:s observedGeneration:i");
    condition.insert(
        "lastTransitionTime".to_owned(),
        json!({"description": words.text(25), "type": "string", "format": "date-time"}),
    );
    let mut items = object(words, condition);
    items["required"] = json!(["status", "type"]);
    properties.insert(
        "conditions".to_owned(),
        json!({"description": words.text(15), "type": "array", "items": items,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    );
    object(words, properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as YAML and as JSON.
    fn sizes() -> Vec<(String, usize, usize)> {
        let size = |crd: &CustomResourceDefinition| {
            let name = crd.metadata.name.clone().unwrap();
            let (yaml, json) = (serde_saphyr::to_string(crd).unwrap(), serde_json::to_string(crd).unwrap());
            (name, yaml.len(), json.len())
        };
        all().iter().map(size).collect()
    }

    #[test]
    fn they_have_the_sizes_of_real_ones() {
        let sizes = sizes();
        let yaml: usize = sizes.iter().map(|size| size.1).sum();
        let largest = sizes.iter().map(|size| size.1).max().unwrap();
        assert_eq!(sizes.len(), 40);
        assert!((21_500_000..=22_500_000).contains(&yaml), "{yaml}: {sizes:#?}");
        assert!((2_600_000..=2_800_000).contains(&largest), "{largest}: {sizes:#?}");
        // etcd refuses more than 1.5 MiB in most clusters.
        assert!(sizes.iter().all(|size| size.2 < 1536 * 1024), "{sizes:#?}");
        let names: std::collections::BTreeSet<_> = sizes.iter().map(|size| &size.0).collect();
        assert_eq!(names.len(), SHAPES.len(), "each has a name of its own");
    }

    #[test]
    fn they_are_the_same_every_time() {
        assert_eq!(fitting(&SHAPES[20], 20), fitting(&SHAPES[20], 20));
    }
}
