{{/* What NOTES.txt of every chart ends with. Takes the root. */}}
{{- define "portolan-lib.notes" -}}
{{- if .Values.crds }}
{{- if .Values.crds.install }}
{{- with include "portolan-lib.others-crds" . | fromJsonArray }}

These CRDs were here before this release, so the pods bring the CRDs up to date, and Helm does not: {{ join ", " . }}
{{- end }}
{{- end }}
{{- end }}

Whether all is well:

  helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }} --logs
{{- end }}
