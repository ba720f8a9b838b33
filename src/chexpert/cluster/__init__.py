"""Reads and asks a Kubernetes cluster: workflow runs, what the gateway really routes, and what an installation lacks.

Everything goes through the port `api.Api`, JSON objects in and out; judging what was read is pure. It changes nothing
in a cluster but the workflows that a person submits: deploying is Helm's and Argo CD's, serving is KServe's. It knows
no step and no file of git: the pipeline's driver and the command line bring those together.
"""

__all__ = [
    "answers",
    "api",
    "argo_server",
    "connection",
    "display",
    "doctor",
    "errors",
    "logs",
    "manifests",
    "pods",
    "routes",
    "routing",
    "runs",
    "workflows",
]
