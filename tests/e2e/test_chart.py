"""The Helm chart and kustomize install the same objects; the values do what they say."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from recovery import __version__
from recovery.act.registry import POLICY_ACTIONS
from recovery.policies import parse
from tests.testbed import binaries, helm
from tools import chart

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def program() -> Path:
    """helm, built once and kept outside the tree."""
    return helm.ready()


def rendered(
    program: Path, *values: str, namespace: str = "gitops-system"
) -> dict[str, dict[str, Any]]:
    sets = [word for value in values for word in ("--set", value)]
    command = [
        str(program),
        "template",
        "recovery",
        str(chart.CHART),
        "-n",
        namespace,
        "--kube-version",
        "1.34.0",
        "--include-crds",
        *sets,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return by_name([without_helms_labels(d) for d in yaml.safe_load_all(text) if d])


def without_helms_labels(item: dict[str, Any]) -> dict[str, Any]:
    """All but the labels that say which release it is of; every object has them."""
    labels = item["metadata"].get("labels") or {}
    if item["kind"] != "CustomResourceDefinition":
        assert {
            "helm.sh/chart",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/managed-by",
        } <= labels.keys(), item["metadata"]
    kept = {
        k: v
        for k, v in labels.items()
        if k != "helm.sh/chart"
        and (not k.startswith("app.kubernetes.io/") or k.endswith("part-of"))
    }
    meta = {k: v for k, v in item["metadata"].items() if k != "labels"}
    return {**item, "metadata": {**meta, **({"labels": kept} if kept else {})}}


def by_name(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        f"{o['kind']}/{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": o
        for o in objects
    }


def kustomized() -> dict[str, dict[str, Any]]:
    """manifests/base as kustomize puts it together: resources and one generated ConfigMap, and one
    list whose items stay where they are."""
    files = [
        *(
            p
            for p in (ROOT / "manifests/base").glob("*.yaml")
            if p.name not in ("kustomization.yaml", "names.yaml")
        ),
        ROOT / "manifests/crds/recoveries.yaml",
    ]
    objects = [
        o
        for path in files
        for whole in yaml.safe_load_all(path.read_text())
        if whole
        for o in whole.get("items", [whole])
    ]
    listed = yaml.safe_load((ROOT / "manifests/base/kustomization.yaml").read_text())["resources"]
    assert {p.name for p in files[:-1]} == {name for name in listed if name.endswith(".yaml")}, (
        "every file is listed"
    )
    policies = {"policies.yaml": (ROOT / "config/policies.yaml").read_text()}
    meta = {"name": "recovery-policies", "namespace": "gitops-system"}
    return by_name(
        [*objects, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": policies}]
    )


def test_both_ways_install_the_same_objects(program: Path) -> None:
    wanted = kustomized()
    wanted.pop("Namespace//gitops-system")  # helm makes it itself: --create-namespace

    assert (
        rendered(program, "image.tag=v1.0.0") == wanted
    )  # manifests/base names the image as the requirement does

    image = rendered(program)["Deployment/gitops-system/gitops-recovery-controller"]["spec"][
        "template"
    ]["spec"]["containers"][0]["image"]
    assert image == f"gitops-recovery-controller:{__version__}"


def test_values(program: Path) -> None:
    objects = rendered(
        program,
        "enabled=false",
        "replicas=3",
        "argocd.namespace=cd",
        "env.RECOVERY_WITNESS=https://x",
        namespace="elsewhere",
    )
    spec = objects["Deployment/elsewhere/gitops-recovery-controller"]["spec"]
    env = {e["name"]: e["value"] for e in spec["template"]["spec"]["containers"][0]["env"]}

    assert (spec["replicas"], spec["strategy"]["type"]) == (3, "RollingUpdate")
    assert env["RECOVERY_ENABLED"] == "false"
    assert (env["RECOVERY_SHARDS"], env["RECOVERY_WITNESS"], env["ARGOCD_NAMESPACE"]) == (
        "3",
        "https://x",
        "cd",
    )
    assert "Role/cd/gitops-recovery-controller" in objects
    for place, name in (("cd", ""), ("elsewhere", ""), ("", "-workloads")):
        kind = "RoleBinding" if place else "ClusterRoleBinding"
        bound = objects[f"{kind}/{place}/gitops-recovery-controller{name}"]
        assert bound["metadata"]["labels"] == {"recovery.gitops.dev/bounds": "controller"}
        assert bound["subjects"][0]["namespace"] == "elsewhere"
    writes = [
        o
        for o in objects.values()
        if "patch" in str(o.get("rules")) and o["metadata"].get("namespace") != "elsewhere"
    ]
    assert writes == [], "who only observes has no right to write elsewhere"
    assert "gitops-system" not in str(
        [o for o in objects.values() if o["kind"] not in ("ConfigMap", "CustomResourceDefinition")]
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("enable=false", "'enable' not allowed"),
        ("replica=3", "'replica' not allowed"),
        ("image.tga=x", "'tga' not allowed"),
        ("argocd.ns=foo", "'ns' not allowed"),
        ("attempts=many", "/attempts"),
        ("interval=5", "/interval"),
        ("enabled=flase", "/enabled"),
        ("mode=watch", "/mode"),
    ],
)
def test_a_typing_error_in_a_value_installs_nothing(program: Path, values: str, words: str) -> None:
    command = [
        str(program),
        "template",
        "recovery",
        str(chart.CHART),
        "--kube-version",
        "1.34.0",
        "--set",
        values,
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode != 0
    assert words in done.stderr.replace("'/", "/"), done.stderr


@pytest.mark.parametrize(
    ("values", "acts"),
    [
        ("mode=act", "true"),
        ("mode=observe", "false"),
        ("enabled=false", "false"),
        ("mode=null", "true"),
    ],
)
def test_observing_is_said_by_mode_and_by_the_older_word(
    program: Path, values: str, acts: str
) -> None:
    spec = rendered(program, values)["Deployment/gitops-system/gitops-recovery-controller"]["spec"][
        "template"
    ]["spec"]

    assert {e["name"]: e["value"] for e in spec["containers"][0]["env"]}["RECOVERY_ENABLED"] == acts


def test_the_policies_get_their_default_channels(program: Path) -> None:
    held = rendered(program, "channels.default={pagerduty,slack}")[
        "ConfigMap/gitops-system/recovery-policies"
    ]["data"]["policies.yaml"]

    assert parse(held, POLICY_ACTIONS).channels == ("pagerduty", "slack")


def test_an_older_kubernetes_gets_no_admission_policies(program: Path) -> None:
    command = [str(program), "template", "recovery", str(chart.CHART), "--kube-version", "1.29.0"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "ValidatingAdmissionPolicy\n" not in text


def test_what_values_leave_out_and_add(program: Path) -> None:
    less = rendered(
        program, "admission.enabled=false", "networkPolicy.enabled=false", "workloads.enabled=false"
    )
    more = rendered(
        program,
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "policies=recovery_policies: []",
    )

    assert not [
        name
        for name in less
        if "Admission" in name or "NetworkPolicy" in name or "workloads" in name
    ]
    assert (
        more["ServiceMonitor/gitops-system/gitops-recovery-controller"]["spec"]["endpoints"][0][
            "path"
        ]
        == "/metrics"
    )
    rules = yaml.safe_load((ROOT / "manifests/monitoring/rules.yaml").read_text())
    assert more["PrometheusRule/gitops-system/gitops-recovery-controller"]["spec"] == rules
    assert (
        more["ConfigMap/gitops-system/recovery-policies"]["data"]["policies.yaml"].strip()
        == "recovery_policies: []"
    )


def test_components_are_combined_in_any_order(tmp_path: Path) -> None:
    """Each pair in both orders, and all of them: a patch that misses its place is an error of
    kustomize."""
    names = sorted(p.name for p in (ROOT / "manifests/components").iterdir())
    combinations = [*itertools.permutations(names, 2), tuple(names)]
    kubectl = binaries.ready() / "kubectl"
    where = os.path.relpath(ROOT / "manifests", tmp_path)

    for chosen in combinations:
        listed = [f"{where}/components/{name}" for name in chosen]
        whole = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{where}/base"],
            "components": listed,
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
        done = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True)

        assert done.returncode == 0, (chosen, done.stderr)
        deployment = next(o for o in yaml.safe_load_all(done.stdout) if o["kind"] == "Deployment")
        env = {
            each["name"]: each.get("value")
            for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        assert (env["RECOVERY_ENABLED"] == "false") is ("observe" in chosen), chosen
        assert ("RECOVERY_SHARDS" in env) is ("ha" in chosen), chosen
        assert ("ARGOCD_TOKEN_FILE" in env) is ("token" in chosen), chosen
