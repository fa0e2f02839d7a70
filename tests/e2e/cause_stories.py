"""Every cause that can be made to happen here, made to happen for real: is it recognised, and is
only the right thing done?"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from recovery.causes.catalogue import BY_NAME
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS
from recovery.model.cause import Remedy, Verdict
from recovery.model.recovery import Recovery
from recovery.simulate.manifests import deployment
from tests.e2e.guard_stories import application, config_map
from tests.e2e.real_stage import CRDS, RealStage, a_crd
from tests.testbed.processes import free_port
from tests.testbed.webhook import Webhook

ROOT = Path(__file__).parent.parent.parent


class Case(Struct, frozen=True):
    """One application, and what has to come of it."""

    name: str
    cause: str
    """``Cause`` or ``Cause/Variant``."""
    made: str
    """What was done to it, in words."""
    steps: tuple[str, ...] = ()
    """Actions that have to be seen."""
    may: tuple[str, ...] = ()
    """Actions that may be seen besides; all others that touch anything are wrong."""


class Seen(Struct, frozen=True):
    """What came of it."""

    case: Case
    causes: tuple[str, ...]
    """Every cause that was named while it was watched."""
    evidence: str
    steps: tuple[str, ...]
    wrong: tuple[str, ...]
    """Steps that went out although the cause forbids them or cannot be helped by them."""
    transcript: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Was it recognised as what it is?"""
        return self.case.cause in self.causes


def by_cause(prefix: str, *, after: str = "10s", repair: bool = False) -> str:
    """The shipped policies by cause, with short times, for one story's applications."""
    text = (ROOT / "config" / "by-cause.yaml").read_text()
    loaded = yaml.safe_load(
        re.sub(r"duration: \d+m", f"duration: {after}", text).replace(
            "after: 15m", "after: 15m, repair_orphans: true" if repair else "after: 20s"
        )
    )
    kept = [p for p in loaded["recovery_policies"] if p["condition"]["type"] == "application"]
    for policy in kept:
        policy["selector"] = {"names": [f"{prefix}-*"]}
    defaults = {
        "backoff": {"duration": "15s"},
        "healthy_delay": "3s",
        "channels": ["receiver"],
        "attempts": 2,
    }
    guards = {"storm": {"minimum": 1000, "count": 1000, "fleet": "100%", "group": "100%"}}
    plain = {"receiver": {"group_wait": "0s"}}
    guards["budget"] = {"in_flight": 50, "per_cluster": 50, "per_project": 50}
    return yaml.safe_dump(
        {
            "recovery_policies": kept,
            "defaults": defaults,
            "guards": guards,
            "channels": plain,
            "ledger": {"soak": "8s"},
        }
    )


async def create(
    stage: RealStage,
    name: str,
    files: dict[str, str],
    *,
    automated: dict[str, Any] | None = None,
    project: str = "default",
    server: str = "https://kubernetes.default.svc",
    namespace: str = "shop",
    path: str = ".",
    options: list[str] | None = None,
    auto: bool = True,
) -> None:
    """An application of its own repository."""
    await asyncio.to_thread(stage.repositories.commit_files, name, files)
    policy: dict[str, Any] = {"automated": automated or {}} if auto else {}
    policy |= {"retry": {"limit": 0}} | ({"syncOptions": options} if options else {})
    spec = {
        "project": project,
        "source": {"repoURL": stage.repositories.url(name), "path": path, "targetRevision": "HEAD"},
        "destination": {"server": server, "namespace": namespace},
        "syncPolicy": policy,
    }
    await stage.client.create(APPLICATIONS, "argocd", application(name, spec))


async def commit(stage: RealStage, name: str, files: dict[str, str]) -> None:
    """One more commit, which Argo CD hears of."""
    await asyncio.to_thread(stage.repositories.commit_files, name, files)
    await refreshed(stage, name)


async def refreshed(stage: RealStage, name: str) -> None:
    await stage.client.patch(
        APPLICATIONS,
        "argocd",
        name,
        {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}},
    )


def files(*manifests: dict[str, Any]) -> dict[str, str]:
    return {"all.yaml": yaml.safe_dump_all(manifests)}


