"""A further cluster of the bed: its own kube-apiserver and controllers on the shared etcd, known to
Argo CD by a Secret."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

from tests.testbed.bed import (
    ADMIN,
    Bed,
    api_server_command,
    controller_manager_command,
    write_kubeconfig,
)
from tests.testbed.processes import free_port, listening, wait_for

ACCOUNT = "argocd-manager"


class RemoteCluster:
    """Started with ``start``; killed and started again as a story wants it."""

    def __init__(self, bed: Bed, name: str) -> None:
        self._bed = bed
        self.name = name
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.secret = f"cluster-{name}"
        self._folder = bed.folder / name
        self._folder.mkdir()
        self.kubeconfig = self._folder / "admin.kubeconfig"

    def start(self) -> RemoteCluster:
        """Up, with a namespace ``shop`` and an account for Argo CD."""
        certs = self._folder / "certs"
        certs.mkdir()
        self._api = self._bed.run(
            f"{self.name}-apiserver",
            api_server_command(self._bed, certs, self.port, f"/{self.name}"),
        )
        write_kubeconfig(self.kubeconfig, self.server, ADMIN, certs / "apiserver.crt")
        self.wait()
        self._controllers = self._bed.run(
            f"{self.name}-controllers", controller_manager_command(self._bed, self.kubeconfig)
        )
        self.kubectl("create", "namespace", "shop")
        return self

    def wait(self) -> None:
        """Until it answers."""
        wait_for(
            self.name,
            lambda: (
                listening(self.port)
                and self.kubectl("get", "--raw", "/readyz", check=False) == "ok"
            ),
            90,
            self._api,
        )

    def kill(self) -> None:
        """kill -9 of its API server."""
        self._api.kill()

    def revive(self) -> None:
        """Its API server is back, with all it had; nothing when it is not away."""
        if not self._api.pid:
            self._api.start()
        self.wait()

    def kubectl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """kubectl as its admin."""
        command = [
            str(self._bed.bin / "kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            "--request-timeout=10s",
            *words,
        ]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def has(self, what: str, name: str) -> bool:
        """Is there such an object in namespace shop?"""
        return bool(
            self.kubectl(
                "-n", "shop", "get", what, name, "-o", "name", "--ignore-not-found", check=False
            )
        )

    def register(
        self, labels: dict[str, str] | None = None, rules: list[dict[str, Any]] | None = None
    ) -> None:
        """An account for Argo CD, and the Secret that tells Argo CD of it; ``rules`` instead of all
        rights."""
        everything = [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]
        objects: list[dict[str, Any]] = [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": ACCOUNT, "namespace": "kube-system"},
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": ACCOUNT},
                "rules": everything if rules is None else rules,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": ACCOUNT},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": ACCOUNT,
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "kube-system"}
                ],
            },
        ]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
        token = self.kubectl(
            "-n", "kube-system", "create", "token", ACCOUNT, "--duration=4h"
        ).strip()
        ca = (self._folder / "certs" / "apiserver.crt").read_bytes()
        self.write_secret(token, ca, labels or {})

    def write_secret(self, token: str, ca: bytes, labels: dict[str, str]) -> None:
        """What Argo CD knows it by."""
        config = {
            "bearerToken": token,
            "tlsClientConfig": {"caData": base64.b64encode(ca).decode()},
        }
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.secret,
                "namespace": "argocd",
                "labels": {"argocd.argoproj.io/secret-type": "cluster", **labels},
            },
            "stringData": {"name": self.name, "server": self.server, "config": json.dumps(config)},
        }
        self._bed.apply(secret)

    def revoke(self) -> None:
        """Argo CD's account is deleted, and its token with it."""
        self.kubectl("-n", "kube-system", "delete", "serviceaccount", ACCOUNT)
