"""The Helm chart and kustomize install the same objects; the values do what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from recovery import __version__
from tests import chart
from tests.testbed import helm

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def program() -> Path:
    """helm, built once and kept outside the tree."""
    return helm.ready()


def rendered(program: Path, *values: str, namespace: str = "gitops-system") -> dict[str, dict[str, Any]]:
    sets = [word for value in values for word in ("--set", value)]
    command = [str(program), "template", "recovery", str(chart.CHART), "-n", namespace, "--kube-version", "1.34.0", "--include-crds", *sets]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return by_name([d for d in yaml.safe_load_all(text) if d])


def by_name(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{o['kind']}/{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": o for o in objects}


def kustomized() -> dict[str, dict[str, Any]]:
    """manifests/base as kustomize puts it together: resources and one generated ConfigMap, and one list whose items stay
    where they are."""
    files = [
        *(p for p in (ROOT / "manifests/base").glob("*.yaml") if p.name not in ("kustomization.yaml", "names.yaml")),
        ROOT / "manifests/crds/recoveries.yaml",
    ]
    objects = [o for path in files for whole in yaml.safe_load_all(path.read_text()) if whole for o in whole.get("items", [whole])]
    listed = yaml.safe_load((ROOT / "manifests/base/kustomization.yaml").read_text())["resources"]
    assert {p.name for p in files[:-1]} == {name for name in listed if name.endswith(".yaml")}, "every file is listed"
    policies = {"policies.yaml": (ROOT / "config/policies.yaml").read_text()}
    meta = {"name": "recovery-policies", "namespace": "gitops-system"}
    return by_name([*objects, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": policies}])


def test_both_ways_install_the_same_objects(program: Path) -> None:
    wanted = kustomized()
    wanted.pop("Namespace//gitops-system")  # helm makes it itself: --create-namespace

    assert rendered(program, "image.tag=v1.0.0") == wanted  # manifests/base names the image as the requirement does

    image = rendered(program)["Deployment/gitops-system/gitops-recovery-controller"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"gitops-recovery-controller:{__version__}"


def test_values(program: Path) -> None:
    objects = rendered(
        program, "enabled=false", "replicas=3", "argocd.namespace=cd", "env.RECOVERY_WITNESS=https://x", namespace="elsewhere"
    )
    spec = objects["Deployment/elsewhere/gitops-recovery-controller"]["spec"]
    env = {e["name"]: e["value"] for e in spec["template"]["spec"]["containers"][0]["env"]}

    assert (spec["replicas"], spec["strategy"]["type"]) == (3, "RollingUpdate")
    assert env["RECOVERY_ENABLED"] == "false"
    assert (env["RECOVERY_SHARDS"], env["RECOVERY_WITNESS"], env["ARGOCD_NAMESPACE"]) == ("3", "https://x", "cd")
    assert "Role/cd/gitops-recovery-controller" in objects
    for place, name in (("cd", ""), ("elsewhere", ""), ("", "-workloads")):
        kind = "RoleBinding" if place else "ClusterRoleBinding"
        bound = objects[f"{kind}/{place}/gitops-recovery-controller{name}"]
        assert bound["metadata"]["labels"] == {"recovery.gitops.dev/bounds": "controller"}
        assert bound["subjects"][0]["namespace"] == "elsewhere"
    writes = [o for o in objects.values() if "patch" in str(o.get("rules")) and o["metadata"].get("namespace") != "elsewhere"]
    assert writes == [], "who only observes has no right to write elsewhere"
    assert "gitops-system" not in str([o for o in objects.values() if o["kind"] not in ("ConfigMap", "CustomResourceDefinition")])


def test_what_values_leave_out_and_add(program: Path) -> None:
    less = rendered(program, "admission.enabled=false", "networkPolicy.enabled=false", "workloads.enabled=false")
    more = rendered(program, "serviceMonitor.enabled=true", "prometheusRule.enabled=true", "policies=recovery_policies: []")

    assert not [name for name in less if "Admission" in name or "NetworkPolicy" in name or "workloads" in name]
    assert more["ServiceMonitor/gitops-system/gitops-recovery-controller"]["spec"]["endpoints"][0]["path"] == "/metrics"
    rules = yaml.safe_load((ROOT / "manifests/monitoring/rules.yaml").read_text())
    assert more["PrometheusRule/gitops-system/gitops-recovery-controller"]["spec"] == rules
    assert more["ConfigMap/gitops-system/recovery-policies"]["data"]["policies.yaml"].strip() == "recovery_policies: []"
