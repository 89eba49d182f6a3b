{{- define "portal.pod" -}}
{{- $oidc := .Values.oidc }}
container: portal
args:
  - --port=8443
  - --drain-delay={{ .Values.drainSeconds }}s
  {{- with .Values.externalUrl }}
  - {{ printf "--external-url=%s" . | toJson }}
  {{- end }}
  {{- if $oidc.issuer }}
  - {{ printf "--oidc-issuer=%s" $oidc.issuer | toJson }}
  - {{ printf "--oidc-client-id=%s" $oidc.clientId | toJson }}
  {{- if $oidc.clientSecretName }}
  - --oidc-client-secret-file=/etc/portolan-oidc/client-secret
  {{- end }}
  {{- if $oidc.caSecretName }}
  - --oidc-ca-file=/etc/portolan-oidc-ca/ca.crt
  {{- end }}
  {{- range .Values.session.keys }}
  - {{ printf "--session-key-file=/etc/portolan-session/%s" . | toJson }}
  {{- end }}
  - --session-lifetime={{ .Values.session.lifetime }}
  - --session-idle={{ .Values.session.idle }}
  - --identity={{ .Values.identity.mode }}
  {{- if eq .Values.identity.mode "impersonate" }}
  - {{ printf "--username-claim=%s" .Values.identity.usernameClaim | toJson }}
  - {{ printf "--username-prefix=%s" .Values.identity.usernamePrefix | toJson }}
  - {{ printf "--groups-claim=%s" .Values.identity.groupsClaim | toJson }}
  {{- with .Values.identity.groupsPrefix }}
  - {{ printf "--groups-prefix=%s" . | toJson }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.usage.prometheusUrl }}
  - {{ printf "--usage-prometheus-url=%s" . | toJson }}
  {{- end }}
  - --try-it={{ .Values.tryIt.enabled }}
  {{- with .Values.tryIt.allowedCIDRs }}
  - --try-allowed-cidrs={{ join "," . }}
  {{- end }}
  {{- with .Values.tryIt.gateway }}
  - {{ printf "--try-gateway=%s" . | toJson }}
  {{- end }}
  {{- if .Values.tryIt.caSecretName }}
  - --try-ca-file=/etc/portolan-try-ca/ca.crt
  {{- end }}
  {{- include "portolan-lib.tls-args" . | nindent 2 }}
ports: {portal: 8443, admin: 9090}
volumes:
  {{- if $oidc.issuer }}
  - {name: session, secret: {secretName: {{ include "portal.session" . | quote }}}}
  {{- with $oidc.clientSecretName }}
  - {name: oidc, secret: {secretName: {{ quote . }}, items: [{key: client-secret, path: client-secret}]}}
  {{- end }}
  {{- with $oidc.caSecretName }}
  - {name: oidc-ca, secret: {secretName: {{ quote . }}, items: [{key: ca.crt, path: ca.crt}]}}
  {{- end }}
  {{- end }}
  {{- with .Values.tryIt.caSecretName }}
  - {name: try-ca, secret: {secretName: {{ quote . }}, items: [{key: ca.crt, path: ca.crt}]}}
  {{- end }}
  {{- with .Values.tls.secretName }}
  - {name: tls, secret: {secretName: {{ quote . }}}}
  {{- end }}
volumeMounts:
  {{- if $oidc.issuer }}
  - {name: session, mountPath: /etc/portolan-session, readOnly: true}
  {{- if $oidc.clientSecretName }}
  - {name: oidc, mountPath: /etc/portolan-oidc, readOnly: true}
  {{- end }}
  {{- if $oidc.caSecretName }}
  - {name: oidc-ca, mountPath: /etc/portolan-oidc-ca, readOnly: true}
  {{- end }}
  {{- end }}
  {{- if .Values.tryIt.caSecretName }}
  - {name: try-ca, mountPath: /etc/portolan-try-ca, readOnly: true}
  {{- end }}
  {{- if .Values.tls.secretName }}
  - {name: tls, mountPath: /etc/portolan-tls, readOnly: true}
  {{- end }}
{{- end }}

{{/* The Secret with the keys of sessions. */}}
{{- define "portal.session" -}}
{{ .Values.session.secretName | default (printf "%s-session" (include "portolan-lib.fullname" .) | include "portolan-lib.cut") }}
{{- end }}
