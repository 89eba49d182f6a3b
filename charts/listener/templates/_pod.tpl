{{- define "listener.pod" -}}
{{- if not (or .Values.tls.secretName .Values.plainHttp) }}
{{- fail "set tls.secretName to a Secret of type kubernetes.io/tls; or plainHttp=true, behind something that terminates TLS" }}
{{- end }}
{{- if and .Values.tls.secretName .Values.plainHttp }}
{{- fail "set only one of tls.secretName and plainHttp" }}
{{- end }}
{{- $claim := .Values.definitions.existingClaim -}}
container: listener
args:
  - --definitions-dir={{ if $claim }}/definitions{{ end }}
  - --secret-namespaces={{ include "listener.namespaces" . | fromJsonArray | join "," }}
  - --stream-address=:8443
  - {{ printf "--stream-audience=%s" .Values.stream.audience | toJson }}
  - --gateway-accounts={{ .Values.stream.gatewayAccounts | default (list (printf "%s/%s" .Release.Namespace (include "portolan-lib.beside" (dict "root" . "chart" "gateway")))) | join "," }}
  - --drain-delay={{ .Values.drainSeconds }}s
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
  {{- include "portolan-lib.install-crds" . | nindent 2 }}
ports: {documents: 8443, admin: 9090}
volumes:
  {{- with .Values.tls.secretName }}
  - name: tls
    secret: {secretName: {{ quote . }}}
  {{- end }}
  {{- with $claim }}
  - name: definitions
    persistentVolumeClaim: {claimName: {{ quote . }}}
  {{- end }}
volumeMounts:
  {{- if .Values.tls.secretName }}
  - {name: tls, mountPath: /etc/portolan-tls, readOnly: true}
  {{- end }}
  {{- if $claim }}
  - {name: definitions, mountPath: /definitions}
  {{- end }}
{{- end }}

{{/* Where that may be which ClusterAccesses name. */}}
{{- define "listener.namespaces" -}}
{{- append (.Values.secretNamespaces | default list) .Release.Namespace | uniq | toJson }}
{{- end }}
