"""Argo CD's objects as they come over the wire, decoded to no more than we keep.

An Application is 20 to 50 KB of JSON; decoded straight from the bytes into these types, what is not named here is
skipped without becoming an object.
"""

from __future__ import annotations

import zlib
from sys import intern
from typing import Any

import msgspec
from msgspec import Struct, field

from recovery.model import application as model
from recovery.model.cause import Unwell
from recovery.model.names import HOLD, INFO, PREFIX, REFRESH, SKIP_RECONCILE, SYNC_WAVE, TRACKING
from recovery.model.redact import redact
from recovery.model.stamps import utc
from recovery.observe import shapes

_application = msgspec.json.Decoder(shapes.Application)
_project = msgspec.json.Decoder(shapes.Project)
_application_set = msgspec.json.Decoder(shapes.ApplicationSet)
_hold = msgspec.json.Decoder(model.Hold)

_ARGOCD = ("argocd-application-controller", "argocd-server", "argocd-repo-server", "gitops-recovery-controller")
_CRDS = ("applications.argoproj.io", "recoveries.recovery.gitops.dev")
_KEPT_ANNOTATIONS = (REFRESH, SKIP_RECONCILE, SYNC_WAVE)


def application(raw: bytes | msgspec.Raw) -> model.Application:
    """One Application; DecodeError or ValidationError when it cannot be read at all."""
    wire = _application.decode(raw)
    meta, spec, status = wire.metadata, wire.spec, wire.status or shapes.Status()
    annotations = meta.annotations or {}
    sources = spec.sources or ([spec.source] if spec.source else [])
    automated = spec.sync_policy.automated if spec.sync_policy else None
    health, sync, history = status.health or shapes.HealthStatus(), status.sync or shapes.SyncStatus(), status.history or []
    resources = status.resources or []
    hold, unreadable = _held(annotations.get(HOLD))
    revisions = _revisions(sync.revision, sync.revisions)
    well = sync.status == "Synced" and health.status == "Healthy"
    differs = [] if sync.status == "Synced" else [r for r in resources if r.status == "OutOfSync"]
    return model.Application(
        namespace=intern(meta.namespace),
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        project=intern(spec.project),
        labels={intern(k): intern(v) for k, v in meta.labels.items()} if meta.labels else None,
        marks={k: redact(v, 500) for k, v in annotations.items() if (k.startswith(PREFIX) and k != HOLD) or k in _KEPT_ANNOTATIONS} or None,
        deleting=meta.deletion_timestamp is not None,
        application_set=intern(next((o.name for o in meta.owner_references or () if o.kind == "ApplicationSet"), "")),
        parent=_parent(annotations.get(TRACKING, ""), meta),
        destination=model.Destination(
            intern((spec.destination.server or "").rstrip("/")),
            intern(spec.destination.name or ""),
            intern(spec.destination.namespace or ""),
        ),
        repositories=tuple(intern(redact(s.repo_url, 300)) for s in sources),
        charts=tuple(intern(redact(s.repo_url, 300)) for s in sources if s.chart),
        auto_sync=automated is not None and automated.enabled is not False,
        auto_prune=bool(automated and automated.prune),
        self_heal=bool(automated and automated.self_heal),
        sync=model.Sync(sync.status or "Unknown"),
        revisions=revisions,
        health=model.Health(health.status or "Unknown"),
        health_since=utc(health.last_transition_time),
        health_message="" if well else redact(health.message, 300),
        unwell=() if well else _unwell(resources),
        conditions=tuple(
            model.Condition(intern(c.type), redact(c.message, 500), utc(c.last_transition_time)) for c in status.conditions or ()
        ),
        requested=_requested(wire.operation),
        operation=_operation(status.operation_state, revisions, brief=well),
        deploy=_deploy(history[-1], revisions) if history else None,
        history=tuple(h.id for h in history),
        resources=len(resources),
        unsynced=tuple(f"{r.kind}/{r.name}" for r in differs[:5]),
        unsynced_count=len(differs),
        prunable=sum(r.requires_pruning for r in differs),
        images=tuple((status.summary.images if status.summary else None) or ())[:3],
        kinds=_kinds(resources),
        control_plane=any(
            (r.name in _ARGOCD and r.kind in ("Deployment", "StatefulSet")) or (r.name in _CRDS and r.kind == "CustomResourceDefinition")
            for r in resources
        ),
        reconciled_at=utc(status.reconciled_at),
        hold=hold,
        unreadable=unreadable,
    )


