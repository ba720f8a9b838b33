{{/*
One Application. Takes a dict:
  root       the chart's context
  name, wave, project, namespace
  source     dict: spec.source
  prune      whether what left git is deleted
  links      optional dict of name to URL
*/}}
{{- define "chexpert-platform.application" -}}
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {{ .name }}
  namespace: {{ .root.Values.namespaces.argocd }}
  labels:
    app.kubernetes.io/part-of: chexpert
  annotations:
    argocd.argoproj.io/sync-wave: {{ .wave | quote }}
    {{- range $name, $url := .links }}
    {{ printf "link.argocd.argoproj.io/%s" $name }}: {{ $url | quote }}
    {{- end }}
  # No finalizer: taking an Application away leaves what it installed, data and served models too.
spec:
  project: {{ .project }}
  source:
    {{- toYaml .source | nindent 4 }}
  destination:
    server: {{ .root.Values.destination }}
    namespace: {{ .namespace }}
  syncPolicy:
    automated:
      prune: {{ .prune }}
      selfHeal: true
    syncOptions:
      - CreateNamespace=true
      - ServerSideApply=true # the CRDs of Workflows and InferenceServices do not fit the annotation of a client-side apply
    retry:
      limit: {{ .root.Values.retry.limit }}
      backoff:
        duration: {{ .root.Values.retry.duration }}
        factor: 2
        maxDuration: {{ .root.Values.retry.maxDuration }}
  {{- with .links }}
  info:
    {{- range $name, $url := . }}
    - name: {{ $name }}
      value: {{ $url | quote }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* The repository and revision that promotions commit to. */}}
{{- define "chexpert-platform.gitops" -}}
{{- if .Values.gitops.repoURL -}}
{{- dict "repoURL" .Values.gitops.repoURL "targetRevision" .Values.gitops.revision | toYaml -}}
{{- else -}}
{{- dict "repoURL" .Values.repoURL "targetRevision" .Values.revision | toYaml -}}
{{- end -}}
{{- end -}}
