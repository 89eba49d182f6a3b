//! Descriptions and small parts of schemas, from a generator of numbers with a seed.

use serde_json::{Map, Value, json};

const WORDS: [&str; 64] = [
    "the",
    "of",
    "a",
    "is",
    "container",
    "to",
    "name",
    "field",
    "will",
    "be",
    "Kubernetes",
    "default",
    "value",
    "if",
    "set",
    "specified",
    "resource",
    "not",
    "this",
    "object",
    "must",
    "pod",
    "with",
    "when",
    "used",
    "volume",
    "for",
    "namespace",
    "reference",
    "defined",
    "number",
    "seconds",
    "that",
    "Optional:",
    "cannot",
    "updated.",
    "More",
    "info:",
    "https://kubernetes.io/docs/concepts/overview/working-with-objects",
    "selector",
    "match",
    "label",
    "key",
    "list",
    "requirements",
    "applied",
    "policy",
    "Defaults",
    "merged",
    "probe",
    "scheduler",
    "node",
    "affinity",
    "terms",
    "image",
    "Secret",
    "ConfigMap",
    "mode",
    "bits",
    "relative",
    "path",
    "in",
    "and",
    "or",
];
const NAMES: [&str; 16] = [
    "backend",
    "storage",
    "listener",
    "retention",
    "remote",
    "query",
    "limits",
    "trigger",
    "target",
    "rule",
    "match",
    "notification",
    "encryption",
    "credential",
    "strategy",
    "window",
];
const QUANTITY: &str = "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$";

/// Gives the same words for the same seed.
pub(super) struct Words(u64);

impl Words {
    pub(super) fn new(seed: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ u64::try_from(seed).unwrap_or_default())
    }

    fn below(&mut self, limit: usize) -> usize {
        // Knuth's multiplier; the upper half of such a number is the random one.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }

    /// From half as many words to half as many again.
    pub(super) fn text(&mut self, about: usize) -> String {
        let count = about / 2 + self.below(about + 1);
        let words: Vec<_> = (0..=count).map(|_| WORDS[self.below(WORDS.len())]).collect();
        words.join(" ")
    }

    pub(super) fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }
}

/// Described fields from `name:type` and more: `s`tring, `i`nteger, `b`oolean, `e`num, `q`uantity, `p`ort, `l`ist of
/// strings, `m`ap of strings, `k`ey of a `ConfigMap` or Secret.
pub(super) fn fields(words: &mut Words, list: &str) -> Map<String, Value> {
    let field = |entry: &str| {
        let (name, kind) = entry.split_once(':').unwrap_or((entry, "s"));
        (name.to_owned(), field(words, kind))
    };
    list.split_whitespace().map(field).collect()
}

fn field(words: &mut Words, kind: &str) -> Value {
    let description = words.text(26);
    match kind {
        "i" => json!({"description": description, "type": "integer", "format": "int32"}),
        "b" => json!({"description": description, "type": "boolean"}),
        "e" => json!({"description": description, "type": "string", "enum": ["True", "False", "Unknown"]}),
        "q" => json!({"description": description, "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY, "x-kubernetes-int-or-string": true}),
        "p" => json!({"description": description, "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true}),
        "l" => json!({"description": description, "type": "array", "items": {"type": "string"},
            "x-kubernetes-list-type": "atomic"}),
        "m" => {
            json!({"description": description, "type": "object", "additionalProperties": {"type": "string"}})
        }
        "k" => {
            let own = fields(words, "key:s name:s optional:b");
            let mut key = object(words, own);
            key["required"] = json!(["key"]);
            key["x-kubernetes-map-type"] = json!("atomic");
            key
        }
        _ => json!({"description": description, "type": "string"}),
    }
}

pub(super) fn object(words: &mut Words, properties: Map<String, Value>) -> Value {
    let mut object = json!({"description": words.text(18), "type": "object"});
    object["properties"] = Value::Object(properties);
    object
}

pub(super) fn list(words: &mut Words, items: &Value) -> Value {
    json!({"description": words.text(18), "type": "array", "items": items, "x-kubernetes-list-type": "atomic"})
}

/// Fields of one kind under further names.
pub(super) fn with(mut properties: Map<String, Value>, more: Vec<(&str, Value)>) -> Map<String, Value> {
    properties.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    properties
}

/// Settings of something, two levels deep.
pub(super) fn record(words: &mut Words) -> Value {
    let inner = fields(words, "url:s timeoutSeconds:i insecure:b secretRef:k labels:m");
    let inner = object(words, inner);
    let many = list(words, &inner);
    let outer = fields(words, "name:s enabled:b size:q hosts:l action:e");
    object(words, with(outer, vec![("targets", many)]))
}