def _unwell(resources: list[shapes.Resource]) -> tuple[Unwell, ...]:
    """Where health is kept with the resources (2.14; since 3.0 only if controller.resource.health.persist is set)."""
    ill = [r for r in resources if r.health and r.health.status not in ("", "Healthy", "Suspended")]
    return tuple(Unwell(intern(r.kind), r.name, health=r.health.status, message=redact(r.health.message, 300)) for r in ill[:5] if r.health)


_known_kinds: dict[tuple[str, ...], tuple[str, ...]] = {}


def _kinds(resources: list[shapes.Resource]) -> tuple[str, ...]:
    """Each kind once, sorted; a fleet has few combinations, and each of them is kept once."""
    found = tuple(sorted({intern(r.kind) for r in resources}))
    return _known_kinds.setdefault(found, found) if len(_known_kinds) < 10_000 else found


def project(raw: bytes | msgspec.Raw) -> model.Project:
    """One AppProject."""
    wire = _project.decode(raw)
    meta = wire.metadata
    marks = {k: redact(v, 500) for k, v in (meta.annotations or {}).items() if k.startswith(PREFIX)} or None
    places = tuple(model.Permitted(d.server or "", d.name or "", d.namespace or "") for d in wire.spec.destinations or ())
    windows = tuple(
        model.SyncWindow(
            w.kind,
            w.schedule,
            w.duration,
            tuple(w.applications or ()),
            tuple(w.namespaces or ()),
            tuple(w.clusters or ()),
            w.time_zone,
            bool(w.and_operator),
        )
        for w in wire.spec.sync_windows or ()
    )
    return model.Project(meta.name, marks, meta.namespace, places, windows)


def application_set(raw: bytes | msgspec.Raw) -> model.ApplicationSet:
    """One ApplicationSet."""
    wire = _application_set.decode(raw)
    spec = wire.spec
    pointers = [p for d in spec.ignore_application_differences or () if not d.name for p in d.json_pointers or ()]
    queries = [q for d in spec.ignore_application_differences or () if not d.name for q in d.jq_path_expressions or ()]
    mode = spec.sync_policy.applications_sync if spec.sync_policy else ""
    selectors, opaque = _selectors(spec.generators)
    return model.ApplicationSet(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        pull_requests=b'"pullRequest"' in bytes(spec.generators),
        rolling=spec.strategy is not None and spec.strategy.type == "RollingSync",
        leaves_sync_policy=mode in ("create-only", "create-delete")
        or any(p in ("/spec", "/spec/syncPolicy", "/spec/syncPolicy/automated") for p in pointers)
        or any(q.strip() in (".spec.syncPolicy", ".spec.syncPolicy.automated") for q in queries),
        leaves_destination=mode in ("create-only", "create-delete")
        or any(p == "/spec" or p.startswith("/spec/destination") for p in pointers)
        or any(q.strip().startswith(".spec.destination") for q in queries),
        deletes=mode not in ("create-only", "create-update"),
        updates=mode not in ("create-only", "create-delete"),
        template_name=spec.template.metadata.name,
        selectors=selectors,
        opaque=opaque,
    )


def _selectors(raw: msgspec.Raw) -> tuple[tuple[dict[str, str], ...], frozenset[str]]:
    """What its cluster generators ask of a cluster's labels: plain ones that stand alone, and the keys of all others."""
    try:
        generators = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return (), frozenset()
    plain: list[dict[str, str]] = []
    opaque: set[str] = set()
    for generator in generators if isinstance(generators, list) else ():
        selector = _selector(generator)
        if selector is not None and set(selector) == {"matchLabels"} and len(generator) == 1:
            plain.append({str(k): str(v) for k, v in (selector["matchLabels"] or {}).items()})
        else:
            opaque |= _keys(generator)
    return tuple(plain), frozenset(opaque)


def _selector(generator: Any) -> dict[str, Any] | None:
    clusters = generator.get("clusters") if isinstance(generator, dict) else None
    found = clusters.get("selector") if isinstance(clusters, dict) else None
    return found if isinstance(found, dict) else None


def _keys(node: Any, deep: int = 0) -> set[str]:
    """Every label key that a selector anywhere below names."""
    if deep > 20 or not isinstance(node, dict | list):
        return set()
    if isinstance(node, list):
        return set().union(*(_keys(each, deep + 1) for each in node))
    found = {str(key) for key in (node.get("matchLabels") or {})} if isinstance(node.get("matchLabels"), dict) else set()
    expressions = node.get("matchExpressions")
    found |= {str(e.get("key")) for e in expressions if isinstance(e, dict)} if isinstance(expressions, list) else set()
    return found.union(*(_keys(each, deep + 1) for each in node.values()))


