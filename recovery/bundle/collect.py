"""The contents of a bundle, section by section. A section that fails is listed as missing; the
others go on."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct

from recovery.bundle.archive import FILE_AT_MOST, Archive
from recovery.bundle.commands import recovery_commands
from recovery.bundle.drift import drift
from recovery.bundle.page import page
from recovery.bundle.redaction import clean
from recovery.bundle.tries import Tries, tried
from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.causes.report import told
from recovery.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from recovery.kube.reading import decoded
from recovery.model.application import Application, Health, Sync, short
from recovery.model.cause import Diagnosis, Observations
from recovery.model.connection import ident
from recovery.model.redact import redact
from recovery.observe import wire

APPLICATIONS_WHOLE = 100
"""Applications whose whole object is kept; the others are in the report."""
LOGS_OF, LOG_LINES = 10, 200
STATE_LINE = 64 * 1024
"""Bytes of one of its lines; the longest ones count the fleet."""
STATES_LINES, STATES_READ = 20_000, 16 * 1024 * 1024
"""The newest lines of a controller's log that are looked through, and bytes of them; kubelets keep
10 MiB of a container."""
MAX_SECTION_ROWS = 500
SECTION = 25.0
"""Seconds for one section, at most."""


class Door(Protocol):
    """The API server, as the person who asks is let in."""

    async def raw(self, path: str, **query: str) -> bytes:
        """GET any path of the API server; raises KubeError."""


class Scope(Struct, frozen=True):
    """Scope of a bundle: the namespaces, and one application or all."""

    argocd: str
    """Argo CD's namespace."""
    ours: str
    namespaces: tuple[str, ...]
    """Where Applications are."""
    only: tuple[str, str] | None = None
    """One application, by namespace and name; None for all that are ill."""


class Word(Protocol):
    """Argo CD's API, with a token."""

    async def repositories(self) -> Sequence[Any]:
        """Repositories that Argo CD lists, with what it says of each connection."""

    async def clusters(self) -> Sequence[Any]:
        """Clusters as Argo CD's API lists them; raises KubeError."""

    async def test_repository(self, url: str, project: str, kind: str) -> None:
        """Argo CD's own ls-remote of one repository, now; KubeError when it fails."""

    async def managed_whole(self, app: Application) -> list[dict[str, Any]]:
        """Live, wanted and predicted state of each resource."""


class State(Enum):
    """How far a section was collected."""

    collected = "collected"
    denied = "denied"
    """Something in it may not be read."""
    failed = "failed"
    """Something in it did not answer, or not in time."""


FLUX = (
    ("GitRepository", "source.toolkit.fluxcd.io/v1/gitrepositories"),
    ("OCIRepository", "source.toolkit.fluxcd.io/v1/ocirepositories"),
    ("HelmRepository", "source.toolkit.fluxcd.io/v1/helmrepositories"),
    ("Kustomization", "kustomize.toolkit.fluxcd.io/v1/kustomizations"),
    ("HelmRelease", "helm.toolkit.fluxcd.io/v2/helmreleases"),
)
TRY_TIMEOUT = 10.0
"""Seconds for Argo CD's own ls-remote of one of them."""
MAX_TRIED = 10
"""Repositories that are tried from here, those that most applications cannot be compared with
first."""
TOP = 20
"""Pods that use most memory, that are listed."""
Inspector = Callable[[Application, Diagnosis | None], Awaitable[Observations]]
Say = Callable[[str], None]


