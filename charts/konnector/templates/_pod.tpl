{{- define "konnector.pod" -}}
container: konnector
args:
  - --secret-namespaces={{ include "konnector.namespaces" . | fromJsonArray | join "," }}
  {{- include "portolan-lib.install-crds" . | nindent 2 }}
ports: {admin: 9090, healthz: 8090}
{{- end }}

{{/* Where Secrets with kubeconfigs may be. */}}
{{- define "konnector.namespaces" -}}
{{- append (.Values.secretNamespaces | default list) .Release.Namespace | uniq | toJson }}
{{- end }}