class Watch:
    """Asks the controller again and again what it takes for the cause of each case."""

    def __init__(self, stage: RealStage, cases: tuple[Case, ...]) -> None:
        self._stage = stage
        self.cases = cases
        self.causes: dict[str, list[str]] = {case.name: [] for case in cases}
        self.evidence: dict[tuple[str, str], str] = {}

    async def look(self) -> None:
        """Once over all of them."""
        for case in self.cases:
            told = await self._stage.asked(f"/api/v1/explain/argocd/{case.name}")
            found = told.get("diagnosis") or {}
            if not found.get("cause"):
                continue
            what = (
                f"{found['cause']}/{found['variant']}" if found.get("variant") else found["cause"]
            )
            for held in await self._stage.recoveries(case.name):
                if held.cause and held.cause not in self.causes[case.name]:
                    self.causes[case.name].append(held.cause)
            if what not in self.causes[case.name]:
                self.causes[case.name].append(what)
            if what == case.cause:
                self.evidence.setdefault(
                    (case.name, what), found["evidence"][0] if found["evidence"] else ""
                )

    async def all_right(self) -> bool:
        """Has each been recognised?"""
        await self.look()
        return all(case.cause in self.causes[case.name] for case in self.cases)

    async def done(self) -> bool:
        """Has each had the steps it needs?"""
        await self.look()
        for case in self.cases:
            sent = [
                s.action for r in await self._stage.recoveries(case.name) for s in r.steps if s.sent
            ]
            if not set(case.steps) <= set(sent):
                return False
        return True

    async def results(self) -> list[Seen]:
        """What came of all of them."""
        found = []
        for case in self.cases:
            recoveries = await self._stage.recoveries(case.name)
            steps = tuple(s.action for r in recoveries for s in r.steps if s.sent)
            found.append(
                Seen(
                    case,
                    tuple(self.causes[case.name]),
                    self.evidence.get((case.name, case.cause), ""),
                    steps,
                    tuple(wrong(case, recoveries)),
                    tuple(self._stage.transcript(case.name)),
                )
            )
        return found


TOUCHING = {
    "sync": Remedy.sync,
    "terminate": Remedy.terminate,
    "restart": Remedy.restart,
    "rollback": Remedy.rollback,
    "refresh": Remedy.refresh,
}


def wrong(case: Case, recoveries: list[Recovery]) -> list[str]:
    """Steps that the case does not ask for, or that its cause forbids."""
    name, _, variant = case.cause.partition("/")
    bad = []
    for recovery in recoveries:
        for step in recovery.steps:
            cure = TOUCHING.get(step.action)
            if cure is None or not step.sent:
                continue
            verdict = BY_NAME[name].verdict(cure, variant)
            if verdict in (Verdict.useless, Verdict.forbidden) and step.action not in (
                *case.steps,
                *case.may,
            ):
                bad.append(f"{step.action} is {verdict.value}")
            elif step.action not in (*case.steps, *case.may):
                bad.append(f"{step.action} was not asked for")
    return bad


def table(found: list[Seen]) -> str:
    """What was seen, a line each, and the score."""
    lines = []
    for seen in found:
        mark = "ok " if seen.right and not seen.wrong else "BAD"
        lines.append(
            f"{mark} {seen.case.name}: {seen.case.cause} <- {', '.join(seen.causes) or 'nothing'}; steps {seen.steps} wrong {seen.wrong}"
        )
    right, bad = sum(s.right for s in found), sum(len(s.wrong) for s in found)
    return "\n".join(
        [
            *lines,
            f"classified right {right} of {len(found)}; actions wrong {bad} of {sum(len(s.steps) for s in found)}",
        ]
    )


def keep(prefix: str, found: list[Seen]) -> None:
    """For docs/causes.md (python -m tools.causes_page)."""
    (ROOT / "build").mkdir(exist_ok=True)
    told = [
        {
            "made": s.case.made,
            "cause": s.case.cause,
            "right": s.right,
            "evidence": re.sub(
                r"/(?:dev/shm|tmp)/[^\s\"']+",
                "(a temporary file)",
                s.evidence.replace(f"{prefix}-", ""),
            ),
            "steps": list(s.steps),
            "wrong": list(s.wrong),
            "transcript": [line.replace(f"{prefix}-", "") for line in s.transcript],
        }
        for s in found
    ]
    (ROOT / "build" / f"causes-{prefix}.json").write_text(json.dumps(told, indent=1))


