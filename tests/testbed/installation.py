"""The controller as it is installed: the shipped manifests, its ServiceAccount, its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.bed import Bed
from tests.testbed.processes import Process, free_port, wait_for

ROOT = Path(__file__).parent.parent.parent
ACCOUNT = "gitops-recovery-controller"
BASE = "gitops-system"
VIEWER = "gitops-recovery-viewer"


CLUSTER_WIDE = (
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)


def install(bed: Bed, namespace: str, overlay: str = "base") -> None:
    """``kubectl apply -k``; in another namespace than the shipped one, the same objects under other
    names."""
    folder = ROOT / "manifests" / ("base" if overlay == "base" else f"overlays/{overlay}")
    if namespace == BASE:
        bed.kubectl("apply", "--server-side", "-k", str(folder))
    else:
        text = bed.kubectl("kustomize", str(folder)).replace(BASE, namespace)
        text = text.replace(
            f"recovery.gitops.dev/lease: {ACCOUNT}", f"recovery.gitops.dev/lease: {namespace}"
        )
        # Each installation's policies bind its own bindings: the narrower ones of another would
        # bind this one as well.
        for kind in ("controller", "connections"):
            text = text.replace(
                f"recovery.gitops.dev/bounds: {kind}",
                f"recovery.gitops.dev/bounds: {kind}-{namespace}",
            )
        text = yaml.safe_dump_all([_apart(item, namespace) for item in objects(text)])
        bed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    bed.established("recoveries.recovery.gitops.dev")


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered installation, those of a List each for itself."""
    found = [item for item in yaml.safe_load_all(text) if item]
    return [
        each for item in found for each in (item["items"] if item["kind"] == "List" else [item])
    ]


def _apart(item: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Its rights in Argo CD's namespace and cluster-wide stand beside those of other
    installations."""
    theirs = item["metadata"].get("namespace") == "argocd"
    if not theirs and item["kind"] not in CLUSTER_WIDE:
        return item
    item["metadata"]["name"] += f"-{namespace}"
    if "roleRef" in item:
        item["roleRef"]["name"] += f"-{namespace}"
    if "policyName" in item.get("spec", {}):
        item["spec"]["policyName"] += f"-{namespace}"
    return item


class Controller:
    """``recovery run`` under the shipped RBAC."""

    def __init__(self, bed: Bed, namespace: str, *, server: str = "", **env: str) -> None:
        self.port = free_port()
        kubeconfig = self.kubeconfig = bed.kubeconfig_for(ACCOUNT, namespace, server)
        settings = {
            "KUBECONFIG": str(kubeconfig),
            "RECOVERY_NAMESPACE": namespace,
            "RECOVERY_LISTEN": f"127.0.0.1:{self.port}",
            "RECOVERY_INTERVAL": "5s",
            # Many installations share this bed's Argo CD, each with its own applications.
            "RECOVERY_LEASE": ACCOUNT if namespace == BASE else namespace,
            "RECOVERY_IDENTITY": "controller-0",
            "RECOVERY_LOG_FORMAT": "json",
            **env,
        }
        log = bed.folder / f"controller-{namespace}-{self.port}.log"
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("RECOVERY_", "ARGOCD_", "KUBE"))
        }
        command = [str(Path(sys.executable).parent / "recovery"), "run"]
        self.process = Process(
            f"controller in {namespace}",
            ["env", "-i", *(f"{k}={v}" for k, v in {**clean, **settings}.items()), *command],
            log,
        )

    def start(self, *, ready: bool = True) -> Controller:
        """Start it, and wait until it is ready."""
        self.process.start()
        if ready:
            wait_for(
                "the controller to be ready", lambda: self.status("/ready") == 200, 60, self.process
            )
        return self

    def status(self, path: str) -> int:
        """The HTTP status of one of its paths; 0 when it does not answer."""
        return self.get(path)[0]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def kill(self) -> None:
        """kill -9."""
        self.process.signal(signal.SIGKILL)
        self.process.kill()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.process.stop(8)


def recovery(
    bed: Bed, *words: str, namespace: str = BASE, text: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """A ``recovery`` command as admin."""
    env = {**os.environ, "KUBECONFIG": str(bed.kubeconfig), "RECOVERY_NAMESPACE": namespace, **more}
    program = str(Path(sys.executable).parent / "recovery")
    return subprocess.run(
        [program, *words],
        env=env,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
