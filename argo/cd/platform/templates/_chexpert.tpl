{{/* Values of charts/chexpert that are known here. */}}
{{- define "chexpert-platform.chexpert" -}}
{{- $gateway := splitList "/" .Values.kserve.gateway -}}
gitops:
  url: {{ include "chexpert-platform.gitops" . | fromYaml | dig "repoURL" "" }}
environments:
  domain: {{ .Values.kserve.domain }}
  staging:
    namespace: {{ .Values.namespaces.staging }}
  production:
    namespace: {{ .Values.namespaces.production }}
gateway:
  namespace: {{ first $gateway }}
  name: {{ last $gateway }}
{{- with .Values.links.site }}
site:
  url: {{ trimSuffix "/" . }}
{{- end }}
{{- end -}}