async def played(stage: RealStage, watch: Watch, seconds: float) -> list[str]:
    """Watched until all is as it should be; what came of it is kept for the table in the docs."""
    try:
        await stage.until("every cause recognised", watch.all_right, seconds)
        await stage.until("the right steps done", watch.done, seconds)
        await stage.sleep(15)
        await watch.look()
    finally:
        found = await watch.results()
        print(table(found))
        SCORES[stage.prefix] = found
        keep(stage.prefix, found)
    assert not [s for s in found if not s.right or s.wrong], table(found)
    return []


SCORES: dict[str, list[Seen]] = {}
Then = Callable[[], Awaitable[None]]


async def causes_of_syncs(stage: RealStage) -> list[str]:
    """What keeps a sync from succeeding, and what only looks as if it were wrong."""
    p = stage.prefix
    await stage.policies(by_cause(p))
    bed = stage.bed
    webhook = Webhook(bed.folder / f"webhook-{p}")
    await webhook.start()

    def labelled(label: str) -> dict[str, Any]:
        meta = {"name": f"{p}-{label}", "labels": {"asks": f"{p}-{label}"}}
        return {**config_map(f"{p}-{label}", "1"), "metadata": meta}

    limited = await limited_account(stage)
    await asyncio.to_thread(
        bed.apply,
        webhook.configuration(f"{p}-denied", f"{p}-denied"),
        webhook.configuration(f"{p}-down", f"{p}-down", free_port()),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{p}-full"}},
        narrow_project(p),
        closed_project(p),
        strict_crd(p),
    )
    await quota(stage, f"{p}-full")
    hook = {
        "argocd.argoproj.io/hook": "PreSync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }
    cases = (
        Case(f"{p}-yaml", "ManifestError", "a commit with broken YAML", ("escalate",)),
        Case(
            f"{p}-path", "RevisionNotFound", "a path that is not in the repository", ("escalate",)
        ),
        Case(
            f"{p}-crd",
            "MissingCRD/Absent",
            "an object of a kind whose CRD is not installed; installed later",
            ("sync",),
        ),
        Case(
            f"{p}-rbac",
            "ForbiddenInTarget",
            "Argo CD's account in the cluster may not create ConfigMaps",
            ("sync",),
        ),
        Case(
            f"{p}-project",
            "SpecNotPermitted",
            "a project that does not permit the destination",
            ("escalate",),
        ),
        Case(
            f"{p}-immutable",
            "ImmutableField",
            "a commit that changes a Deployment's selector",
            ("escalate",),
        ),
        Case(f"{p}-quota", "QuotaExceeded", "a quota of no ConfigMap at all", ("escalate",)),
        Case(f"{p}-denied", "AdmissionDenied", "a webhook that denies", ("escalate",)),
        Case(f"{p}-down", "WebhookDown", "a webhook that does not answer", ("sync",)),
        Case(
            f"{p}-hung",
            "HookFailed/Hung",
            "a hook whose pod never starts",
            ("terminate",),
            ("sync",),
        ),
        Case(f"{p}-hook", "HookFailed", "a hook that fails", ("sync",)),
        Case(f"{p}-migrate", "HookFailed/Migration", "a migration that fails"),
        Case(f"{p}-one", "DriftFight/Shared", "two applications with one ConfigMap", ("escalate",)),
        Case(
            f"{p}-never",
            "NeverConverging",
            "a field that the API server throws away; auto-sync without selfHeal",
        ),
        Case(f"{p}-prune", "PruneOnly", "a resource taken out of Git, prune off"),
        Case(
            f"{p}-parked",
            "WaitingForHuman",
            "a sync that a person asked for while a deny window is open",
        ),
        Case(
            f"{p}-cached",
            "ManifestErrorCached",
            "a remote base that was away and is back",
            ("refresh",),
        ),
    )
    watch = Watch(stage, cases)
    bed.away.touch()
    async with stage.controller():
        good = files(config_map(f"{p}-x", "1"))
        await create(
            stage,
            f"{p}-yaml",
            {"all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n   data: [\n"},
        )
        await create(stage, f"{p}-path", good, path="nowhere")
        await create(
            stage,
            f"{p}-crd",
            files(
                {"apiVersion": f"{p}.example/v1", "kind": "Gear", "metadata": {"name": f"{p}-gear"}}
            ),
        )
        await create(stage, f"{p}-rbac", files(config_map(f"{p}-rbac", "1")), server=limited)
        await create(stage, f"{p}-project", good, project=f"{p}-narrow")
        await create(stage, f"{p}-immutable", files(deployment(f"{p}-immutable")))
        await create(
            stage, f"{p}-quota", files(config_map(f"{p}-quota", "1")), namespace=f"{p}-full"
        )
        await create(stage, f"{p}-denied", files(labelled("denied")))
        await create(stage, f"{p}-down", files(labelled("down")))
        await create(
            stage,
            f"{p}-hung",
            files(config_map(f"{p}-hung", "1"), job(f"{p}-warm-up", "hang", hook)),
        )
        await create(
            stage,
            f"{p}-hook",
            files(config_map(f"{p}-hook", "1"), job(f"{p}-warm-up-2", "fail", hook)),
        )
        await create(
            stage,
            f"{p}-migrate",
            files(config_map(f"{p}-m", "1"), job(f"{p}-db-migrate", "fail", hook)),
        )
        await create(stage, f"{p}-one", files(config_map(f"{p}-shared", "1")))
        odd = {
            "apiVersion": f"strict.{p}.example/v1",
            "kind": "Strict",
            "metadata": {"name": f"{p}-odd"},
            "spec": {"known": "a", "unknown": "b"},
        }
        await create(stage, f"{p}-never", files(odd), options=["Validate=false"])
        await create(
            stage,
            f"{p}-prune",
            {
                **files(config_map(f"{p}-kept", "1")),
                "old.yaml": yaml.safe_dump(config_map(f"{p}-old", "1")),
            },
        )
        await create(
            stage,
            f"{p}-parked",
            files(config_map(f"{p}-parked", "1")),
            project=f"{p}-closed",
            auto=False,
        )
        kustomization = {
            "kustomization.yaml": "resources: [https://bases.example/shop?ref=v1]\n",
            "base.yml": yaml.safe_dump(config_map(f"{p}-cached", "1")),
        }
        await create(stage, f"{p}-cached", kustomization)
        await stage.sleep(12)
        await create(
            stage, f"{p}-two", files(config_map(f"{p}-shared", "2")), automated={"selfHeal": True}
        )
        await commit(stage, f"{p}-immutable", files(other_selector(deployment(f"{p}-immutable"))))
        await commit(stage, f"{p}-prune", {"old.yaml": ""})
        operation = {"initiatedBy": {"username": "a-person"}, "sync": {}}
        await stage.client.patch(APPLICATIONS, "argocd", f"{p}-parked", {"operation": operation})

        async def cached() -> bool:
            await refreshed(stage, f"{p}-cached")
            await stage.sleep(2)
            return any(
                "(cached)" in c.message for c in (await stage.seen(f"{p}-cached")).conditions
            )

        await stage.until("the error is cached", cached, 60)
        bed.away.unlink()
        await stage.until("the missing CRD recognised", lambda: recognised(watch, f"{p}-crd"), 60)
        await stage.client.create(CRDS, "", a_crd(f"{p}.example", "v1", "Gear", "gears"))
        try:
            return await played(stage, watch, 100)
        finally:
            await webhook.stop()
            for name in (f"{p}-denied", f"{p}-down"):
                await stage.kubectl("delete", "validatingwebhookconfiguration", name)


async def recognised(watch: Watch, name: str) -> bool:
    await watch.look()
    return bool(watch.causes[name])


async def causes_of_workloads(stage: RealStage) -> list[str]:
    """What keeps pods from running: a good first deploy, then a bad one."""
    p = stage.prefix
    await stage.policies(by_cause(p))
    made = {
        "image": (
            "ImageUnavailable/NotFound",
            "missing",
            "an image that does not exist",
            ("rollback",),
        ),
        "denied": ("ImageUnavailable/Auth", "denied", "a registry that refuses", ()),
        "registry": (
            "ImageUnavailable/Registry",
            "registry-down",
            "a registry that does not answer",
            (),
        ),
        "crash": ("RolloutFailed", "crash", "a new revision whose pods crash", ("rollback",)),
        "config": ("ConfigMissing", "noconfig", "a ConfigMap that is not there", ("escalate",)),
        "room": ("Unschedulable", "unschedulable", "no node with enough room", ("escalate",)),
        "oom": (
            "OutOfMemory",
            "oom",
            "a new revision that needs more memory than it may use",
            ("rollback",),
        ),
    }
    cases = tuple(
        Case(f"{p}-{name}", cause, words, steps, ("restart",) if cause == "RolloutFailed" else ())
        for name, (cause, _, words, steps) in made.items()
    )
    empty = Case(
        f"{p}-empty",
        "RolloutFailed",
        "a first revision that crashes: nothing to go back to",
        ("escalate",),
        ("restart",),
    )
    watch = Watch(stage, (*cases, empty))
    async with stage.controller():
        for name in made:
            await create(
                stage,
                f"{p}-{name}",
                files(deployment(f"{p}-{name}", "ready", 40)),
                automated={"selfHeal": True},
            )
        await create(
            stage,
            f"{p}-empty",
            files(deployment(f"{p}-empty", "crash", 40)),
            automated={"selfHeal": True},
        )

        async def known_good() -> bool:
            told = [await stage.asked(f"/api/v1/explain/argocd/{p}-{name}") for name in made]
            return all(t.get("ledger") for t in told)

        await stage.until("all known to be good", known_good, 60)
        for name, (_, tag, _, _) in made.items():
            await commit(stage, f"{p}-{name}", files(deployment(f"{p}-{name}", tag, 40)))
        await played(stage, watch, 150)
        held = (await stage.recoveries(f"{p}-empty"))[0]
        skipped = [s for s in held.steps if s.action == "rollback"]
        assert skipped, held.steps
        assert "ledger: empty" in skipped[0].message, skipped
        deploy = (await stage.seen(f"{p}-image")).deploy
        assert deploy is not None
        # Argo CD calls it Degraded when the deadline has passed; what keeps the pod from coming up
        # is known before.
        (pulled,) = await stage.recoveries(f"{p}-image")
        assert any(
            "OutOfSync and Progressing" in e or "Synced and Progressing" in e
            for e in pulled.evidence
        ), pulled.evidence
    return []


def job(name: str, tag: str, annotations: dict[str, str]) -> dict[str, Any]:
    template = {
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": f"registry.example/shop:{tag}"}],
        }
    }
    spec = {"backoffLimit": 0, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def other_selector(manifest: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = yaml.safe_load(yaml.safe_dump(manifest))
    changed["spec"]["selector"]["matchLabels"]["more"] = "yes"
    changed["spec"]["template"]["metadata"]["labels"]["more"] = "yes"
    return changed


def narrow_project(prefix: str) -> dict[str, Any]:
    spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "elsewhere"}]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": f"{prefix}-narrow", "namespace": "argocd"},
        "spec": spec,
    }


