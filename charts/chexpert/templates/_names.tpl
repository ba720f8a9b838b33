{{/* Labels of an object. Call with (dict "root" $ "component" "site"); without a component for what belongs to all. */}}
{{- define "chexpert.labels" -}}
{{ include "chexpert.selector" . }}
app.kubernetes.io/part-of: chexpert
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* What selects a component's pods; immutable, so nothing of a version stands here. */}}
{{- define "chexpert.selector" -}}
app.kubernetes.io/name: chexpert
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of a pod: without the version, a release of the chart alone restarts nothing. */}}
{{- define "chexpert.podLabels" -}}
{{ include "chexpert.selector" . }}
app.kubernetes.io/part-of: chexpert
{{- end }}

{{/* Metadata of a namespaced object. Call with (dict "root" $ "component" "site" "name" "chexpert-site"). */}}
{{- define "chexpert.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "chexpert.labels" . | nindent 2 }}
{{- end }}

{{/* An image of ours, (dict "root" $ "reference" "chexpert/web"): registry before it, tag behind it if it has none. */}}
{{- define "chexpert.image" -}}
{{- $images := .root.Values.images -}}
{{- $reference := .reference -}}
{{- if not (regexMatch "(:[^/]+|@sha256:[0-9a-f]{64})$" $reference) -}}
{{- $reference = printf "%s:%s" $reference ($images.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- with $images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $reference -}}
{{- end }}

{{/* The namespaces that read the ConfigMap and the S3 keys: the release's own and the environments'. */}}
{{- define "chexpert.namespaces" -}}
{{- $e := .Values.environments -}}
{{- list .Release.Namespace $e.staging.namespace $e.production.namespace | uniq | toJson -}}
{{- end }}

{{- define "chexpert.environmentNamespaces" -}}
{{- list .Values.environments.staging.namespace .Values.environments.production.namespace | uniq | toJson -}}
{{- end }}

{{/* Address of a Service of ours as every namespace resolves it: (list $ "chexpert-s3" 7070). */}}
{{- define "chexpert.address" -}}
{{- $root := index . 0 -}}
{{- printf "%s.%s.svc:%d" (index . 1) $root.Release.Namespace (int (index . 2)) -}}
{{- end }}

{{/* S3 as host:port or host, and whether over TLS. */}}
{{- define "chexpert.objects.endpoint" -}}
{{- if .Values.objects.bundled.enabled -}}
http://{{ include "chexpert.address" (list . "chexpert-s3" 7070) }}
{{- else -}}
{{ .Values.objects.endpoint | trimSuffix "/" }}
{{- end -}}
{{- end }}

{{- define "chexpert.objects.host" -}}
{{- include "chexpert.objects.endpoint" . | trimPrefix "https://" | trimPrefix "http://" -}}
{{- end }}

{{- define "chexpert.objects.tls" -}}
{{- if hasPrefix "https://" (include "chexpert.objects.endpoint" .) }}true{{ end -}}
{{- end }}

{{/* Port of a URL: (list "http://host:7070" 80), the second being the one of URLs without. */}}
{{- define "chexpert.port" -}}
{{- $port := regexFind ":[0-9]+$" (urlParse (index . 0)).host -}}
{{- if $port }}{{ trimPrefix ":" $port }}{{ else }}{{ index . 1 }}{{ end -}}
{{- end }}