class Collector:
    """Fills an archive. ``look`` takes the closer looks that the controller takes, too."""

    def __init__(
        self,
        door: Door,
        look: Inspector,
        scope: Scope,
        archive: Archive,
        now: datetime,
        say: Say,
        tries: Tries,
        argocd: Word | None = None,
    ) -> None:
        self._tries = tries
        self._door = door
        self._argocd = argocd
        self._look = look
        self._scope = scope
        self._archive = archive
        self._now = now
        self._say = say
        self._sections: dict[str, list[dict[str, Any]]] = {}
        self._applications: list[dict[str, Any]] = []
        self._summary: dict[str, Any] = {}
        self._states: dict[str, tuple[State, str]] = {}
        self._own: set[str] = set()
        """Repositories of the one application that is asked for."""
        self._at = ""
        """The section that is being collected."""

    async def collect(self, version: str, seconds: float) -> dict[str, Any]:
        """All sections within this time; the report, which is in the archive as well."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        sections: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("applications", self._apps),
            ("controllers", self._controllers),
            ("this controller", self._ourselves),
            ("repositories", self._repositories),
            ("cluster resources", self._cluster),
            ("network", self._network),
            ("metrics", self._metrics),
            ("flux", self._flux),
            ("logs", self._logs),
        )
        for number, (name, section) in enumerate(sections, start=1):
            self._say(f"{number}/{len(sections)} {name}")
            left = end - loop.time()
            self._at = name
            self._states[name] = (State.collected, "")
            try:
                async with asyncio.timeout(
                    max(0.0, left if name == "applications" else min(left, SECTION))
                ):
                    await section()
            except TimeoutError:
                self._lacks(
                    name,
                    TimeoutError("no answer in time; what was collected of it until then is here"),
                )
            except (KubeError, msgspec.DecodeError, ValueError) as error:
                self._lacks(name, error)
        self._archive.lacks(
            "DNS from inside the cluster",
            "it needs a pod: kubectl run dns-test --image=busybox --rm -it --restart=Never --"
            " nslookup kubernetes.default",
        )
        what = (
            f"application {'/'.join(self._scope.only)}" if self._scope.only else "GitOps incident"
        )
        report = {
            "title": f"{what}, {self._now:%Y-%m-%d %H:%M:%SZ}",
            "at": f"{self._now:%Y-%m-%dT%H:%M:%SZ}",
            "version": version,
            "summary": self._summary,
            "collected": [
                {"section": name, "state": state.value, "why": redact(why, 400)}
                for name, (state, why) in self._states.items()
            ],
            "applications": self._applications,
            "sections": self._sections,
            "missing": self._archive.missing,
        }
        self._archive.json("report.json", report)
        self._archive.text(
            "index.html",
            page(report, [*self._archive.files, "index.html", "missing.json", "SHA256SUMS"]),
            cleaned=True,
        )
        return report

    def _lacks(self, what: str, error: Exception) -> None:
        """Something is not in it because of this. What is not there in the cluster either is no
        failure."""
        self._archive.lacks(what, str(error))
        before, _ = self._states[self._at]
        if isinstance(error, Forbidden | Unauthorized):
            self._states[self._at] = (State.denied, f"{what}: {error}")
        elif before is State.collected and (not isinstance(error, NotFound) or what == self._at):
            self._states[self._at] = (State.failed, f"{what}: {error}")

    async def _some(self, what: str, path: str, **query: str) -> list[dict[str, Any]] | None:
        """The items at a path; None, and said so, when they cannot be read: the rest of the section
        goes on."""
        try:
            return await self._items(path, **query)
        except (KubeError, msgspec.DecodeError, ValueError) as error:
            self._lacks(what, error)
            return None

    # Sections

    async def _apps(self) -> None:
        counts: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        whole = 0
        async for raw in self._every_application():
            try:
                app = wire.application(raw)
            except wire.Unreadable as error:
                self._archive.lacks(
                    f"application {wire.identity(raw).metadata.name}", f"it cannot be read: {error}"
                )
                continue
            counts[app.sync.value] += 1
            counts[app.health.value] += 1
            counts["all"] += 1
            mine = self._scope.only == (app.namespace, app.name)
            if self._scope.only and not mine:
                continue
            finding = diagnose(DiagnosisInput(app, self._now))
            if (
                not mine
                and finding is None
                and app.sync is Sync.Synced
                and app.health is Health.Healthy
            ):
                continue
            whole += 1
            if whole <= APPLICATIONS_WHOLE:
                finding = await self._one(app, raw, finding)
            causes[finding.what if finding else "no cause seen"] += 1
        if self._scope.only and not self._applications:
            raise NotFound(f"there is no application {'/'.join(self._scope.only)}", 404)
        if whole > APPLICATIONS_WHOLE:
            self._archive.lacks(
                f"{whole - APPLICATIONS_WHOLE} more applications that are ill",
                f"{APPLICATIONS_WHOLE} are kept whole; their causes are counted",
            )
        self._summary |= {
            "applications": counts["all"],
            "not Healthy": counts["all"] - counts["Healthy"],
            "OutOfSync": counts["OutOfSync"],
            "sync Unknown": counts[Sync.Unknown.value],
        }
        self._sections["Causes"] = [
            {"cause": name, "applications": number} for name, number in causes.most_common()
        ]

    async def _one(
        self, app: Application, raw: msgspec.Raw, finding: Diagnosis | None
    ) -> Diagnosis | None:
        signs = await self._look(app, finding)
        finding = diagnose(DiagnosisInput(app, self._now, signs))
        folder = f"applications/{app.namespace}/{app.name}"
        self._archive.json(f"{folder}/application.json", decoded(raw, dict))
        self._archive.json(f"{folder}/signs.json", msgspec.to_builtins(signs))
        for lacking in signs.missing:
            self._archive.lacks(str(app.key), lacking)
        drifted: list[dict[str, Any]] = [
            {"resource": name, "differs": "OutOfSync"} for name in app.unsynced
        ]
        if self._argocd is not None and app.sync is Sync.OutOfSync:
            try:
                drifted = drift(await self._argocd.managed_whole(app))
                self._archive.json(f"{folder}/drift.json", drifted)
            except (KubeError, msgspec.DecodeError) as error:
                self._archive.lacks(f"drift of {app.key}", str(error))
        self._sections.setdefault("Drift from Git", []).extend(
            {"application": str(app.key), **d} for d in drifted[:50]
        )
        state = f"{app.sync.value} and {app.health.value} at {short(app.revisions)}"
        self._applications.append(
            {
                "subject": str(app.key),
                "state": state,
                "diagnosis": told(finding),
                "commands": recovery_commands(app, finding),
                "drift": list(app.unsynced),
            }
        )
        selector = f"involvedObject.name={app.name}"
        path = f"/api/v1/namespaces/{app.namespace}/events"
        if (
            events := await self._some(
                f"events of {app.key}", path, fieldSelector=selector, limit="50"
            )
        ) is not None:
            self._archive.json(f"{folder}/events.json", [_event(e) for e in events])
        if app.destination.in_cluster and (there := app.destination.namespace):
            near = await self._some(
                f"events in {there}", f"/api/v1/namespaces/{there}/events", limit="200"
            )
            warned = [_event(e) for e in near or () if e.get("type") == "Warning"]
            self._archive.json(f"{folder}/destination-warnings.json", warned)
        return finding

    async def _controllers(self) -> None:
        rows = []
        for namespace in (self._scope.argocd, self._scope.ours, "flux-system"):
            try:
                pods = await self._items(f"/api/v1/namespaces/{namespace}/pods", limit="200")
            except NotFound:
                continue
            except KubeError as error:
                self._lacks(f"pods in {namespace}", error)
                continue
            rows += [{"namespace": namespace, **_pod(pod)} for pod in pods]
            told = [
                {"metadata": {"name": p["metadata"]["name"]}, "status": p.get("status")}
                for p in pods
            ]
            self._archive.json(f"controllers/{namespace}-pods.json", told)
        self._sections["Controllers"] = rows
        self._summary["controller pods not ready"] = sum(not row["ready"] for row in rows)

    async def _ourselves(self) -> None:
        path = f"/apis/recovery.gitops.dev/v1alpha2/namespaces/{self._scope.ours}/recoveries"
        recoveries = await self._some("Recoveries", path, limit="200") or []
        self._archive.json("recovery/recoveries.json", recoveries)
        self._sections["Recoveries"] = [
            {
                "name": r["metadata"]["name"],
                "phase": (r.get("status") or {}).get("phase", ""),
                "cause": (r.get("spec") or {}).get("cause", ""),
                "message": redact(str((r.get("status") or {}).get("message", "")), 300),
            }
            for r in recoveries[:MAX_SECTION_ROWS]
        ]
        service = (
            f"/api/v1/namespaces/{self._scope.ours}/services/"
            "http:gitops-recovery-controller:8080/proxy"
        )
        for path, name in (("/ready", "ready"), ("/api/v1/recoveries", "status")):
            try:
                self._archive.json(
                    f"recovery/{name}.json", decoded(await self._door.raw(service + path), dict)
                )
            except (KubeError, msgspec.DecodeError) as error:
                self._lacks(f"the controller's own {name}", error)

    async def _repositories(self) -> None:
        """Argo CD's word on repositories and clusters, with a token; else what its applications say
        of them."""
        known: Sequence[Any] = ()
        if self._argocd is not None:
            known = await self._argocd.repositories()
            for title, listed in (
                ("Repositories by Argo CD", known),
                ("Clusters by Argo CD", await self._argocd.clusters()),
            ):
                self._sections[title] = [_connected(each) for each in listed]
        rows: dict[str, dict[str, Any]] = {}
        async for raw in self._every_application():
            try:
                app = wire.application(raw)
            except wire.Unreadable:
                continue
            if self._scope.only == (app.namespace, app.name):
                self._own.update(app.repositories)
            for url in app.repositories:
                row = rows.setdefault(
                    url, {"repository": url, "applications": 0, "cannot be compared": 0, "says": ""}
                )
                row["applications"] += 1
                said = next((c.message for c in app.conditions if c.type == "ComparisonError"), "")
                row["cannot be compared"] += bool(said)
                row["says"] = row["says"] or redact(said, 200)
        self._sections["Repositories"] = listed = sorted(
            rows.values(), key=lambda r: -r["cannot be compared"]
        )[:MAX_SECTION_ROWS]
        suspects = [
            row["repository"]
            for row in listed
            if row["cannot be compared"] or row["repository"] in self._own
        ][:MAX_TRIED]
        self._sections["Repositories tried from here"] = (
            tries
        ) = []  # filled as they answer: what is there is kept

        async def each(url: str) -> None:
            row, said = await asyncio.gather(
                tried(url, self._tries, self._now), self._asked_by_argocd(url, known)
            )
            tries.append({**row, **({"ls-remote by Argo CD": said} if said else {})})

        await asyncio.gather(*map(each, suspects))

    async def _asked_by_argocd(self, url: str, known: Sequence[Any]) -> str:
        """Argo CD's own ls-remote of a repository that it lists, now, with the credentials it has
        for it; empty without a token."""
        if self._argocd is None:
            return ""
        mine = next((each for each in known if ident(each.repo) == ident(url)), None)
        if mine is None:
            return "not asked: Argo CD does not list it"
        try:
            async with asyncio.timeout(TRY_TIMEOUT):
                await self._argocd.test_repository(mine.repo, mine.project, mine.type)
        except TimeoutError:
            return f"no answer within {TRY_TIMEOUT:.0f}s"
        except KubeError as error:
            return redact(error.told or str(error), 300)
        return "it answers"

    async def _cluster(self) -> None:
        nodes = await self._some("Nodes", "/api/v1/nodes", limit="500") or []
        self._sections["Nodes"] = [
            {
                "node": n["metadata"]["name"],
                "ready": next(
                    (
                        c["status"]
                        for c in (n.get("status") or {}).get("conditions") or ()
                        if c["type"] == "Ready"
                    ),
                    "?",
                ),
                "pressure": ", ".join(
                    c["type"]
                    for c in (n.get("status") or {}).get("conditions") or ()
                    if c["type"] != "Ready" and c["status"] == "True"
                ),
            }
            for n in nodes
        ]
        selector = "status.phase!=Running,status.phase!=Succeeded"
        bad = await self._some(
            "Pods that do not run", "/api/v1/pods", limit="500", fieldSelector=selector
        )
        self._sections["Pods that do not run"] = [
            {"namespace": p["metadata"].get("namespace", ""), **_pod(p)}
            for p in (bad or ())[:MAX_SECTION_ROWS]
        ]
        self._summary["pods that do not run"] = "not known" if bad is None else len(bad)
        claims = (
            await self._some("Volume claims", "/api/v1/persistentvolumeclaims", limit="500") or []
        )
        self._sections["Volume claims that are not bound"] = [
            {
                "claim": f"{c['metadata'].get('namespace')}/{c['metadata']['name']}",
                "phase": (c.get("status") or {}).get("phase", ""),
            }
            for c in claims
            if (c.get("status") or {}).get("phase") != "Bound"
        ]
        for kind in ("nodes", "pods"):
            used = await self._some(
                f"resource usage of {kind} (metrics server)", f"/apis/metrics.k8s.io/v1beta1/{kind}"
            )
            if used is not None:
                self._archive.json(f"cluster/usage-{kind}.json", used)
            if used and kind == "pods":
                self._sections["Pods by memory"] = _by_memory(used)

    async def _network(self) -> None:
        wanted = (
            ("Ingresses", "/apis/networking.k8s.io/v1/ingresses"),
            ("Network policies", "/apis/networking.k8s.io/v1/networkpolicies"),
        )
        for title, path in wanted:
            items = await self._some(title, path, limit="500") or []
            self._sections[title] = [
                {"name": f"{i['metadata'].get('namespace')}/{i['metadata']['name']}"}
                for i in items[:MAX_SECTION_ROWS]
            ]
            self._archive.json(f"network/{title.lower().replace(' ', '-')}.json", items)
        slices = (
            await self._some(
                "Endpoints of Services", "/apis/discovery.k8s.io/v1/endpointslices", limit="500"
            )
            or []
        )
        empty = [
            s
            for s in slices
            if not any(
                (e.get("conditions") or {}).get("ready", True) for e in s.get("endpoints") or ()
            )
        ]
        self._sections["Services without an endpoint"] = [
            {
                "service": f"{s['metadata'].get('namespace')}/"
                f"{(s['metadata'].get('labels') or {}).get('kubernetes.io/service-name', '?')}"
            }
            for s in empty[:MAX_SECTION_ROWS]
        ]

    async def _metrics(self) -> None:
        wanted = (
            "argocd_app_info",
            "argocd_app_sync_total",
            "argocd_cluster_",
            "argocd_git_",
            "workqueue_depth",
            "process_resident",
        )
        for service in (
            "argocd-metrics:8082",
            "argocd-repo-server:8084",
            "argocd-server-metrics:8083",
        ):
            path = (
                f"/api/v1/namespaces/{self._scope.argocd}/services/{quote(service)}/proxy/metrics"
            )
            try:
                text = (await self._door.raw(path)).decode(errors="replace")
            except KubeError as error:
                self._lacks(f"metrics of {service}", error)
                continue
            self._archive.text(
                f"metrics/{service.partition(':')[0]}.txt",
                "\n".join(x for x in text.splitlines() if x.startswith(wanted)),
            )

    async def _flux(self) -> None:
        """Objects that Flux looks after beside Argo CD, where it is installed."""
        rows = []
        for kind, path in FLUX:
            try:
                items = await self._items(f"/apis/{path}", limit="500")
            except NotFound:
                continue
            except KubeError as error:
                self._lacks(f"{kind}s of Flux", error)
                continue
            for item in items:
                conditions = (item.get("status") or {}).get("conditions") or ()
                ready: dict[str, Any] = next(
                    (c for c in conditions if c.get("type") == "Ready"), {}
                )
                if ready.get("status") != "True":
                    name = f"{kind}/{item['metadata'].get('namespace')}/{item['metadata']['name']}"
                    rows.append(
                        {
                            "object": name,
                            "reason": ready.get("reason", ""),
                            "says": redact(str(ready.get("message", "")), 300),
                        }
                    )
        if rows:
            self._sections["Flux objects that are not ready"] = rows[:MAX_SECTION_ROWS]

    async def _logs(self) -> None:
        """The last words of Argo CD's own pods, and of ours."""
        read = 0
        for namespace in (self._scope.argocd, self._scope.ours):
            for pod in (
                await self._some(
                    f"pods in {namespace}", f"/api/v1/namespaces/{namespace}/pods", limit="50"
                )
                or ()
            ):
                name = pod["metadata"]["name"]
                if read >= LOGS_OF or not name.startswith(("argocd-", "gitops-recovery")):
                    continue
                read += 1
                try:
                    text = await self._door.raw(
                        f"/api/v1/namespaces/{namespace}/pods/{name}/log",
                        tailLines=str(LOG_LINES),
                        limitBytes="262144",
                    )
                    self._archive.text(
                        f"logs/{namespace}-{name}.log", text.decode(errors="replace")
                    )
                    if namespace == self._scope.ours and name.startswith("gitops-recovery"):
                        await self._recorded(namespace, name)
                except KubeError as error:
                    self._lacks(f"log of {namespace}/{name}", error)

    async def _recorded(self, namespace: str, pod: str) -> None:
        """The newest audit lines of a controller: ``recovery replay`` reads them."""
        text = await self._door.raw(
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            tailLines=str(STATES_LINES),
            limitBytes=str(STATES_READ),
        )
        name = f"states/{namespace}-{pod}.jsonl"
        kept: deque[bytes] = deque()
        size = left_out = 0
        for raw in text.splitlines():
            if b'"audit"' not in raw:
                continue
            line = self._recorded_line(raw)
            if line is None:
                left_out += 1
            if not line:
                continue
            kept.append(line)
            size += len(line) + 1
            while size > FILE_AT_MOST:
                size -= len(kept.popleft()) + 1
        if left_out:
            self._archive.lacks(name, f"{left_out} lines that are too long, or cannot be read")
        if kept:
            self._archive.text(name, b"\n".join(kept).decode(errors="replace"), cleaned=True)

    def _recorded_line(self, raw: bytes) -> bytes | None:
        """A line with its values cleaned, whole or not at all; of one application's bundle others
        are left out."""
        if len(raw) > STATE_LINE:
            return None
        try:
            line = clean(decoded(raw, dict))
        except (KubeError, *wire.Unreadable):
            return None
        only = self._scope.only
        if only is not None and line.get("subject") != "/".join(only):
            return b""
        return msgspec.json.encode(line)

    # Reading

    async def _every_application(self) -> Any:  # an async generator of msgspec.Raw
        for namespace in self._scope.namespaces:
            more = ""
            while True:
                path = (
                    f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications"
                    if namespace
                    else "/apis/argoproj.io/v1alpha1/applications"
                )
                found = wire.listed(
                    await self._door.raw(path, limit="100", **({"continue": more} if more else {}))
                )
                for item in found.items:
                    yield item
                more = found.metadata.more
                if not more:
                    break

    async def _items(self, path: str, **query: str) -> list[dict[str, Any]]:
        return list(decoded(await self._door.raw(path, **query), dict).get("items") or ())