def closed_project(prefix: str) -> dict[str, Any]:
    window = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "syncWindows": [window],
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": f"{prefix}-closed", "namespace": "argocd"},
        "spec": spec,
    }


def strict_crd(prefix: str) -> dict[str, Any]:
    crd = a_crd(f"strict.{prefix}.example", "v1", "Strict", "stricts")
    known = {"type": "object", "properties": {"known": {"type": "string"}}}
    crd["spec"]["versions"][0]["schema"] = {
        "openAPIV3Schema": {"type": "object", "properties": {"spec": known}}
    }
    return crd


async def quota(stage: RealStage, namespace: str) -> None:
    """No ConfigMap more, and its use counted as the quota controller would."""
    hard = {"count/configmaps": "0"}
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": namespace},
        "spec": {"hard": hard},
    }
    await asyncio.to_thread(stage.bed.apply, body)
    status = '{"status": {"hard": {"count/configmaps": "0"}, "used": {"count/configmaps": "0"}}}'
    await stage.kubectl(
        "-n",
        namespace,
        "patch",
        "resourcequota",
        "none",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    )


async def limited_account(stage: RealStage) -> str:
    """The bed's own API server under another name, where Argo CD's account may look and not
    write."""
    p, bed = stage.prefix, stage.bed
    account = f"{p}-looks-only"
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"nonResourceURLs": ["*"], "verbs": ["get"]},
    ]
    await asyncio.to_thread(
        bed.apply,
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": "shop"},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": account},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": account},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": account,
            },
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "shop"}],
        },
    )
    server = f"https://127.0.0.1:{bed.port}"
    token = await asyncio.to_thread(bed.token_for, account, "shop")
    ca = base64.b64encode((bed.folder / "certs" / "apiserver.crt").read_bytes()).decode()
    config = {"bearerToken": token, "tlsClientConfig": {"caData": ca}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": account,
            "namespace": "argocd",
            "labels": {"argocd.argoproj.io/secret-type": "cluster"},
        },
        "stringData": {"name": account, "server": server, "config": json.dumps(config)},
    }
    await asyncio.to_thread(bed.apply, secret)
    return server


