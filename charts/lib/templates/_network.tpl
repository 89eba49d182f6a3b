{{/* How a service is reached. */}}

{{/* The port for metrics and probes. Pods that are not ready are in it: they are the ones to look at. Takes the root. */}}
{{- define "portolan-lib.metrics-service" -}}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "portolan-lib.metadata" (dict "root" . "suffix" "-metrics") | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "portolan-lib.selector" . | nindent 4 }}
  ports:
    - {name: admin, port: 9090, targetPort: admin}
{{- end }}

{{/* The port that the service is there for, and ways to it from outside. Takes a dict: root; api, the name of the port. */}}
{{- define "portolan-lib.api-service" -}}
{{- $values := .root.Values }}
{{- $scheme := ternary "https" "http" (not (empty $values.tls.secretName)) }}
{{- $name := include "portolan-lib.fullname" .root | quote }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root "annotations" $values.service.annotations) | nindent 2 }}
spec:
  type: {{ $values.service.type }}
  selector:
    {{- include "portolan-lib.selector" .root | nindent 4 }}
  ports:
    - {name: {{ $scheme }}, port: {{ $values.service.port }}, targetPort: {{ .api }}, appProtocol: {{ $scheme }}}
{{- if ($values.ingress).enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root "annotations" $values.ingress.annotations) | nindent 2 }}
spec:
  {{- with $values.ingress.className }}
  ingressClassName: {{ quote . }}
  {{- end }}
  {{- with $values.ingress.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range $values.ingress.hosts | default (list "") }}
    - {{ if . }}host: {{ toJson . }}
      {{ end }}http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: {{ $name }}, port: {name: {{ $scheme }}}}}
    {{- end }}
{{- end }}
{{- if ($values.httpRoute).enabled }}
{{- if not $values.httpRoute.parentRefs }}
{{- fail "set httpRoute.parentRefs: a route needs a Gateway" }}
{{- end }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root "annotations" $values.httpRoute.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml $values.httpRoute.parentRefs | nindent 4 }}
  {{- with $values.httpRoute.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - backendRefs:
        - {name: {{ $name }}, port: {{ $values.service.port }}}
{{- end }}
{{- end }}

{{/* Takes a dict: root; api, if there is such a port. */}}
{{- define "portolan-lib.network-policy" -}}
{{- $policy := .root.Values.networkPolicy }}
{{- if ($policy).enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "portolan-lib.selector" .root | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if $policy.egress }}
    - Egress
    {{- end }}
  ingress:
    - ports: [{port: admin}]
      {{- with $policy.metricsFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- if .api }}
    - ports: [{port: {{ .api }}}]
      {{- with $policy.from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  {{- with $policy.egress }}
  egress:
    # Names are looked up whatever else is forbidden.
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
