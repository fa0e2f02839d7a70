"""What is installed is what the requirement names, and no more than what is used."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import yaml

from recovery import __version__

ROOT = Path(__file__).parent.parent
BASE = ROOT / "manifests" / "base"


def objects(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, those of a list each for itself."""
    return [o for d in yaml.safe_load_all(path.read_text()) if d for o in d.get("items", [d])]


def test_the_deployment_is_the_requirements() -> None:
    deployment = next(o for o in objects(BASE / "deployment.yaml") if o["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert (deployment["metadata"]["name"], deployment["metadata"]["namespace"]) == (
        "gitops-recovery-controller",
        "gitops-system",
    )
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "gitops-recovery-controller"}
    assert deployment["spec"]["template"]["spec"]["serviceAccount"] == "gitops-recovery-controller"
    assert (container["name"], container["image"]) == (
        "controller",
        "gitops-recovery-controller:v1.0.0",
    )
    assert container["env"] == [
        {"name": "ARGOCD_NAMESPACE", "value": "argocd"},
        {"name": "RECOVERY_ENABLED", "value": "true"},
        {"name": "MAX_RECOVERY_ATTEMPTS", "value": "3"},
        {"name": "RECOVERY_INTERVAL", "value": "300s"},
    ]
    assert container["resources"] == {
        "requests": {"memory": "128Mi", "cpu": "100m"},
        "limits": {"memory": "256Mi", "cpu": "200m"},
    }
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": 8080},
        "initialDelaySeconds": 30,
        "periodSeconds": 10,
    }
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/ready", "port": 8080},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
    }


def test_the_pod_is_restricted() -> None:
    spec = next(o for o in objects(BASE / "deployment.yaml") if o["kind"] == "Deployment")["spec"][
        "template"
    ]["spec"]
    security = spec["containers"][0]["securityContext"]

    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    closed = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert security == {"runAsNonRoot": True, **closed}


def test_our_own_deployment_passes_the_requirements_opa_rules() -> None:
    deployment = next(o for o in objects(BASE / "deployment.yaml") if o["kind"] == "Deployment")

    assert {"app", "version", "team", "owner"} <= deployment["metadata"]["labels"].keys()
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        assert {"memory", "cpu"} <= container["resources"]["limits"].keys()
        assert container["securityContext"]["runAsNonRoot"] is True
    assert "network.yaml" in (BASE / "kustomization.yaml").read_text(), (
        "and a NetworkPolicy is in its namespace"
    )


def test_the_manifests_of_every_kind_are_there() -> None:
    kinds = {
        o.get("kind")
        for path in [*BASE.glob("*.yaml"), *(ROOT / "manifests/crds").glob("*.yaml")]
        for o in objects(path)
    }

    assert {
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
    } <= kinds
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= kinds


def test_the_rights_are_narrow() -> None:
    files = ("rbac.yaml", "in-argocd.yaml", "viewer.yaml")
    rules = [rule for name in files for o in objects(BASE / name) for rule in o.get("rules", ())]

    for rule in rules:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"] == ["recovery-channels"]
            assert rule["verbs"] == ["get"]


def test_no_base_class_of_namespaces_moves_the_roles_of_argo_cd() -> None:
    for path in [
        *BASE.glob("kustomization.yaml"),
        *(ROOT / "manifests/overlays").glob("*/kustomization.yaml"),
    ]:
        assert "namespace" not in objects(path)[0]


def test_the_crd_knows_every_phase_and_outcome() -> None:
    from recovery.model.recovery import RecoveryPhase, StepOutcome

    (crd,) = objects(ROOT / "manifests/crds/recoveries.yaml")
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"][
        "properties"
    ]
    assert status["phase"]["enum"] == sorted(p.value for p in RecoveryPhase)
    assert status["steps"]["items"]["properties"]["outcome"]["enum"] == sorted(
        o.value for o in StepOutcome
    )
    assert crd["spec"]["names"]["shortNames"] == ["rcv"]


