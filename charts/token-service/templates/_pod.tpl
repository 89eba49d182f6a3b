{{- define "token-service.pod" -}}
container: token-service
args:
  - --config=/etc/portolan/clusters.yaml
  - --port=8443
  - --drain-delay={{ .Values.drainSeconds }}s
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
  {{- if .Values.clusterNames.enabled }}
  - --cluster-names={{ include "portolan-lib.fullname" . }}
  {{- end }}
ports: {reviews: 8443, admin: 9090}
{{ include "portolan-lib.config-volumes" (dict "root" . "credentials" "/etc/kube-fed/clusters") }}
{{- end }}
