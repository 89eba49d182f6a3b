{{/* Several pods at once. */}}

{{/* Only where one pod may be missing: with a single one, a budget would hold up every drain of a node. */}}
{{- define "portolan-lib.pod-disruption-budget" -}}
{{- $scaled := .Values.autoscaling | default dict }}
{{- $least := ternary $scaled.minReplicas .Values.replicas ($scaled.enabled | default false) }}
{{- if and (.Values.podDisruptionBudget).enabled (gt (int $least) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .) | nindent 2 }}
spec:
  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "portolan-lib.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "portolan-lib.autoscaler" -}}
{{- $scaled := .Values.autoscaling | default dict }}
{{- if $scaled.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "portolan-lib.fullname" . | quote }}}
  minReplicas: {{ $scaled.minReplicas }}
  maxReplicas: {{ $scaled.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scaled.targetCPUUtilizationPercentage }}}
  {{- with $scaled.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
