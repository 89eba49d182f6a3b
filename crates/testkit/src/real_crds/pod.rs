//! The largest part of most large CRDs: a component with the template of its pods.

use serde_json::{Map, Value, json};

use super::words::{Words, fields, list, object, with};

/// A component with a pod template and what surrounds it.
pub(super) fn component(words: &mut Words) -> Value {
    let own =
        fields(words, "replicas:i minReplicas:i scaleTarget:i timeout:i labels:m annotations:m strategy:e");
    let metadata = fields(words, "name:s labels:m annotations:m");
    let (metadata, spec) = (object(words, metadata), spec(words));
    let template = object(words, with(Map::new(), vec![("metadata", metadata), ("spec", spec)]));
    object(words, with(own, vec![("template", template)]))
}

fn spec(words: &mut Words) -> Value {
    let own = fields(
        words,
        "activeDeadlineSeconds:i automountServiceAccountToken:b dnsPolicy:s enableServiceLinks:b hostIPC:b \
         hostNetwork:b hostPID:b hostUsers:b hostname:s nodeName:s nodeSelector:m overhead:m preemptionPolicy:s \
         priority:i priorityClassName:s restartPolicy:s runtimeClassName:s schedulerName:s serviceAccount:s \
         serviceAccountName:s setHostnameAsFQDN:b shareProcessNamespace:b subdomain:s \
         terminationGracePeriodSeconds:i",
    );
    let containers = ["containers", "initContainers", "ephemeralContainers"].map(|name| {
        let container = container(words);
        (name, list(words, &container))
    });
    let (volume, toleration) =
        (volume(words), fields(words, "effect:s key:s operator:s tolerationSeconds:i value:s"));
    let toleration = object(words, toleration);
    let more = vec![
        ("affinity", affinity(words)),
        ("securityContext", security(words)),
        ("tolerations", list(words, &toleration)),
        ("topologySpreadConstraints", spread(words)),
        ("volumes", list(words, &volume)),
    ];
    object(words, with(with(own, containers.into()), more))
}

fn container(words: &mut Words) -> Value {
    let own = fields(
        words,
        "args:l command:l image:s imagePullPolicy:s name:s restartPolicy:s stdin:b stdinOnce:b \
         terminationMessagePath:s terminationMessagePolicy:s tty:b workingDir:s",
    );
    let mounts =
        fields(words, "mountPath:s mountPropagation:s name:s readOnly:b recursiveReadOnly:s subPath:s");
    let (mounts, port) =
        (object(words, mounts), fields(words, "containerPort:i hostIP:s hostPort:i name:s protocol:s"));
    let (port, env) = (object(words, port), env(words));
    let hooks = with(Map::new(), vec![("postStart", handler(words)), ("preStop", handler(words))]);
    let more = vec![
        ("env", list(words, &env)),
        ("lifecycle", object(words, hooks)),
        ("livenessProbe", probe(words)),
        ("ports", list(words, &port)),
        ("readinessProbe", probe(words)),
        ("resources", resources(words)),
        ("securityContext", security(words)),
        ("startupProbe", probe(words)),
        ("volumeMounts", list(words, &mounts)),
    ];
    let mut container = object(words, with(own, more));
    container["required"] = json!(["name"]);
    container
}

fn env(words: &mut Words) -> Value {
    let own = fields(words, "name:s value:s");
    let from = fields(words, "configMapKeyRef:k secretKeyRef:k");
    let (field, resource) =
        (fields(words, "apiVersion:s fieldPath:s"), fields(words, "containerName:s divisor:q resource:s"));
    let more = vec![("fieldRef", object(words, field)), ("resourceFieldRef", object(words, resource))];
    let from = object(words, with(from, more));
    let mut env = object(words, with(own, vec![("valueFrom", from)]));
    env["required"] = json!(["name"]);
    env
}

fn handler(words: &mut Words) -> Value {
    let actions = actions(words);
    object(words, actions)
}

