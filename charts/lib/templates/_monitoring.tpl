{{/* Metrics, alerts, a dashboard. Each takes the root. */}}

{{- define "portolan-lib.service-monitor" -}}
{{- $monitor := .Values.serviceMonitor }}
{{- if ($monitor).enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "portolan-lib.metadata" (dict "root" . "labels" $monitor.labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "portolan-lib.selector" . | nindent 6 }}
  endpoints:
    - port: admin
      interval: {{ $monitor.interval }}
      {{- with $monitor.relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $monitor.metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "portolan-lib.prometheus-rule" -}}
{{- $values := .Values.prometheusRule }}
{{- if ($values).enabled }}
{{- $file := .Files.Get "files/alerts.yaml" | fromYaml }}
{{- range $file.groups }}
{{- range .rules }}
{{- $_ := set .annotations "runbook_url" (printf "%s%s" $values.runbookBase .annotations.runbook_url) }}
{{- $_ := set . "labels" (mergeOverwrite (deepCopy .labels) ($values.alertLabels | default dict)) }}
{{- end }}
{{- end }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "portolan-lib.metadata" (dict "root" . "labels" $values.labels) | nindent 2 }}
spec:
  {{- toYaml $file | nindent 2 }}
{{- end }}
{{- end }}

{{- define "portolan-lib.dashboard" -}}
{{- $dashboard := .Values.dashboard }}
{{- if ($dashboard).enabled }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "portolan-lib.metadata" (dict "root" . "suffix" "-dashboard" "labels" $dashboard.labels "annotations" $dashboard.annotations) | nindent 2 }}
data:
  {{ include "portolan-lib.fullname" . }}.json: |
    {{- .Files.Get "files/dashboard.json" | nindent 4 }}
{{- end }}
{{- end }}