def test_the_docs_name_every_variable_of_the_environment_and_every_metric() -> None:
    variables = (ROOT / "docs/environment.md").read_text()
    shown = (ROOT / "docs/metrics.md").read_text()
    settings = (ROOT / "recovery/settings.py").read_text()
    metrics = (ROOT / "recovery/record/metrics.py").read_text()

    for name in set(re.findall(r'"((?:ARGOCD|RECOVERY|MAX)_[A-Z_]+)"', settings)):
        assert name in variables, name
    for name in set(re.findall(r'"(recovery_[a-z_]+)"', metrics)):
        assert name in shown, name


def test_the_docs_name_every_action_and_every_command() -> None:
    from recovery.act.registry import POLICY_ACTIONS
    from recovery.cli import COMMANDS

    actions = (ROOT / "docs/actions.md").read_text()
    for name in POLICY_ACTIONS:
        assert f"| `{name}` |" in actions, name
    operations = (ROOT / "docs/operations.md").read_text()
    for command in COMMANDS.keys() - {"run"}:
        assert command in operations, command


def test_every_command_is_a_function_that_is_imported_when_it_is_called() -> None:
    """Its one line is read from the source; its own help is that of the function."""
    from recovery.cli import COMMANDS, loaded, summary

    for name in COMMANDS:
        command = loaded(name)
        assert command.name == name
        assert 0 < len(summary(name)) <= 60, "one line of --help, which is cut where it is longer"
        assert (command.help or "").startswith(summary(name))


def test_help_and_completion_import_no_command() -> None:
    """They answer at once, and what one command needs and is not there breaks no other."""
    said = "import sys; from recovery.cli import app; app(['--help'], standalone_mode=False); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())

    assert "release" in done.stdout
    assert not {m for m in loaded if m.startswith("recovery.commands.")} - {
        "recovery.commands.errors",
        "recovery.commands.target",
    }
    assert (
        not {"structlog", "aiohttp", "kubernetes_asyncio", "apprise", "jinja2", "yaml", "rich"}
        & loaded
    )


def test_check_imports_nothing_that_it_does_not_need() -> None:
    """It runs in commit hooks: what an action needs to act, and what reads templates, is imported
    where it is used."""
    said = "import sys; from recovery.cli import app; app(sys.argv[1:], standalone_mode=False); print(*sorted(sys.modules), file=sys.stderr)"
    shipped = "config/policies.yaml"
    done = subprocess.run(
        [sys.executable, "-c", said, "check", shipped],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"{shipped}: OK" in done.stdout
    assert not {
        "structlog",
        "aiohttp",
        "asyncio",
        "kubernetes_asyncio",
        "apprise",
        "jinja2",
        "rich",
    } & set(done.stderr.split())


def test_one_list_says_what_it_needs() -> None:
    """requirements/run.in is read by pyproject.toml, and everything that the package imports is in
    it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["dependencies", "version"]
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {
        "file": ["requirements/run.in"]
    }

    lines = (ROOT / "requirements/run.in").read_text().splitlines()
    listed = {
        re.split(r"[<>=]", line)[0].replace("-", "_")
        for line in lines
        if line and not line.startswith("#")
    }
    names = {"yaml": "pyyaml"}
    imported = set()
    for path in (ROOT / "recovery").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            found += (
                [node.module]
                if isinstance(node, ast.ImportFrom) and node.module and not node.level
                else []
            )
            imported |= {module.partition(".")[0] for module in found}
    foreign = {
        names.get(m, m) for m in imported - sys.stdlib_module_names - {"recovery", "__future__"}
    }
    assert foreign <= listed


def test_the_wheel_runs_in_an_empty_environment(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "recovery/shipped/policies.yaml" in zipfile.ZipFile(wheel).namelist()
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    # Only the project is installed here; its pinned dependencies come from the environment that
    # runs this test.
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": libraries, "HOME": str(tmp_path)}
    for program in ("recovery", "kubectl-recovery"):
        done = subprocess.run(
            [str(tmp_path / "env/bin" / program), "--version"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == __version__, done.stderr
    planned = subprocess.run(
        [str(tmp_path / "env/bin/recovery"), "plan", "-f", "-"],
        env=env,
        cwd=tmp_path,
        input='{"items": []}',
        capture_output=True,
        text=True,
    )
    assert "0 applications" in planned.stdout, planned.stderr
