{{/*
CRDs, from files/crds.

What Helm has made, Helm keeps up to date. Where somebody else has made one of them (the service itself, kubectl, an
earlier release), none is rendered, since Helm would refuse the whole install for its sake; the service brings them up to
date when it starts. So each CRD has one writer.
*/}}

{{/* "yes" for a CRD that this release has made. Takes a list: the root, the CRD in the cluster. */}}
{{- define "portolan-lib.made-it" -}}
{{- $release := (index . 0).Release }}
{{- $metadata := (index . 1).metadata }}
{{- $annotations := $metadata.annotations | default dict }}
{{- $byHelm := eq (get ($metadata.labels | default dict) "app.kubernetes.io/managed-by") "Helm" }}
{{- $name := eq (get $annotations "meta.helm.sh/release-name") $release.Name }}
{{- $namespace := eq (get $annotations "meta.helm.sh/release-namespace") $release.Namespace }}
{{- if and $byHelm $name $namespace }}yes{{ end }}
{{- end }}

{{/* The names of CRDs that are there already and are not this release's, as a list in JSON. Takes the root. */}}
{{- define "portolan-lib.others-crds" -}}
{{- $names := list }}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" }}
{{- $name := ($.Files.Get $path | fromYaml).metadata.name }}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- if $found }}
{{- if not (include "portolan-lib.made-it" (list $ $found)) }}
{{- $names = append $names $name }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* The CRDs. Takes the root. */}}
{{- define "portolan-lib.crds" -}}
{{- if .Values.crds.install }}
{{- $isOthers := include "portolan-lib.others-crds" . | fromJsonArray }}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" }}
{{- $crd := $.Files.Get $path | fromYaml }}
{{- include "portolan-lib.refuse-older" (list $ $crd) }}
{{- if not $isOthers }}
{{- $_ := set $crd.metadata "labels" (include "portolan-lib.labels" $ | fromYaml) }}
{{- $_ := set $crd.metadata "annotations" (dict "helm.sh/resource-policy" "keep") }}
---
{{ toYaml $crd }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Refuses a chart that does not know a version that objects are stored in. Takes a list: the root, our CRD. */}}
{{- define "portolan-lib.refuse-older" -}}
{{- $chart := (index . 0).Chart }}
{{- $crd := index . 1 }}
{{- $known := list }}
{{- range $crd.spec.versions }}
{{- $known = append $known .name }}
{{- end }}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $crd.metadata.name }}
{{- range (($found.status).storedVersions) }}
{{- if not (has . $known) }}
{{- fail (printf "CRD %s has objects that are stored as %s, which chart %s %s does not know: install a newer chart" $crd.metadata.name . $chart.Name $chart.Version) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the service does about its CRDs when it starts, unless the caller's own flags say. Takes the root. */}}
{{- define "portolan-lib.install-crds" -}}
{{- if not (regexMatch "--install-crds" (join " " .Values.args)) }}
{{- if not .Values.crds.install }}
- --install-crds=never
{{- else if include "portolan-lib.others-crds" . | fromJsonArray }}
- --install-crds=always
{{- else }}
- --install-crds=if-missing
{{- end }}
{{- end }}
{{- end }}
