"""A real Kubernetes and a real Argo CD, as plain processes on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.testbed import binaries
from tests.testbed.binaries import say
from tests.testbed.processes import Process, free_port, listening, wait_for

ADMIN = "admin-of-the-test-bed"
SECRET_KEY = "a key that only signs tokens of the test bed"


class Bed:
    """Starts everything in ``start``; ``stop`` ends it. ``kubeconfig`` is the admin's."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="recovery-bed-")
        self.folder = Path(self._folder.name)
        self.bin = binaries.ready()
        self.port = free_port()
        self.metrics_port = free_port()
        """Where Argo CD's application controller serves its metrics."""
        self.argocd_port = free_port()
        self._processes: list[Process] = []
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.audit_log = self.folder / "audit.log"
        self.away = self.folder / "remote-base-is-away"

    # Life

    def start(self) -> Bed:
        """Everything up: about 30 s."""
        began = time.monotonic()
        say("starting etcd, kube-apiserver, kube-controller-manager ...")
        self._control_plane()
        say("starting Argo CD ...")
        self._argocd()
        say(f"up in {time.monotonic() - began:.0f}s: KUBECONFIG={self.kubeconfig}")
        return self

    def start_kubernetes(self) -> Bed:
        """Only the control plane, with Argo CD's kinds: about 10 s."""
        self._control_plane()
        self._kinds()
        return self

    def stop(self) -> None:
        """Everything down, the files gone."""
        for process in reversed(self._processes):
            process.stop(2)
        self._folder.cleanup()

    def _run(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.folder / f"{name}.log", env).start()
        self._processes.append(process)
        return process

    def run(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Process:
        """One more process of the bed, stopped with it."""
        return self._run(name, command, env)

    def process(self, name: str) -> Process:
        """One of the bed's processes."""
        return next(p for p in self._processes if p.name == name)

    # Kubernetes

    def _control_plane(self) -> None:
        etcd = free_port()
        url = f"http://127.0.0.1:{etcd}"
        peers = f"http://127.0.0.1:{free_port()}"
        command = [
            "etcd",
            "--data-dir",
            str(self.folder / "etcd"),
            "--listen-client-urls",
            url,
            "--advertise-client-urls",
            url,
        ]
        command += [
            "--listen-peer-urls",
            peers,
            "--initial-advertise-peer-urls",
            peers,
            "--initial-cluster",
            f"default={peers}",
        ]
        command += [
            "--unsafe-no-fsync",
            "--quota-backend-bytes",
            "8000000000",
            "--log-level",
            "warn",
        ]
        wait_for("etcd", lambda: listening(etcd), 20, self._run("etcd", command))
        certs = self.folder / "certs"
        certs.mkdir()
        self.tokens = self.folder / "tokens.csv"
        self.tokens.write_text(f'{ADMIN},admin,admin,"system:masters"\n')
        policy = self.folder / "audit-policy.yaml"
        policy.write_text(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
            '- level: Metadata\n  userGroups: ["system:serviceaccounts"]\n- level: None\n'
        )
        self.etcd = url
        command = api_server_command(self, certs, self.port)
        command += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        apiserver = self._run("kube-apiserver", command)
        write_kubeconfig(
            self.kubeconfig, f"https://127.0.0.1:{self.port}", ADMIN, certs / "apiserver.crt"
        )
        wait_for(
            "kube-apiserver",
            lambda: (
                listening(self.port)
                and self.kubectl("get", "--raw", "/readyz", check=False) == "ok"
            ),
            90,
            apiserver,
        )
        self._run("kube-controller-manager", controller_manager_command(self, self.kubeconfig))
        for namespace in ("argocd", "shop"):
            self.kubectl("create", "namespace", namespace)

    def kubectl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl as admin; its standard output. RuntimeError with its complaint when it
        fails."""
        command = [str(self.bin / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects, server side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)

    def established(self, crd: str) -> None:
        """Wait until a CRD is served (kubectl wait fails where there are no conditions yet)."""
        asked = (
            "get",
            "crd",
            crd,
            "-o",
            'jsonpath={.status.conditions[?(@.type=="Established")].status}',
        )
        wait_for(f"CRD {crd}", lambda: self.kubectl(*asked, check=False) == "True", 30)

    def token_for(self, account: str, namespace: str) -> str:
        """A token of a ServiceAccount."""
        return self.kubectl("-n", namespace, "create", "token", account, "--duration=4h").strip()

    def kubeconfig_for(self, account: str, namespace: str, server: str = "") -> Path:
        """A kubeconfig of a ServiceAccount; ``server`` puts something between it and the API
        server."""
        path = self.folder / f"{namespace}-{account}-{free_port()}.kubeconfig"
        ca = self.folder / "certs" / "apiserver.crt"
        write_kubeconfig(
            path,
            server or f"https://127.0.0.1:{self.port}",
            self.token_for(account, namespace),
            ca if not server else None,
        )
        return path

    # Argo CD

    def _kinds(self) -> None:
        self.kubectl("create", "-f", str(binaries.crds() / "application-crd.yaml"))
        self.kubectl("create", "-f", str(binaries.crds() / "applicationset-crd.yaml"))
        self.kubectl("create", "-f", str(binaries.crds() / "appproject-crd.yaml"))
        for crd in ("applications", "applicationsets", "appprojects"):
            self.established(f"{crd}.argoproj.io")

    def _argocd(self) -> None:
        self._kinds()
        part = {"app.kubernetes.io/part-of": "argocd"}
        rbac = (
            "p, role:recovery, applications, get, */*, allow\np, role:recovery, applications, action/apps/*/restart, */*, allow\n"
            "p, role:recovery, repositories, get, *, allow\n"
            "p, role:recovery, clusters, get, *, allow\np, role:recovery, clusters, update, *, allow\n"
            "g, recovery, role:recovery\n"
        )
        maps: dict[str, dict[str, str]] = {
            "argocd-cm": {
                "accounts.recovery": "apiKey",
                "resource.exclusions": "",
                "timeout.reconciliation": "10s",
                "timeout.reconciliation.jitter": "0s",
            },
            "argocd-rbac-cm": {"policy.csv": rbac},
            "argocd-tls-certs-cm": {},
            "argocd-ssh-known-hosts-cm": {},
            "argocd-gpg-keys-cm": {},
        }
        objects: list[dict[str, Any]] = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": n, "namespace": "argocd", "labels": part},
                "data": d,
            }
            for n, d in maps.items()
        ]
        issued = {"id": "recovery", "iat": int(time.time()) - 5}
        data = {
            "server.secretkey": SECRET_KEY,
            "admin.passwordMtime": "2020-01-01T00:00:00Z",
            "admin.password": "*",
            "accounts.recovery.tokens": json.dumps([issued]),
        }
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "argocd-secret", "namespace": "argocd", "labels": part},
                "stringData": data,
            }
        )
        anything = {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }
        objects.append(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AppProject",
                "metadata": {"name": "default", "namespace": "argocd"},
                "spec": anything,
            }
        )
        self.apply(*objects)
        self.argocd_token = _jwt(issued)
        redis = self.redis = free_port()
        repo = free_port()
        self._run(
            "redis",
            [
                "redis-server",
                "--port",
                str(redis),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
        )
        for name in ("tls", "ssh", "plugins", "tmp"):
            (self.folder / name).mkdir()
        (self.folder / "ssh" / "ssh_known_hosts").touch()
        env = {
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "KUBECONFIG": str(self.kubeconfig),
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self.folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self.folder / "ssh"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self.folder / "plugins"),
            "ARGOCD_ASK_PASS_SOCK": str(self.folder / "askpass.sock"),
            "TMPDIR": str(self.folder / "tmp"),
            "PATH": f"{self._tools()}:{os.environ['PATH']}",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        ports = lambda: ["--metrics-port", str(free_port())]  # noqa: E731 (a fresh port each)
        command = [
            str(self.bin / "argocd-repo-server"),
            "--disable-tls",
            "--port",
            str(repo),
            *ports(),
            "--redis",
            f"127.0.0.1:{redis}",
            "--revision-cache-expiration",
            "3s",
        ]
        wait_for(
            "repo-server",
            lambda: listening(repo),
            60,
            self._run("argocd-repo-server", command, env),
        )
        talk = [
            "--redis",
            f"127.0.0.1:{redis}",
            "--repo-server",
            f"127.0.0.1:{repo}",
            "--repo-server-plaintext",
        ]
        command = [
            str(self.bin / "argocd-server"),
            "--insecure",
            "--port",
            str(self.argocd_port),
            *ports(),
            *talk,
            "--disable-auth=false",
        ]
        self._run("argocd-server", command, env)
        command = [str(self.bin / "argocd-application-controller"), *talk]
        command += ["--metrics-port", str(self.metrics_port)]
        command += [
            "--app-resync",
            "10",
            "--app-resync-jitter",
            "0",
            "--self-heal-timeout-seconds",
            "5",
            "--repo-error-grace-period-seconds",
            "0",
        ]
        self._run("argocd-application-controller", command, env)
        self._run("argocd-applicationset-controller", self._application_sets(repo), env)
        wait_for(
            "argocd-server", lambda: listening(self.argocd_port), 60, self.process("argocd-server")
        )

    def _tools(self) -> Path:
        """A kustomize that prints what lies there, and fails as long as the remote base it was
        given is away."""
        folder = self.folder / "tools"
        folder.mkdir()
        script = folder / "kustomize"
        script.write_text(
            '#!/bin/sh\nif [ "$1" = version ]; then echo v5.7.0; exit 0; fi\n'
            f"if [ -e '{self.away}' ]; then\n"
            "  echo 'Error: accumulating resources: accumulation err=accumulating resources from https://bases.example/shop?ref=v1: "
            "dial tcp 10.0.0.9:443: connect: connection refused' >&2; exit 1\nfi\n"
            'for arg; do :; done; cat "$arg"/*.yml\n'
        )
        script.chmod(0o755)
        return folder

    def _application_sets(self, repo: int) -> list[str]:
        command = [
            str(self.bin / "argocd-applicationset-controller"),
            "--metrics-addr",
            f"127.0.0.1:{free_port()}",
        ]
        command += [
            "--probe-addr",
            f"127.0.0.1:{free_port()}",
            "--webhook-addr",
            f"127.0.0.1:{free_port()}",
            "--namespace",
            "argocd",
        ]
        return [*command, "--argocd-repo-server", f"127.0.0.1:{repo}", "--repo-server-plaintext"]


def api_server_command(bed: Bed, certs: Path, port: int, prefix: str = "/registry") -> list[str]:
    """A kube-apiserver on the bed's etcd; with a prefix of its own it is a cluster of its own."""
    key = certs / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    return [
        str(bed.bin / "kube-apiserver"),
        f"--etcd-servers={bed.etcd}",
        f"--etcd-prefix={prefix}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={certs}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={bed.tokens}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=none",
    ]


def controller_manager_command(bed: Bed, kubeconfig: Path) -> list[str]:
    """The controllers that bring workloads to life."""
    running = (
        "deployment",
        "replicaset",
        "statefulset",
        "daemonset",
        "job",
        "garbage-collector",
        "namespace",
        "serviceaccount",
    )
    return [
        str(bed.bin / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        f"--secure-port={free_port()}",
        "--bind-address=127.0.0.1",
        "--controllers=" + ",".join(f"{name}-controller" for name in running),
    ]


def write_kubeconfig(path: Path, server: str, token: str, ca: Path | None) -> None:
    """A kubeconfig for one user of one server."""
    cluster = {"server": server} | ({"certificate-authority": str(ca)} if ca else {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": "bed", "user": {"token": token}}],
        "contexts": [
            {"name": "bed", "context": {"cluster": "bed", "user": "bed", "namespace": "argocd"}}
        ],
    }
    path.write_text(json.dumps(config))


def _jwt(issued: dict[str, Any]) -> str:
    claims = {
        "iss": "argocd",
        "sub": "recovery:apiKey",
        "jti": issued["id"],
        "iat": issued["iat"],
        "nbf": issued["iat"],
    }
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    ]
    signature = hmac.new(SECRET_KEY.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
