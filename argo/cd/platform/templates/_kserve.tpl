{{/* Values of KServe's own chart: Standard mode over the Gateway API, no Knative, no Istio. */}}
{{- define "chexpert-platform.kserve" -}}
{{- $kserve := .Values.kserve -}}
{{- $tag := $kserve.images.tag -}}
kserve:
  controller:
    deploymentMode: Standard
    image: {{ $kserve.images.controller }}
    tag: {{ $tag }}
    imagePullPolicy: {{ $kserve.images.pullPolicy }}
    gateway:
      domain: {{ $kserve.domain }}
      disableIstioVirtualHost: true
      disableHTTPRouteTimeout: true # Traefik takes a route's request timeout and does not keep it
      ingressGateway:
        enableGatewayApi: true
        kserveGateway: {{ $kserve.gateway }}
  agent:
    image: {{ $kserve.images.agent }}
    tag: {{ $tag }}
  router:
    image: {{ $kserve.images.router }}
    tag: {{ $tag }}
    imagePullPolicy: {{ $kserve.images.pullPolicy }}
  storage:
    image: {{ $kserve.images.storageInitializer }}
    tag: {{ $tag }}
    enableModelcar: false
    containerSecurityContext: # Pod Security "restricted" asks each container for a seccomp profile
      allowPrivilegeEscalation: false
      privileged: false
      runAsNonRoot: true
      capabilities:
        drop: [ALL]
      seccompProfile:
        type: RuntimeDefault
  security:
    autoMountServiceAccountToken: false
  inferenceservice: # of a container that states nothing; the shipped 1 CPU and 2 GiB leave no room for a canary
    resources:
      requests:
        cpu: 50m
        memory: 128Mi
      limits:
        cpu: "1"
        memory: 1Gi
{{- end -}}
