{{/* Values of argo/cd/gateway. */}}
{{- define "chexpert-platform.gateway" -}}
{{- $gateway := .Values.gateway -}}
image: {{ $gateway.image }}
service: {{ $gateway.service }}
addresses: {{ toJson $gateway.addresses }}
certificate: {{ $gateway.certificate | quote }}
domain: {{ .Values.kserve.domain }}
namespaces:
  chexpert: {{ .Values.namespaces.chexpert }}
  staging: {{ .Values.namespaces.staging }}
  production: {{ .Values.namespaces.production }}
  monitoring: {{ toJson $gateway.monitoring }}
{{- end -}}

{{/* namespace/name of the Gateway that the site's route hangs on: our own, or where none is installed, the one there is. */}}
{{- define "chexpert-platform.siteGateway" -}}
{{- .Values.gateway.site | default (ternary "kserve/chexpert-site" .Values.kserve.gateway .Values.parts.gateway) -}}
{{- end -}}

{{/* Stops at a listener that our own Gateway does not have: the route would never be taken up. Takes a dict: root, values
     (of the chart). */}}
{{- define "chexpert-platform.heldToListeners" -}}
{{- $gateway := .values.gateway -}}
{{- $ours := and .root.Values.parts.gateway (eq "kserve/chexpert-site" (printf "%s/%s" $gateway.namespace $gateway.name)) -}}
{{- $listeners := ternary (list "" "http" "https") (list "" "http") (ne "" .root.Values.gateway.certificate) -}}
{{- if and $ours (not (has ($gateway.listener | default "") $listeners)) -}}
{{- fail (printf "chexpert.values.gateway.listener: the Gateway has no listener %s; https takes gateway.certificate" $gateway.listener) -}}
{{- end -}}
{{- end -}}
