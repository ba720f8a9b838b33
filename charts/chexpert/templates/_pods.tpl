{{/* Pod Security "restricted": what stands at the pod. */}}
{{- define "chexpert.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* And at each container. */}}
{{- define "chexpert.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* What everything that reads objects is told. */}}
{{- define "chexpert.environment" -}}
envFrom:
  - configMapRef: {name: chexpert}
  - secretRef: {name: chexpert-objects}
{{- end }}

{{/* One variable out of a Secret: (list "CHEXPERT_DATABASE" "chexpert-tables"). */}}
{{- define "chexpert.secretVariable" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 0 }}}
{{- end }}

{{/* First init container of site, worker and MLflow: waits for the stores, makes the bucket if it is not there.
     Call with (dict "root" $ "reference" image "database" "NAME of the variable with the URL"). */}}
{{- define "chexpert.prepare" -}}
- name: prepare
  image: {{ include "chexpert.image" (dict "root" .root "reference" .reference) }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [python, /scripts/prepare.py]
  args:
    - --seconds=300
    - --database={{ .database }}
    {{- if .root.Values.objects.createBucket }}
    - --create-bucket
    {{- end }}
  {{- include "chexpert.environment" . | nindent 2 }}
  env:
    - {name: HOME, value: /tmp}
    {{- include "chexpert.secretVariable" (list .database "chexpert-tables") | nindent 4 }}
  resources:
    requests: {cpu: 20m, memory: 96Mi}
    limits: {memory: 256Mi}
  {{- include "chexpert.containerSecurity" . | nindent 2 }}
  volumeMounts:
    - {name: scripts, mountPath: /scripts, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "chexpert.volumes" -}}
- name: scripts
  configMap: {name: chexpert-scripts}
- name: tmp
  emptyDir: {}
{{- end }}

{{/* A changed configuration restarts what reads it. Generated keys stay out: nothing random may stand in a pod. */}}
{{- define "chexpert.checksums" -}}
checksum/configuration: {{ include "chexpert.configuration" . | sha256sum | trunc 16 }}
checksum/scripts: {{ .Files.Get "files/prepare.py" | sha256sum | trunc 16 }}
checksum/keys: {{ list .Values.objects.accessKey .Values.objects.secretKey .Values.postgresql.external | toJson | sha256sum | trunc 16 }}
{{- end }}

{{/* (list $ 8801): where Prometheus finds /metrics, for installations without its operator. */}}
{{- define "chexpert.scraped" -}}
{{- if (index . 0).Values.monitoring.annotations }}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ index . 1 | quote }}
{{- end }}
{{- end }}
