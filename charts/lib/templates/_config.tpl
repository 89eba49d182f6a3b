{{/* A configuration file: from the values, or from a ConfigMap or Secret that is there. */}}

{{/* Refuses none, and more than one. Takes a dict: root; key; without, what holds without it. */}}
{{- define "portolan-lib.check-config" -}}
{{- $values := .root.Values }}
{{- $given := compact (list $values.config $values.existingConfigMap $values.existingSecret) }}
{{- if not $given }}
{{- fail (printf "set config, or existingConfigMap or existingSecret to one with the key %s: without it, %s" .key .without) }}
{{- else if gt (len $given) 1 }}
{{- fail "set only one of config, existingConfigMap and existingSecret" }}
{{- end }}
{{- if not (or $values.tls.secretName $values.plainHttp) }}
{{- fail "set tls.secretName to a Secret of type kubernetes.io/tls; or plainHttp=true, behind something that terminates TLS" }}
{{- end }}
{{- if and $values.tls.secretName $values.plainHttp }}
{{- fail "set only one of tls.secretName and plainHttp" }}
{{- end }}
{{- end }}

{{/* The ConfigMap. Pods read it again when it changes, so they need not be made anew. Takes a dict: root, key. */}}
{{- define "portolan-lib.configmap" -}}
{{- if .root.Values.config }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root) | nindent 2 }}
data:
  {{ .key }}: |
    {{- toYaml .root.Values.config | nindent 4 }}
{{- end }}
{{- end }}

{{/* Takes a dict: root; credentials, the folder that those are mounted in. */}}
{{- define "portolan-lib.config-volumes" -}}
{{- $values := .root.Values }}
volumes:
  - name: config
    {{- if $values.existingSecret }}
    secret: {secretName: {{ quote $values.existingSecret }}}
    {{- else }}
    configMap: {name: {{ $values.existingConfigMap | default (include "portolan-lib.fullname" .root) | quote }}}
    {{- end }}
  {{- with $values.tls.secretName }}
  - name: tls
    secret: {secretName: {{ quote . }}}
  {{- end }}
  {{- range $values.credentials }}
  - name: {{ printf "credentials-%s" .name | include "portolan-lib.cut" }}
    secret: {secretName: {{ quote .secretName }}}
  {{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/portolan, readOnly: true}
  {{- if $values.tls.secretName }}
  - {name: tls, mountPath: /etc/portolan-tls, readOnly: true}
  {{- end }}
  {{- range $values.credentials }}
  - {name: {{ printf "credentials-%s" .name | include "portolan-lib.cut" }}, mountPath: {{ printf "%s/%s" $.credentials .name }}, readOnly: true}
  {{- end }}
{{- end }}

{{/* The flags for TLS. Takes the root. */}}
{{- define "portolan-lib.tls-args" -}}
{{- if .Values.tls.secretName }}
- --tls-cert-file=/etc/portolan-tls/tls.crt
- --tls-key-file=/etc/portolan-tls/tls.key
{{- else }}
- --plain-http
{{- end }}
{{- end }}
