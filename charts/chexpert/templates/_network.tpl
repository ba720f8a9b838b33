{{/* Peers of a rule from values: {namespaces: [...], cidrs: [...]}. */}}
{{- define "chexpert.peers" -}}
{{- range .namespaces }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end }}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . }}}
{{- end }}
{{- end }}

{{/* The gateway: its namespace, and where it runs on the node itself, its addresses. */}}
{{- define "chexpert.gatewayPeers" -}}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.gateway.namespace }}}}
{{- include "chexpert.peers" .Values.network.gateway }}
{{- end }}

{{/* Pods of a component of this release, in the release's own namespace. */}}
{{- define "chexpert.pods" -}}
podSelector: {matchLabels: {app.kubernetes.io/part-of: chexpert, app.kubernetes.io/component: {{ . }}}}
{{- end }}

{{/* Every pod that Argo made for a workflow. */}}
{{- define "chexpert.workflowPods" -}}
podSelector: {matchExpressions: [{key: workflows.argoproj.io/workflow, operator: Exists}]}
{{- end }}

{{/* Pods of torchrun Jobs, which Argo's labels do not reach. */}}
{{- define "chexpert.trainerPods" -}}
podSelector: {matchLabels: {app.kubernetes.io/part-of: chexpert, app.kubernetes.io/component: trainer}}
{{- end }}

{{/* Every pod that KServe made for an InferenceService. */}}
{{- define "chexpert.modelPods" -}}
podSelector: {matchExpressions: [{key: serving.kserve.io/inferenceservice, operator: Exists}]}
{{- end }}

{{- define "chexpert.allowDNS" -}}
- to:
    {{- include "chexpert.peers" .Values.network.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* Egress to S3, wherever it is. */}}
{{- define "chexpert.allowObjects" -}}
- to:
    {{- if .Values.objects.bundled.enabled }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}}
      {{- include "chexpert.pods" "s3" | nindent 6 }}
    {{- else }}
    {{- include "chexpert.peers" .Values.network.objects | nindent 4 }}
    {{- end }}
  ports:
    {{- $default := ternary 443 80 (eq "true" (include "chexpert.objects.tls" .)) }}
    - {protocol: TCP, port: {{ include "chexpert.port" (list (include "chexpert.objects.endpoint" .) $default) }}}
{{- end }}

{{/* Egress to PostgreSQL, wherever it is. */}}
{{- define "chexpert.allowDatabase" -}}
- to:
    {{- if .Values.postgresql.enabled }}
    - {{ include "chexpert.pods" "postgresql" }}
    {{- else }}
    {{- include "chexpert.peers" .Values.network.database | nindent 4 }}
    {{- end }}
  ports:
    {{- range .Values.postgresql.enabled | ternary (list 5432) .Values.network.database.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "chexpert.allowMLflow" -}}
- to:
    - {{ include "chexpert.pods" "mlflow" }}
  ports: [{protocol: TCP, port: 5000}]
{{- end }}

{{/* Egress to the servers of models: through the gateway, whose port behind its Service is its own affair, and, for
     replays of one version, directly. */}}
{{- define "chexpert.allowModels" -}}
- to:
    {{- include "chexpert.gatewayPeers" . | nindent 4 }}
- to:
    {{- range include "chexpert.environmentNamespaces" . | fromJsonArray }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
      {{- include "chexpert.modelPods" $ | nindent 6 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: 8080}
    - {protocol: TCP, port: 8081}
{{- end }}

{{- define "chexpert.allowScraping" -}}
{{- with (index . 0).Values.network.prometheus }}
{{- if or .namespaces .cidrs }}
- from:
    {{- include "chexpert.peers" . | nindent 4 }}
  ports: [{protocol: TCP, port: {{ index $ 1 }}}]
{{- end }}
{{- end }}
{{- end }}