def _connected(listed: Any) -> dict[str, Any]:
    """Name of a repository or cluster, and Argo CD's cached word on its connection."""
    state = (
        listed.connection_state
        if hasattr(listed, "connection_state")
        else (listed.info.connection_state if listed.info else None)
    )
    said = (
        {"status": state.status, "says": redact(state.message, 200), "at": state.attempted_at}
        if state
        else {}
    )
    return {"name": redact(getattr(listed, "repo", "") or getattr(listed, "name", ""), 200), **said}


def _pod(pod: dict[str, Any]) -> dict[str, Any]:
    status = pod.get("status") or {}
    states = status.get("containerStatuses") or ()
    waiting = [(s.get("state") or {}).get("waiting") or {} for s in states]
    return {
        "pod": pod["metadata"]["name"],
        "phase": status.get("phase", ""),
        "ready": bool(states) and all(s.get("ready") for s in states),
        "restarts": sum(int(s.get("restartCount", 0)) for s in states),
        "why": (
            ", ".join(filter(None, (str(w.get("reason", "")) for w in waiting)))
            or str(status.get("reason", ""))
        ),
    }


def _by_memory(used: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods that use most memory."""
    rows = []
    for pod in used:
        total = sum(
            _bytes(str((c.get("usage") or {}).get("memory", "0")))
            for c in pod.get("containers") or ()
        )
        rows.append((total, f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}"))
    return [
        {"pod": name, "memory MiB": round(total / 1024**2)}
        for total, name in sorted(rows, reverse=True)[:TOP]
    ]


def _bytes(quantity: str) -> int:
    """A quantity of memory in bytes; what is none counts as nothing."""
    digits = quantity.rstrip("KMGTPEikm")
    unit = quantity[len(digits) :]
    scale = {
        "": 1,
        "Ki": 2**10,
        "Mi": 2**20,
        "Gi": 2**30,
        "Ti": 2**40,
        "k": 10**3,
        "M": 10**6,
        "G": 10**9,
    }
    return int(digits) * scale.get(unit, 0) if digits.isdecimal() else 0


def _event(item: dict[str, Any]) -> dict[str, Any]:
    about = item.get("involvedObject") or {}
    return {
        "at": item.get("lastTimestamp") or item.get("eventTime"),
        "type": item.get("type"),
        "about": f"{about.get('kind')}/{about.get('name')}",
        "reason": item.get("reason"),
        "message": redact(str(item.get("message", "")), 400),
        "count": item.get("count"),
    }
