{{- define "token-service.pod" -}}
container: token-service
args:
  - --config=/etc/portolan/clusters.yaml
  - --port=8443
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
ports: {reviews: 8443, admin: 9090}
{{ include "portolan-lib.config-volumes" (dict "root" . "credentials" "/etc/kube-fed/clusters") }}
{{- end }}