async def causes_of_owners(stage: RealStage) -> list[str]:
    """A bad deploy whose rollback an owner would undo: none is made, and a person is told what to
    write where."""
    p = stage.prefix
    await stage.policies(by_cause(p))
    made, child = f"{p}-made", f"{p}-child"
    cases = (
        Case(
            made,
            "RolloutFailed",
            "a bad deploy of an application that an ApplicationSet owns",
            ("escalate",),
            ("restart",),
        ),
        Case(
            child,
            "RolloutFailed",
            "a bad deploy of a child of an app-of-apps with selfHeal",
            ("escalate",),
            ("restart",),
        ),
    )
    watch = Watch(stage, cases)
    spec = {
        "project": "default",
        "source": {"repoURL": stage.repositories.url(made), "path": ".", "targetRevision": "HEAD"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        "syncPolicy": {"automated": {"selfHeal": True}},
    }
    made_by = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": p, "namespace": "argocd"},
        "spec": {
            "generators": [{"list": {"elements": [{"name": made}]}}],
            "template": {"metadata": {"name": "{{name}}"}, "spec": spec},
        },
    }
    one = application(
        child, {**spec, "source": {**spec["source"], "repoURL": stage.repositories.url(child)}}
    )
    one["metadata"]["namespace"] = "argocd"
    async with stage.controller():
        for name in (made, child):
            await asyncio.to_thread(
                stage.repositories.commit_files, name, files(deployment(name, "ready", 40))
            )
        await asyncio.to_thread(stage.bed.apply, made_by)
        await create(
            stage, f"{p}-parent", files(one), automated={"selfHeal": True}, namespace="argocd"
        )

        async def known_good() -> bool:
            return all(
                [
                    (await stage.asked(f"/api/v1/explain/argocd/{name}")).get("ledger")
                    for name in (made, child)
                ]
            )

        await stage.until("both known to be good", known_good, 90)
        for name in (made, child):
            await commit(stage, name, files(deployment(name, "crash", 40)))
        await played(stage, watch, 120)
        for name, hint in (
            (made, "ignoreApplicationDifferences: [{name: " + made),
            (child, "RespectIgnoreDifferences=true"),
        ):
            skipped = [
                s for r in await stage.recoveries(name) for s in r.steps if s.action == "rollback"
            ]
            assert skipped, name
            assert all(s.reason == "OwnerWouldRevert" for s in skipped), skipped
            assert hint in skipped[0].message
            assert (await stage.seen(name)).auto_sync, "nothing was suspended"
            assert any(hint in m["message"] for m in stage.received), (
                "the person is told what to write"
            )
        await stage.client.delete(APPLICATION_SETS, "argocd", p)
    return []


