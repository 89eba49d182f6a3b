{{/* The pods of a service. */}}

{{- define "portolan-lib.image" -}}
{{- $image := .Values.image }}
{{- $registry := $image.registry | default (.Values.global).imageRegistry }}
{{- $repository := $image.repository }}
{{- if $registry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" $registry) $repository }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository ($image.tag | default .Chart.AppVersion | toString) }}
{{- end }}
{{- end }}

{{/*
Takes a dict: root; pod, which has container (its name), args, ports (numbers by name), volumes, volumeMounts; run, for a
pod that runs a command of the service once, as a list of words; account, where it has one of its own.
*/}}
{{- define "portolan-lib.podspec" -}}
{{- $root := .root }}
{{- $pod := .pod }}
{{- $values := .root.Values -}}
serviceAccountName: {{ .account | default (include "portolan-lib.serviceaccount" $root) | quote }}
automountServiceAccountToken: true
# Variables for a Service that is called portolan-token-service would be read as flags.
enableServiceLinks: false
{{- $secrets := list }}
{{- range concat ($values.imagePullSecrets | default list) ((($values.global).imagePullSecrets) | default list) }}
{{- if kindIs "map" . }}
{{- $secrets = append $secrets .name }}
{{- else }}
{{- $secrets = append $secrets . }}
{{- end }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ quote . }}
  {{- end }}
{{- end }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .run }}
restartPolicy: Never
{{- else }}
# Time to serve after SIGTERM, then at most 20 seconds for requests in progress.
terminationGracePeriodSeconds: {{ add (int $values.drainSeconds) 25 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
topologySpreadConstraints:
  {{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "portolan-lib.selector" $root | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
containers:
  - name: {{ $pod.container }}
    image: {{ include "portolan-lib.image" $root | quote }}
    {{- with $values.image.pullPolicy }}
    imagePullPolicy: {{ . }}
    {{- end }}
    args:
      {{- range $pod.args }}
      - {{ toJson . }}
      {{- end }}
      {{- range $values.args }}
      - {{ toJson . }}
      {{- end }}
      {{- range .run }}
      - {{ toJson . }}
      {{- end }}
    env:
      - name: POD_NAME
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      - name: POD_NAMESPACE
        valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
      {{- with $values.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if not .run }}
    ports:
      {{- range $name, $port := $pod.ports }}
      - {name: {{ $name }}, containerPort: {{ $port }}}
      {{- end }}
    {{- with $values.livenessProbe }}
    livenessProbe:
      httpGet: {path: /livez, port: admin}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $values.readinessProbe }}
    readinessProbe:
      httpGet: {path: /readyz, port: admin}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    {{- with $values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with concat ($pod.volumeMounts | default list) ($values.volumeMounts | default list) }}
    volumeMounts:
      {{- range . }}
      - {{ toJson . }}
      {{- end }}
    {{- end }}
{{- with concat ($pod.volumes | default list) ($values.volumes | default list) }}
volumes:
  {{- range . }}
  - {{ toJson . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Takes a dict: root, pod. */}}
{{- define "portolan-lib.deployment" -}}
{{- $values := .root.Values }}
{{- $selector := include "portolan-lib.selector" .root }}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "portolan-lib.metadata" (dict "root" .root) | nindent 2 }}
spec:
  {{- if not ($values.autoscaling).enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- mergeOverwrite (deepCopy ($values.commonLabels | default dict)) ($values.podLabels | default dict) (fromYaml $selector) | toYaml | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "portolan-lib.podspec" . | nindent 6 }}
{{- end }}

{{/* `helm test`: one run of `check`, with the account and the configuration of the service. The pod stays until the next
test: with --logs, Helm 3 reads its log after it would have deleted it. Takes a dict: root, pod. */}}
{{- define "portolan-lib.test" -}}
apiVersion: v1
kind: Pod
metadata:
  {{- $annotations := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation" }}
  {{- $labels := dict "app.kubernetes.io/name" (printf "%s-check" (include "portolan-lib.chart" .root) | include "portolan-lib.cut") }}
  {{- include "portolan-lib.metadata" (dict "root" .root "suffix" "-check" "labels" $labels "annotations" $annotations) | nindent 2 }}
spec:
  {{- include "portolan-lib.podspec" (merge (dict "run" (list "check")) .) | nindent 2 }}
{{- end }}
