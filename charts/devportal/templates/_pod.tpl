{{- define "devportal.pod" -}}
{{- if and .Values.notify.url (not .Values.notify.secretName) }}
{{- fail "set notify.secretName to a Secret with the key signing-key: notices are signed" }}
{{- end }}
container: devportal
args:
  {{- with .Values.namespaces }}
  - --namespaces={{ join "," . }}
  {{- end }}
  - --fetch-allowed-cidrs={{ join "," .Values.fetch.allowedCIDRs }}
  {{- with .Values.notify.url }}
  - {{ printf "--notify-url=%s" . | toJson }}
  - --notify-key-file=/etc/portolan-notify/signing-key
  {{- end }}
  {{- include "portolan-lib.install-crds" . | nindent 2 }}
ports: {admin: 9090}
{{- if .Values.notify.url }}
volumes:
  - name: notify
    secret: {secretName: {{ quote .Values.notify.secretName }}}
volumeMounts:
  - {name: notify, mountPath: /etc/portolan-notify, readOnly: true}
{{- end }}
{{- end }}
