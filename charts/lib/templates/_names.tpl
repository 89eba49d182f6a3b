{{/* Names and labels. */}}

{{/* At most 63 characters. A hash keeps apart what is cut. Takes a name. */}}
{{- define "portolan-lib.cut" -}}
{{- if gt (len .) 63 }}
{{- printf "%s-%s" (regexReplaceAll "[-.]+$" (trunc 54 .) "") (sha256sum . | trunc 8) }}
{{- else }}
{{- regexReplaceAll "[-.]+$" . "" }}
{{- end }}
{{- end }}

{{/* The chart, or its alias in a chart that depends on it, as a part of names. */}}
{{- define "portolan-lib.chart" -}}
{{- .Chart.Name | lower | replace "_" "-" | replace "." "-" | include "portolan-lib.cut" }}
{{- end }}

{{/* What everything is called: as the release, and within another chart as the release and the chart. */}}
{{- define "portolan-lib.fullname" -}}
{{- $ofRelease := .Release.Name }}
{{- if not .Chart.IsRoot }}
{{- $ofRelease = printf "%s-%s" .Release.Name (include "portolan-lib.chart" .) }}
{{- end }}
{{- .Values.fullnameOverride | default $ofRelease | replace "." "-" | include "portolan-lib.cut" }}
{{- end }}

{{/* What another of our charts is called beside this one: as a release of its own name, or in the same umbrella. Takes a
dict: root; chart. */}}
{{- define "portolan-lib.beside" -}}
{{- ternary .chart (printf "%s-%s" .root.Release.Name .chart | replace "." "-" | include "portolan-lib.cut") .root.Chart.IsRoot }}
{{- end }}

{{/* The same for what stands beside objects of releases in other namespaces. */}}
{{- define "portolan-lib.clustername" -}}
{{- printf "%s-%s" (include "portolan-lib.fullname" .) .Release.Namespace | include "portolan-lib.cut" }}
{{- end }}

{{- define "portolan-lib.serviceaccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "portolan-lib.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* Which pods are ours. Deployments cannot change these. */}}
{{- define "portolan-lib.selector" -}}
app.kubernetes.io/name: {{ include "portolan-lib.chart" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "portolan-lib.labels" -}}
{{- $labels := include "portolan-lib.selector" . | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/version" (toString .Chart.AppVersion) }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "portolan" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | include "portolan-lib.cut") }}
{{- mergeOverwrite (deepCopy (.Values.commonLabels | default dict)) $labels | toYaml }}
{{- end }}

{{/* Takes a dict: root; suffix of the name; wide, where the name is to be our own in the whole cluster; namespace, which
otherwise is the release's, or none where wide; labels; annotations. */}}
{{- define "portolan-lib.metadata" -}}
{{- $name := include (ternary "portolan-lib.clustername" "portolan-lib.fullname" (.wide | default false)) .root }}
{{- $namespace := .namespace | default (ternary "" .root.Release.Namespace (.wide | default false)) -}}
name: {{ printf "%s%s" $name (.suffix | default "") | include "portolan-lib.cut" | quote }}
{{- with $namespace }}
namespace: {{ quote . }}
{{- end }}
labels:
  {{- mergeOverwrite (include "portolan-lib.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
