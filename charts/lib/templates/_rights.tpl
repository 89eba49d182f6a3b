{{/* Accounts and what they may do. */}}

{{/* The account of a service. Takes the root. */}}
{{- define "portolan-lib.account" -}}
{{- if .Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- $metadata := include "portolan-lib.metadata" (dict "root" . "annotations" .Values.serviceAccount.annotations) | fromYaml }}
  {{- set $metadata "name" (include "portolan-lib.serviceaccount" .) | toYaml | nindent 2 }}
# The pods ask for it themselves.
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* A role and its binding to the account. Takes a dict: root; namespace, or none for the whole cluster; suffix; labels;
rules, or selector, of ClusterRoles whose rules count. */}}
{{- define "portolan-lib.role" -}}
{{- if .root.Values.rbac.create }}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") }}
{{- $metadata := include "portolan-lib.metadata" (merge (dict "wide" true) .) | fromYaml }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- toYaml $metadata | nindent 2 }}
{{- if .selector }}
aggregationRule:
  clusterRoleSelectors:
    - matchLabels:
        {{- toYaml .selector | nindent 8 }}
{{- else }}
rules:
  {{- toYaml .rules | nindent 2 }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- toYaml $metadata | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ quote $metadata.name }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "portolan-lib.serviceaccount" .root | quote }}, namespace: {{ quote .root.Release.Namespace }}}
{{- end }}
{{- end }}

{{/* Refuses a second release of a service whose releases would work against each other. Each has its Lease in its own
namespace, so they would not notice. A release is known by the label on its ClusterRole. Takes a dict: root, component. */}}
{{- define "portolan-lib.only-one" -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $annotations := .metadata.annotations | default dict }}
{{- $release := get $annotations "meta.helm.sh/release-name" }}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" }}
{{- $isOne := and (eq (get $labels "app.kubernetes.io/part-of") "portolan") (eq (get $labels "app.kubernetes.io/component") $.component) }}
{{- $isOurs := and (eq $release $.root.Release.Name) (eq $namespace $.root.Release.Namespace) }}
{{- if and $isOne (not $isOurs) }}
{{- $place := printf "release %s in namespace %s" $release $namespace }}
{{- if not $release }}
{{- $place = printf "with the ClusterRole %s, which is no release's" .metadata.name }}
{{- end }}
{{- fail (printf "this cluster has a %s already, %s, and two would work against each other: upgrade that one, or uninstall it first" $.component $place) }}
{{- end }}
{{- end }}
{{- end }}