def tell_redis(port: int, *lines: str) -> None:
    """As redis-cli would."""
    with socket.create_connection(("127.0.0.1", port), 5) as door:
        for line in lines:
            door.sendall(line.encode() + b"\r\n")
            door.recv(4096)


async def causes_of_the_platform(stage: RealStage) -> list[str]:
    """Argo CD's own parts fail, one after the other: nothing is done to any application, and people
    hear of it once."""
    p, bed = stage.prefix, stage.bed
    await stage.policies(by_cause(p, repair=True))
    cart, hung = f"{p}-cart", f"{p}-hung"
    cases = (
        Case(
            cart,
            "RepoServerTransient/Redis",
            "Redis wants a password that Argo CD does not have",
            (),
            ("refresh",),
        ),
        Case(cart, "RepoServerTransient", "the repo-server killed", (), ("refresh",)),
        Case(
            cart,
            "ReconcileFrozen",
            "the application controller killed with kill -9",
            (),
            ("refresh",),
        ),
        Case(
            hung,
            "OperationOrphaned/ControllerGone",
            "the same, in the middle of a sync",
            (),
            ("terminate", "sync"),
        ),
        Case(
            hung,
            "OperationOrphaned/NotAsked",
            "its .operation removed by hand while it ran",
            ("terminate",),
            ("sync",),
        ),
    )
    watch = Watch(stage, cases)

    def seen(case: Case, *, refresh: bool = True) -> Callable[[], Awaitable[bool]]:
        async def asked() -> bool:
            if refresh:
                await refreshed(stage, cart)
            await watch.look()
            return case.cause in watch.causes[case.name]

        return asked

    async def well() -> bool:
        app = await stage.seen(cart)
        return app.sync.value == "Synced" and app.health.value == "Healthy" and not app.conditions

    async with stage.controller():
        await create(stage, cart, files(config_map(cart, "1")))
        await stage.until("well", well, 60)
        tell_redis(
            bed.redis,
            "CONFIG SET requirepass a-password-of-the-test-bed",
            "CLIENT KILL TYPE normal SKIPME yes",
        )
        try:
            # A requested refresh asks Git itself and hides it for a moment; the ordinary look goes
            # through Redis.
            await stage.until("Redis recognised", seen(cases[0], refresh=False), 60)
        finally:
            tell_redis(bed.redis, "AUTH a-password-of-the-test-bed", 'CONFIG SET requirepass ""')
        await stage.until("well after Redis", well, 90)
        bed.process("argocd-repo-server").kill()
        try:
            await stage.until("repo-server recognised", seen(cases[1]), 60)
        finally:
            bed.process("argocd-repo-server").start()
        await stage.until("well after the repo-server", well, 90)
        await create(
            stage,
            hung,
            files(
                config_map(hung, "1"),
                job(f"{p}-slow", "hang", {"argocd.argoproj.io/hook": "PreSync"}),
            ),
        )

        async def runs() -> bool:
            operation = (await stage.seen(hung)).operation
            return operation is not None and "waiting for completion of hook" in operation.message

        await stage.until("the hook runs", runs, 60)
        bed.process("argocd-application-controller").kill()
        try:
            await stage.until("frozen recognised", seen(cases[2]), 150)
            await stage.until("orphan recognised", seen(cases[3]), 60)

            async def told() -> bool:
                return any(
                    "Argo CD application controller is not reconciling" in m["title"]
                    for m in stage.received
                )

            await stage.until("people are told", told, 30)
            shard = [r for r in await stage.every() if r.subject.kind == "Shard"]
            assert [(r.phase.value, r.cause) for r in shard] == [("Stalled", "ReconcileFrozen")], (
                shard
            )
        finally:
            bed.process("argocd-application-controller").start()

        async def thawed() -> bool:
            return all(
                r.reason == "ReconcilingResumed"
                for r in await stage.every()
                if r.subject.kind == "Shard"
            )

        await stage.until("thawed", thawed, 120)
        await stage.kubectl(
            "patch",
            "application",
            hung,
            "--type=json",
            "-p",
            '[{"op": "remove", "path": "/operation"}]',
        )
        await stage.until("the orphan of a removed operation recognised", seen(cases[4]), 90)
        await played(stage, watch, 90)
        assert (
            sum(
                "Argo CD application controller is not reconciling" in m["title"]
                for m in stage.received
            )
            == 1
        )
        await stage.client.delete(APPLICATIONS, "argocd", hung)
    return []


CAUSE_STORIES = (causes_of_syncs, causes_of_workloads, causes_of_owners, causes_of_the_platform)
