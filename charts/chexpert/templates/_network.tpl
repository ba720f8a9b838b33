{{/* Peers of a rule from values: {namespaces: [...], podLabels: {...}, cidrs: [...]}. */}}
{{- define "chexpert.peers" -}}
{{- $pods := .podLabels }}
{{- range .namespaces }}
- namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
  {{- with $pods }}
  podSelector: {matchLabels: {{ toJson . }}}
  {{- end }}
{{- end }}
{{- range .cidrs }}
- ipBlock: {cidr: {{ . }}}
{{- end }}
{{- end }}

{{/* Ports of a rule from a list of numbers. */}}
{{- define "chexpert.ports" -}}
{{- $ports := list }}
{{- range . }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range uniq $ports }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end }}

{{/* One rule of egress from values: {namespaces, podLabels, cidrs, ports}; nothing where it names nobody. */}}
{{- define "chexpert.allow" -}}
{{- if and (or .namespaces .cidrs) .ports }}
- to:
    {{- include "chexpert.peers" . | nindent 4 }}
  ports:
    {{- include "chexpert.ports" .ports | nindent 4 }}
{{- end }}
{{- end }}

{{/* The gateway where it is pods: its namespaces and their labels, ready for "chexpert.peers". */}}
{{- define "chexpert.gatewayPods" -}}
{{- $gateway := .Values.network.gateway -}}
{{- dict "namespaces" (prepend $gateway.namespaces .Values.gateway.namespace | uniq) "podLabels" $gateway.podLabels | toJson -}}
{{- end }}

{{/* The gateway as a sender: its pods, and where it runs on the nodes themselves, their addresses. */}}
{{- define "chexpert.gatewayPeers" -}}
{{- include "chexpert.peers" (include "chexpert.gatewayPods" . | fromJson) }}
{{- include "chexpert.peers" (dict "cidrs" .Values.network.gateway.cidrs) }}
{{- end }}

{{/* Pods of a component of this release, in the release's own namespace. */}}
{{- define "chexpert.pods" -}}
podSelector: {matchLabels: {app.kubernetes.io/part-of: chexpert, app.kubernetes.io/component: {{ . }}}}
{{- end }}

{{/* Every pod that Argo made for a workflow; those that collect its artifacts too. */}}
{{- define "chexpert.workflowPods" -}}
podSelector: {matchExpressions: [{key: workflows.argoproj.io/workflow, operator: Exists}]}
{{- end }}

{{/* Those of them that read or write git, by a label of their templates in argo/workflows. */}}
{{- define "chexpert.gitPods" -}}
podSelector:
  matchExpressions: [{key: workflows.argoproj.io/workflow, operator: Exists}]
  matchLabels: {chexpert/git: "true"}
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
    {{- range .Values.network.dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{/* Egress to S3, wherever it is. */}}
{{- define "chexpert.allowObjects" -}}
{{- $default := ternary 443 80 (eq "true" (include "chexpert.objects.tls" .)) }}
{{- $port := include "chexpert.port" (list (include "chexpert.objects.endpoint" .) $default) | int }}
{{- if .Values.objects.bundled.enabled }}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}}
      {{- include "chexpert.pods" "s3" | nindent 6 }}
  ports:
    {{- include "chexpert.ports" (list $port) | nindent 4 }}
{{- else }}
{{- with .Values.network.objects }}
{{- include "chexpert.allow" (merge (dict "ports" (prepend .ports $port)) .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Egress to PostgreSQL, wherever it is. */}}
{{- define "chexpert.allowDatabase" -}}
{{- if .Values.postgresql.enabled }}
- to:
    - {{ include "chexpert.pods" "postgresql" }}
  ports:
    {{- include "chexpert.ports" (list 5432) | nindent 4 }}
{{- else }}
{{- include "chexpert.allow" .Values.network.database }}
{{- end }}
{{- end }}

{{- define "chexpert.allowMLflow" -}}
- to:
    - {{ include "chexpert.pods" "mlflow" }}
  ports: [{protocol: TCP, port: 5000}]
{{- end }}

{{/* Egress to the gateway. A policy sees the port behind a Service: of pods that of their entry point, which need not
     be the Service's; of a process on a node the one that was asked. */}}
{{- define "chexpert.allowGateway" -}}
{{- $gateway := .Values.network.gateway }}
{{- $ports := $gateway.ports }}
{{- range $environment := list "staging" "production" }}
{{- $url := include "chexpert.predictor" (dict "root" $ "environment" $environment) }}
{{- $ports = append $ports (include "chexpert.port" (list $url (ternary 443 80 (hasPrefix "https://" $url))) | int) }}
{{- end }}
{{- include "chexpert.allow" (merge (dict "ports" $gateway.podPorts) (include "chexpert.gatewayPods" . | fromJson)) }}
{{- include "chexpert.allow" (dict "cidrs" $gateway.cidrs "ports" $ports) }}
{{- end }}

{{/* Ports of git as a JSON list: the URL's own or its scheme's, and what the values add. The API of pull requests stands
     beside ssh at github.com only; another forge's is known to nobody here. */}}
{{- define "chexpert.gitPorts" -}}
{{- $url := .Values.gitops.url -}}
{{- $ports := .Values.network.git.ports -}}
{{- if contains "://" $url -}}
{{- with get (dict "http" 80 "https" 443 "ssh" 22 "git" 9418) (urlParse $url).scheme -}}
{{- $ports = append $ports (include "chexpert.port" (list $url .) | int) -}}
{{- end -}}
{{- else if $url -}}
{{- $ports = append $ports 22 -}}
{{- end -}}
{{- if regexMatch "@(ssh\\.)?github\\.com[:/]" $url -}}
{{- $ports = append $ports 443 -}}
{{- end -}}
{{- uniq $ports | toJson -}}
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

{{/* Who of the nodes may read a bundled store, for its backup: (list $ 5432). */}}
{{- define "chexpert.allowBackup" -}}
{{- with (index . 0).Values.network.backup.cidrs }}
- from:
    {{- include "chexpert.peers" (dict "cidrs" .) | nindent 4 }}
  ports: [{protocol: TCP, port: {{ index $ 1 }}}]
{{- end }}
{{- end }}