fn actions(words: &mut Words) -> Map<String, Value> {
    let (header, exec) = (fields(words, "name:s value:s"), fields(words, "command:l"));
    let header = object(words, header);
    let (get, tcp) = (fields(words, "host:s path:s port:p scheme:s"), fields(words, "host:s port:p"));
    let get = with(get, vec![("httpHeaders", list(words, &header))]);
    let actions = vec![
        ("exec", object(words, exec)),
        ("httpGet", object(words, get)),
        ("tcpSocket", object(words, tcp)),
    ];
    with(Map::new(), actions)
}

fn probe(words: &mut Words) -> Value {
    let own = fields(
        words,
        "failureThreshold:i initialDelaySeconds:i periodSeconds:i successThreshold:i \
         terminationGracePeriodSeconds:i timeoutSeconds:i",
    );
    let actions = actions(words).into_iter().collect::<Map<_, _>>();
    object(words, own.into_iter().chain(actions).collect())
}

fn resources(words: &mut Words) -> Value {
    let amounts = |words: &mut Words| {
        let mut amount = fields(words, "amount:q").remove("amount").unwrap_or_default();
        amount.as_object_mut().and_then(|amount| amount.remove("description"));
        json!({"description": words.text(30), "type": "object", "additionalProperties": amount})
    };
    let more = vec![("limits", amounts(words)), ("requests", amounts(words))];
    object(words, with(Map::new(), more))
}

fn security(words: &mut Words) -> Value {
    let own = fields(
        words,
        "allowPrivilegeEscalation:b privileged:b procMount:s readOnlyRootFilesystem:b runAsGroup:i \
         runAsNonRoot:b runAsUser:i fsGroup:i",
    );
    let (capabilities, linux) =
        (fields(words, "add:l drop:l"), fields(words, "level:s role:s type:s user:s"));
    let profile = fields(words, "localhostProfile:s type:s");
    let more = vec![
        ("capabilities", object(words, capabilities)),
        ("seLinuxOptions", object(words, linux)),
        ("seccompProfile", object(words, profile)),
    ];
    object(words, with(own, more))
}

fn selector(words: &mut Words) -> Value {
    let own = fields(words, "matchLabels:m");
    let requirement = fields(words, "key:s operator:s values:l");
    let requirement = object(words, requirement);
    let all = with(own, vec![("matchExpressions", list(words, &requirement))]);
    object(words, all)
}

fn spread(words: &mut Words) -> Value {
    let own = fields(
        words,
        "matchLabelKeys:l maxSkew:i minDomains:i nodeAffinityPolicy:s nodeTaintsPolicy:s topologyKey:s \
         whenUnsatisfiable:s",
    );
    let items = with(own, vec![("labelSelector", selector(words))]);
    let items = object(words, items);
    list(words, &items)
}

fn affinity(words: &mut Words) -> Value {
    let kinds = ["nodeAffinity", "podAffinity", "podAntiAffinity"].map(|kind| {
        let term = |words: &mut Words| {
            let own = fields(words, "matchLabelKeys:l namespaces:l topologyKey:s");
            let selectors = vec![("labelSelector", selector(words)), ("namespaceSelector", selector(words))];
            object(words, with(own, selectors))
        };
        let (weight, inner) = (fields(words, "weight:i"), term(words));
        let preferred = object(words, with(weight, vec![("podAffinityTerm", inner)]));
        let required = term(words);
        let terms = vec![
            ("preferredDuringSchedulingIgnoredDuringExecution", list(words, &preferred)),
            ("requiredDuringSchedulingIgnoredDuringExecution", list(words, &required)),
        ];
        (kind, object(words, with(Map::new(), terms)))
    });
    object(words, with(Map::new(), kinds.into()))
}

/// A volume may come from many sources, most of them with a handful of fields.
fn volume(words: &mut Words) -> Value {
    const SOURCES: [&str; 20] = [
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "gcePersistentDisk",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "persistentVolumeClaim",
        "rbd",
        "secret",
        "storageos",
    ];
    let sources = SOURCES.map(|source| {
        let own = fields(words, "fsType:s readOnly:b name:s secretRef:k defaultMode:i path:s");
        let item = fields(words, "key:s mode:i path:s");
        let item = object(words, item);
        let all = with(own, vec![("items", list(words, &item))]);
        (source, object(words, all))
    });
    let name = fields(words, "name:s");
    object(words, with(name, sources.into()))
}
