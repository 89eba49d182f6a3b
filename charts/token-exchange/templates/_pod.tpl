{{- define "token-exchange.pod" -}}
container: token-exchange
args:
  - --config=/etc/portolan/exchange.yaml
  - --http-port=8443
  - --drain-delay={{ .Values.drainSeconds }}s
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
ports: {exchange: 8443, admin: 9090}
{{ include "portolan-lib.config-volumes" (dict "root" . "credentials" "/etc/exchange") }}
{{- end }}
