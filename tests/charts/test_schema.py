from pathlib import Path
from typing import Any

import helm_python
import pytest

from rendering import render_chart

EXTERNAL = {"postgresql": {"enabled": False}}
URL = "postgresql+psycopg://user:secret@db.example.org:5432/name"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sites": {}}, "sites"),
        ({"site": {"replica": 2}}, "replica"),
        ({"site": {"replicas": 0}}, "replicas"),
        ({"site": {"replicas": "2"}}, "replicas"),
        ({"site": {"url": "chexpert.example.org"}}, "url"),
        ({"site": {"url": "https://example.org/path"}}, "url"),
        ({"site": {"users": ["jane"]}}, "users"),
        ({"site": {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "much"}}}}, "cpu"),
        ({"images": {"tag": "latest"}}, "tag"),
        ({"images": {"web": "chexpert/web:latest"}}, "web"),
        ({"images": {"postgresql": "postgres"}}, "postgresql"),
        ({"images": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"objects": {"bundled": {"enabled": False}}}, "objects"),
        ({"objects": {"endpoint": "https://s3.example.org"}}, "objects"),
        ({"objects": {"bucket": "Chexpert"}}, "bucket"),
        ({"objects": {"endpoint": "s3.example.org", "bundled": {"enabled": False}}}, "endpoint"),
        (EXTERNAL, "siteURL"),
        ({"postgresql": {"enabled": False, "external": {"siteURL": URL}}}, "mlflowURL"),
        ({"postgresql": {"external": {"siteURL": "sqlite:///x.db"}}}, "siteURL"),
        ({"postgresql": {"settings": {"listen_addresses": "*"}}}, "listen_addresses"),
        ({"network": {"database": {"ports": [70000]}}}, "ports"),
        ({"network": {"database": {"ports": []}}}, "ports"),
        ({"network": {"git": {"cidrs": ["git.example.org"]}}}, "cidrs"),
        ({"network": {"dns": {"namespaces": [], "cidrs": []}}}, "dns"),
        ({"network": {"git": {"namespaces": [], "cidrs": []}}}, "git"),
        ({"network": {"objects": {"namespaces": [], "cidrs": []}}}, "objects"),
        ({"network": {"gateway": {"ports": []}}}, "ports"),
        ({"network": {"gateway": {"podPorts": ["web"]}}}, "podPorts"),
        ({"network": {"gateway": {"podSelector": {"matchLabels": {"a": "b"}}}}}, "podSelector"),
        ({"network": {"gateway": {"podLabels": {"a": 1}}}}, "podLabels"),
        ({"network": {"dns": {"ports": []}}}, "ports"),
        ({"network": {"traces": {"ports": []}}}, "ports"),
        ({"network": {"backup": {"namespaces": ["backup"]}}}, "backup"),
        ({"network": {"backup": {"cidrs": ["10.0.0.1"]}}}, "cidrs"),
        ({"environments": {"podSecurity": "strict"}}, "podSecurity"),
        ({"environments": {"production": {"namespace": "Production"}}}, "namespace"),
        ({"environments": {"testing": {"namespace": "testing"}}}, "testing"),
        ({"gitops": {"url": "not a url"}}, "url"),
        ({"mlflow": {"workers": 0}}, "workers"),
    ],
)
def test_a_wrong_value_is_refused(chart: Path, values: dict[str, Any], said: str) -> None:
    """The schema refuses it and names it."""
    with pytest.raises(helm_python.HelmError, match=said):
        render_chart(chart, values)


@pytest.mark.parametrize(
    "values",
    [
        {"postgresql": {"enabled": False, "external": {"siteURL": URL, "mlflowURL": URL}}},
        {"postgresql": {"enabled": False}, "secrets": {"existing": True}},
        {"gitops": {"url": "git@github.com:radiology/chexpert.git"}},
        {"gitops": {"url": "http://10.244.0.1:3000/chexpert.git"}},
        {"site": {"url": "http://chexpert.test:8080"}},
        {"site": {"users": ["jane:admin:$scrypt$n=16384,r=8,p=5$c2FsdA$aGFzaA"]}},
        {"network": {"prometheus": {"namespaces": [], "cidrs": []}}},
        {"network": {"gateway": {"podLabels": {"app.kubernetes.io/name": "traefik"}, "cidrs": ["10.244.0.1/32"]}}},
        {"network": {"backup": {"cidrs": ["10.0.0.5/32"]}, "traces": {"namespaces": ["telemetry"], "cidrs": []}}},
        {"network": {"git": {"ports": [3000]}, "objects": {"ports": [9000]}}},
        {"network": {"kubernetesAPI": {"cidrs": ["10.96.0.1/32", "fd00::/8"]}}},
        {"images": {"postgresql": f"postgres@sha256:{'a' * 64}"}},
    ],
)
def test_a_right_value_is_taken(chart: Path, values: dict[str, Any]) -> None:
    """What the documentation names renders."""
    assert render_chart(chart, values)


def test_keys_of_an_external_store_are_asked_for(chart: Path) -> None:
    """They cannot be invented; the message says both ways out."""
    values = {"objects": {"endpoint": "https://s3.example.org", "bundled": {"enabled": False}}}
    with pytest.raises(helm_python.HelmError, match="accessKey and secretKey"):
        render_chart(chart, values)
    assert render_chart(chart, [values, {"secrets": {"existing": True}}])


def test_namespaces_without_a_pattern_are_refused(chart: Path) -> None:
    """The rollout driver is told one pattern for both environments."""
    values = {"environments": {"staging": {"namespace": "a"}, "production": {"namespace": "b"}}}
    with pytest.raises(helm_python.HelmError, match="differ by the words"):
        render_chart(chart, values)


def test_every_default_has_its_schema(chart: Path) -> None:
    """No value of values.yaml stands outside the schema, and the schema is closed at every level."""

    def open_objects(schema: Any, path: str) -> list[str]:
        if isinstance(schema, list):
            return [hit for i, part in enumerate(schema) for hit in open_objects(part, f"{path}[{i}]")]
        if not isinstance(schema, dict):
            return []
        mine = [path] if schema.get("type") == "object" and "properties" in schema else []
        mine = [] if schema.get("additionalProperties") is False else mine
        return mine + [hit for key, part in schema.items() for hit in open_objects(part, f"{path}.{key}")]

    with helm_python.Chart.load(chart) as loaded:
        assert loaded.schema is not None
        assert open_objects(loaded.schema, "") == []
        assert loaded.schema["properties"].keys() - loaded.values.keys() == {"global"}
