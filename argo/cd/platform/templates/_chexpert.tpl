{{/* Values of charts/chexpert that are known here. */}}
{{- define "chexpert-platform.chexpert" -}}
{{- $gateway := splitList "/" (include "chexpert-platform.siteGateway" .) -}}
{{- $models := splitList "/" .Values.kserve.gateway -}}
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
  {{- if .Values.parts.gateway }}
  listener: {{ ternary "https" "http" (ne "" .Values.gateway.certificate) }}
  {{- end }}
{{- if ne (first $gateway) (first $models) }}
network:
  gateway:
    namespaces: [{{ first $models }}]
{{- end }}
{{- with .Values.links.site }}
site:
  url: {{ trimSuffix "/" . }}
{{- end }}
{{- end -}}
