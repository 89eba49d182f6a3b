{{/* What NOTES.txt of every chart ends with. Takes the root. */}}
{{- define "portolan-lib.notes" -}}
{{- if .Values.crds }}
{{- if .Values.crds.install }}
{{- with include "portolan-lib.others-crds" . | fromJsonArray }}

These CRDs existed before this release, so the pods update the CRDs, not Helm: {{ join ", " . }}
{{- end }}
{{- end }}
{{- end }}

To check the installation:

  helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }} --logs
{{- end }}