def _revisions(one: str | None, many: list[str] | None) -> tuple[str, ...]:
    return tuple(many) if many else (one,) if one else ()


def _requested(operation: shapes.Operation | None) -> model.Requested | None:
    if operation is None:
        return None
    by = operation.initiated_by or shapes.InitiatedBy()
    return model.Requested(_ours(operation), by.username or "", bool(by.automated))


def _ours(operation: shapes.Operation | None) -> str:
    return next((i.value for i in (operation.info if operation else None) or () if i.name == INFO), "")


def _operation(state: shapes.OperationState | None, wanted: tuple[str, ...], *, brief: bool) -> model.Operation | None:
    if state is None:
        return None
    by = (state.operation.initiated_by if state.operation else None) or shapes.InitiatedBy()
    result = state.sync_result or shapes.SyncResult()
    failed = [r for r in result.resources or () if r.status == "SyncFailed" or r.hook_phase in ("Failed", "Error")]
    return model.Operation(
        phase=model.Phase(state.phase or "Unknown"),
        # What went well needs no words; this is most of the fleet, and most of its memory.
        message="" if brief else redact(state.message, 1000),
        started_at=utc(state.started_at),
        finished_at=utc(state.finished_at),
        revisions=_shared(_revisions(result.revision, result.revisions), wanted),
        automated=bool(by.automated),
        username=intern(by.username or ""),
        recovery=_ours(state.operation),
        progress=0 if state.finished_at else _progress(result.resources),
        hooks=() if brief else tuple(f"{r.hook_type} {r.kind}/{r.name} {r.hook_phase}" for r in result.resources or () if r.hook_type)[:5],
        heals=(state.operation.sync.auto_heal_attempts_count or 0) if state.operation and state.operation.sync else 0,
        failures=tuple(f"{r.kind}/{r.name}: {redact(r.message, 300)}" for r in failed[:5]),
    )


def _progress(resources: list[shapes.ResultResource] | None) -> int:
    return zlib.crc32("".join(f"{r.kind}/{r.name}{r.status}{r.hook_phase}{r.message}" for r in resources or ()).encode())


def _deploy(entry: shapes.History, wanted: tuple[str, ...]) -> model.Deploy:
    return model.Deploy(
        entry.id, _shared(_revisions(entry.revision, entry.revisions), wanted), utc(entry.deployed_at), utc(entry.deploy_started_at)
    )


def _shared(revisions: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """In most of a fleet all three are equal: kept once."""
    return wanted if revisions == wanted else revisions


def _parent(tracking: str, meta: shapes.Meta) -> str:
    """``parent:argoproj.io/Application:ns/child`` names the app-of-apps (util/argo/resource_tracking.go)."""
    instance, _, rest = tracking.partition(":")
    if not rest.startswith("argoproj.io/Application:"):
        return ""
    namespace, _, name = instance.rpartition("_")
    return f"{namespace or meta.namespace}/{name}"


def _held(text: str | None) -> tuple[model.Hold | None, str]:
    if text is None:
        return None, ""
    try:
        hold = _hold.decode(text.encode())
    except msgspec.DecodeError as error:
        return None, str(error)[:200]
    return (hold, "") if hold.bad or hold.target else (None, "it names neither a bad revision nor a place")


def listed(raw: bytes) -> Page:
    """A page of a list, its items still raw: one bad item must not cost the others."""
    return _page.decode(raw)


class _ListMeta(Struct, rename={"resource_version": "resourceVersion", "more": "continue"}):
    resource_version: str = ""
    more: str = ""


class Page(Struct):
    """``metadata.continue`` names the next page."""

    metadata: _ListMeta = field(default_factory=_ListMeta)
    items: list[msgspec.Raw] = []


class WatchEvent(Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Identity(Struct):
    """What every object has; enough for a bookmark, an error and a deletion."""

    metadata: shapes.Meta = field(default_factory=shapes.Meta)
    code: int = 0
    message: str = ""


_page = msgspec.json.Decoder(Page)
_event = msgspec.json.Decoder(WatchEvent)
_identity = msgspec.json.Decoder(Identity)


def event(raw: bytes) -> WatchEvent:
    """One line of a watch."""
    return _event.decode(raw)


def identity(raw: bytes | msgspec.Raw) -> Identity:
    """Name, resourceVersion, or an error's code."""
    return _identity.decode(raw)


Unreadable: Any = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What decoding can raise."""
