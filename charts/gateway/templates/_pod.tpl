{{- define "gateway.pod" -}}
container: gateway
args:
  {{- if .Values.definitions }}
  - --definitions=/var/lib/portolan/definitions
  {{- else }}
  - {{ include "gateway.listener" . | trim | printf "--listener-url=%s" | toJson }}
  - --listener-token-file=/var/run/secrets/portolan-listener/token
  {{- if .Values.listener.caSecretName }}
  - --listener-ca-file=/etc/portolan-listener/ca.crt
  {{- end }}
  {{- end }}
  - --port=8443
  - --drain-delay={{ .Values.drainSeconds }}s
  {{- if .Values.persistedDocuments.configMapName }}
  - --persisted-documents=/etc/portolan-documents
  {{- end }}
  {{- if .Values.persistedDocuments.only }}
  - --persisted-only
  {{- end }}
  {{- if .Values.memory.credentialsSecretName }}
  - --memory-credentials=/etc/portolan-memory
  - --memory-bytes={{ int64 .Values.memory.bytes }}
  {{- if .Values.memory.secrets }}
  - --memory-secrets
  {{- end }}
  {{- end }}
  {{- with .Values.traces.endpoint }}
  - {{ printf "--otlp-endpoint=%s" . | toJson }}
  - --otlp-ratio={{ $.Values.traces.ratio }}
  {{- if $.Values.traces.caSecretName }}
  - --otlp-ca-file=/etc/portolan-traces/ca.crt
  {{- end }}
  {{- end }}
  {{- if not .Values.console }}
  - --console=false
  {{- end }}
  {{- with .Values.corsAllowedOrigins }}
  - {{ join "," . | printf "--cors-allowed-origins=%s" | toJson }}
  {{- end }}
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
ports: {graphql: 8443, admin: 9090}
volumes:
  {{- if .Values.definitions }}
  - {name: definitions, {{ (toJson .Values.definitions) | trimPrefix "{" | trimSuffix "}" }}}
  {{- else }}
  - name: listener-token
    projected:
      sources:
        - serviceAccountToken: {path: token, audience: {{ quote .Values.listener.audience }}, expirationSeconds: 3600}
  {{- with .Values.listener.caSecretName }}
  - {name: listener-ca, secret: {secretName: {{ quote . }}, items: [{key: ca.crt, path: ca.crt}]}}
  {{- end }}
  {{- end }}
  {{- with .Values.persistedDocuments.configMapName }}
  - {name: persisted-documents, configMap: {name: {{ quote . }}}}
  {{- end }}
  {{- with .Values.memory.credentialsSecretName }}
  - {name: memory-credentials, secret: {secretName: {{ quote . }}}}
  {{- end }}
  {{- with .Values.traces.caSecretName }}
  - {name: traces-ca, secret: {secretName: {{ quote . }}, items: [{key: ca.crt, path: ca.crt}]}}
  {{- end }}
  {{- with .Values.tls.secretName }}
  - {name: tls, secret: {secretName: {{ quote . }}}}
  {{- end }}
volumeMounts:
  {{- if .Values.definitions }}
  - {name: definitions, mountPath: /var/lib/portolan/definitions, readOnly: true}
  {{- else }}
  - {name: listener-token, mountPath: /var/run/secrets/portolan-listener, readOnly: true}
  {{- if .Values.listener.caSecretName }}
  - {name: listener-ca, mountPath: /etc/portolan-listener, readOnly: true}
  {{- end }}
  {{- end }}
  {{- if .Values.persistedDocuments.configMapName }}
  - {name: persisted-documents, mountPath: /etc/portolan-documents, readOnly: true}
  {{- end }}
  {{- if .Values.memory.credentialsSecretName }}
  - {name: memory-credentials, mountPath: /etc/portolan-memory, readOnly: true}
  {{- end }}
  {{- if .Values.traces.caSecretName }}
  - {name: traces-ca, mountPath: /etc/portolan-traces, readOnly: true}
  {{- end }}
  {{- if .Values.tls.secretName }}
  - {name: tls, mountPath: /etc/portolan-tls, readOnly: true}
  {{- end }}
{{- end }}

{{/* Where the documents are served. */}}
{{- define "gateway.listener" -}}
{{- $beside := include "portolan-lib.beside" (dict "root" . "chart" "listener") -}}
{{ .Values.listener.url | default (printf "https://%s.%s.svc" $beside .Release.Namespace) }}
{{- end }}
