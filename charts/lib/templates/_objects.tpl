{{/* Everything but the Deployment, the rights and the configuration. Takes a dict: root; api, the name of the port that
the service is there for, if it has one. */}}
{{- define "portolan-lib.objects" -}}
{{- include "portolan-lib.metrics-service" .root }}
{{- if .api }}
{{- include "portolan-lib.api-service" . }}
{{- end }}
{{- include "portolan-lib.network-policy" . }}
{{- include "portolan-lib.pod-disruption-budget" .root }}
{{- include "portolan-lib.autoscaler" .root }}
{{- include "portolan-lib.service-monitor" .root }}
{{- include "portolan-lib.prometheus-rule" .root }}
{{- include "portolan-lib.dashboard" .root }}
{{- range .root.Values.extraObjects }}
---
{{ tpl (kindIs "string" . | ternary . (toYaml .)) $.root }}
{{- end }}
{{- end }}
