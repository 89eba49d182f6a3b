{{- define "provider.pod" -}}
container: provider
args:
  - {{ printf "--pretty-name=%s" .Values.prettyName | toJson }}
  {{- if .Values.allowShared }}
  - --allow-shared
  {{- end }}
  {{- include "portolan-lib.install-crds" . | nindent 2 }}
ports: {admin: 9090}
{{- end }}
