"""Argo CD's objects as they come over the wire, decoded to no more than we keep.

An Application is 20 to 50 KB of JSON; decoded straight from the bytes into these types, what is not
named here is skipped without becoming an object.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from sys import intern
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from recovery.causes.envelope import received
from recovery.decide.migrations import migration
from recovery.kube.reading import shallow
from recovery.model import application as model
from recovery.model.cause import UnhealthyResource
from recovery.model.names import HOLD, INFO, PREFIX, REFRESH, SKIP_RECONCILE, SYNC_WAVE, TRACKING
from recovery.model.redact import redact
from recovery.model.text import plain
from recovery.model.timestamps import utc
from recovery.observe import wire_types

T = TypeVar("T")

_application = msgspec.json.Decoder(wire_types.Application)
_project = msgspec.json.Decoder(wire_types.Project)
_application_set = msgspec.json.Decoder(wire_types.ApplicationSet)
_hold = msgspec.json.Decoder(model.Hold)

_ARGOCD = (
    "argocd-application-controller",
    "argocd-server",
    "argocd-repo-server",
    "gitops-recovery-controller",
)
_CRDS = ("applications.argoproj.io", "recoveries.recovery.gitops.dev")
_KEPT_ANNOTATIONS = (SKIP_RECONCILE, REFRESH, SYNC_WAVE)
GO_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""What Go's strconv.ParseBool takes for true: how Argo CD reads the annotation skip-reconcile."""


class Bounds:
    """The most that is kept of what the owner of an object writes, and the most that is looked at:
    what is beyond costs its decoding and no more. Lengths in characters."""

    name = 253
    """Kubernetes' own bound for most names; kinds, namespaces and types are shorter."""
    revision = 256
    """A commit has 40 characters, an OCI digest 71, a Git reference 255 at most."""
    url = 300
    sources = 50
    labels = 200
    annotations = 30
    conditions = 50
    history = 200
    kind = 63
    kinds = 64
    children = 2_000
    listed = 5
    """Of each list that is kept for people to read."""
    changed = 500
    """Resources of one sync that are remembered as changed."""
    ignored = 1_000
    """Entries of an ApplicationSet's ignoreApplicationDifferences."""
    permitted = 500
    """Destinations, and namespaces, of an AppProject; where there are more, nothing is
    permitted."""
    windows = 200
    hold = 16_384
    words = 16_384
    """Of the conditions of one Application together, and of its operation's message: the reason
    stands at the end of an error."""
    words_each = 2_000
    """Of what one resource of it says."""
    resources = 20_000
    """Rows of status.resources or of a sync's result."""


def application(raw: bytes | msgspec.Raw) -> model.Application:
    """One Application; DecodeError or ValidationError when it cannot be read at all."""
    wire = _application.decode(raw)
    meta, spec = wire.metadata, wire.spec
    annotations = meta.annotations or {}
    skipped = annotations.get(SKIP_RECONCILE, "") in GO_TRUE
    # Argo CD writes nothing into the status of an application that it skips: what stands there may
    # be anybody's.
    status = (None if skipped else wire.status) or wire_types.Status()
    sources = (spec.sources or ([spec.source] if spec.source else []))[: Bounds.sources]
    urls = [intern(redact(s.repo_url, Bounds.url)) for s in sources]
    automated = spec.sync_policy.automated if spec.sync_policy else None
    health, sync = (
        status.health or wire_types.HealthStatus(),
        status.sync or wire_types.SyncStatus(),
    )
    history = (status.history or [])[-Bounds.history :]
    resources = (status.resources or [])[: Bounds.resources]
    hold, unreadable = _held(annotations.get(HOLD))
    revisions = _revisions(sync.revision, sync.revisions)
    well = sync.status == "Synced" and health.status == "Healthy"
    differs = [] if sync.status == "Synced" else [r for r in resources if r.status == "OutOfSync"]
    owner = next(
        (
            o
            for o in meta.owner_references or ()
            if o.kind == "ApplicationSet" and o.api_version.partition("/")[0] in ("", "argoproj.io")
        ),
        None,
    )
    return model.Application(
        namespace=_name(meta.namespace),
        name=plain(meta.name, Bounds.name),
        uid=plain(meta.uid, Bounds.name),
        resource_version=plain(meta.resource_version, Bounds.name),
        project=_name(spec.project),
        labels={_name(k, 317): _name(v) for k, v in islice(meta.labels.items(), Bounds.labels)}
        if meta.labels
        else None,
        marks=_marks(annotations) or None,
        deleting=meta.deletion_timestamp is not None,
        deleting_since=utc(meta.deletion_timestamp),
        finalizers=tuple(_name(each) for each in (meta.finalizers or ())[: Bounds.listed])
        if meta.deletion_timestamp
        else (),
        application_set=_name(owner.name) if owner else "",
        application_set_uid=_name(owner.uid) if owner else "",
        skipped=skipped,
        parent=_parent(annotations.get(TRACKING, ""), meta),
        children=_children(resources, meta.namespace),
        destination=model.Destination(
            _name((spec.destination.server or "").rstrip("/"), Bounds.url),
            _name(spec.destination.name or ""),
            _name(spec.destination.namespace or ""),
        ),
        repositories=tuple(urls),
        charts=tuple(url for url, source in zip(urls, sources, strict=True) if source.chart),
        auto_sync=automated is not None and automated.enabled is not False,
        auto_prune=bool(automated and automated.prune),
        self_heal=bool(automated and automated.self_heal),
        automated=_automated(automated),
        sync=model.Sync(sync.status or "Unknown"),
        revisions=revisions,
        health=model.Health(health.status or "Unknown"),
        health_since=utc(health.last_transition_time),
        health_message="" if well else received(health.message, Bounds.words_each),
        unwell=() if well else _unwell(resources),
        conditions=_conditions(status.conditions or [], brief=well),
        requested=_requested(wire.operation),
        operation=_operation(status.operation_state, revisions, brief=well),
        deploy=_deploy(history, revisions) if history else None,
        history=tuple(h.id for h in history),
        deploys=b"".join(_checksum(h).to_bytes(4, "big") for h in history),
        sources=b"".join(_of_sources(h.source, h.sources).to_bytes(4, "big") for h in history),
        source=_of_sources(sync.compared_to.source, sync.compared_to.sources)
        if sync.compared_to
        else 0,
        resources=len(resources),
        unsynced=tuple(f"{_name(r.kind)}/{_name(r.name)}" for r in differs[: Bounds.listed]),
        unsynced_count=len(differs),
        prunable=sum(r.requires_pruning for r in differs),
        images=tuple(
            plain(image, Bounds.url)
            for image in ((status.summary.images if status.summary else None) or ())[:3]
        ),
        kinds=_kinds(resources),
        control_plane=any(
            (r.name in _ARGOCD and r.kind in ("Deployment", "StatefulSet"))
            or (r.name in _CRDS and r.kind == "CustomResourceDefinition")
            for r in resources
        ),
        reconciled_at=utc(status.reconciled_at),
        hold=hold,
        noted=hold,
        unreadable=unreadable,
    )


def _checksum(entry: wire_types.History) -> int:
    """Of what makes an entry of the history this one: ids are used a second time after a
    restore."""
    told = f"{entry.id}\0{entry.revision}\0{entry.revisions}\0".encode()
    return zlib.crc32(bytes(entry.sources), zlib.crc32(bytes(entry.source), zlib.crc32(told)))


def _of_sources(source: msgspec.Raw, sources: msgspec.Raw) -> int:
    """Of path, chart, parameters, images: what else a deploy is made of, beside its revisions. 0
    where nothing says it. An API server writes the keys of an object in one order."""
    said = [
        bytes(raw) for raw in (sources, source) if bytes(raw) not in (b"", b"null", b"[]", b"{}")
    ]
    return zlib.crc32(said[0]) or 1 if said else 0


_AUTOMATED: dict[tuple[bool | None, ...], dict[str, bool]] = {}


def _automated(wire: wire_types.Automated | None) -> dict[str, bool] | None:
    """As it is written; one mapping for all that are alike."""
    if wire is None:
        return None
    known = (wire.prune, wire.self_heal, wire.allow_empty, wire.enabled)
    names = ("prune", "selfHeal", "allowEmpty", "enabled")
    return _AUTOMATED.setdefault(
        known, {name: value for name, value in zip(names, known, strict=True) if value is not None}
    )


def _name(text: str, longest: int = Bounds.name) -> str:
    """A name, kept once however many carry it."""
    return intern(plain(text, longest))


_CHILDLESS: frozenset[str] = frozenset()


def _children(resources: list[wire_types.Resource], namespace: str) -> frozenset[str]:
    mine = (r for r in resources if r.kind == "Application" and r.group == "argoproj.io")
    return (
        frozenset(
            plain(f"{r.namespace or namespace}/{r.name}", 510)
            for r in islice(mine, Bounds.children)
        )
        or _CHILDLESS
    )


def _marks(annotations: dict[str, str]) -> dict[str, str]:
    """The annotations that bind us: the few of Argo CD's first, then our own, by name."""
    ours = sorted(k for k in annotations if k.startswith(PREFIX) and k != HOLD and len(k) <= 317)
    wanted = [*(k for k in _KEPT_ANNOTATIONS if k in annotations), *ours]
    return {plain(k): redact(annotations[k], 500) for k in wanted[: Bounds.annotations]}


def _unwell(resources: list[wire_types.Resource]) -> tuple[UnhealthyResource, ...]:
    """Where health is kept with the resources (2.14; since 3.0 only if
    controller.resource.health.persist is set)."""
    ill = [
        r for r in resources if r.health and r.health.status not in ("", "Healthy", "Suspended")
    ][: Bounds.listed]
    return tuple(
        UnhealthyResource(
            _name(r.kind),
            _name(r.name),
            group=_name(r.group),
            health=_name(r.health.status),
            message=received(r.health.message, Bounds.words_each),
        )
        for r in ill
        if r.health
    )


DECIDING_KINDS = (
    "StatefulSet",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "CustomResourceDefinition",
)
"""Kinds on which it depends what may be done."""
KNOWN, KNOWN_LENGTH = 500, 800
"""Combinations that are kept, and characters of one: a megabyte at most, whoever thinks them up."""


def _kinds(resources: list[wire_types.Resource]) -> tuple[str, ...]:
    """Each kind once, sorted; a fleet has few combinations, and each of them is kept once."""
    distinct = dict.fromkeys(r.kind for r in resources)
    deciding = (
        kind for kind in DECIDING_KINDS if kind in distinct
    )  # these are not lost behind 64 others
    found = tuple(
        sorted({_name(kind, Bounds.kind) for kind in (*deciding, *islice(distinct, Bounds.kinds))})
    )
    return found if sum(map(len, found)) > KNOWN_LENGTH else _one_tuple(found)


@lru_cache(maxsize=KNOWN)
def _one_tuple(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The one value of all that are equal."""
    return kinds


def project(raw: bytes | msgspec.Raw) -> model.Project:
    """The AppProject in this JSON; raises Unreadable."""
    wire = _project.decode(raw)
    meta = wire.metadata
    marks = {
        k: v for k, v in _marks(meta.annotations or {}).items() if k.startswith(PREFIX)
    } or None
    places = tuple(
        model.Permitted(
            plain(d.server or "", Bounds.url),
            plain(d.name or "", Bounds.name),
            plain(d.namespace or "", Bounds.name),
        )
        for d in wire.spec.destinations or ()
        if len(wire.spec.destinations or ()) <= Bounds.permitted
    )
    windows = tuple(
        model.SyncWindow(
            _name(w.kind),
            _name(w.schedule),
            _name(w.duration),
            tuple(map(_name, (w.applications or ())[: Bounds.permitted])),
            tuple(map(_name, (w.namespaces or ())[: Bounds.permitted])),
            tuple(map(_name, (w.clusters or ())[: Bounds.permitted])),
            _name(w.time_zone),
            bool(w.and_operator),
        )
        for w in (wire.spec.sync_windows or ())[: Bounds.windows]
    )
    if _too_many(wire.spec.sync_windows or []):
        # What was left out may have said no: a window that cannot be read does.
        windows += (
            model.SyncWindow("deny", "more windows than are read", "", ("*",), (), (), "", False),
        )
    namespaces = tuple(
        plain(n, Bounds.name) for n in (wire.spec.source_namespaces or ())[: Bounds.permitted]
    )
    return model.Project(
        _name(meta.name), marks, _name(meta.namespace), places, namespaces, windows
    )


def _too_many(windows: list[wire_types.Window]) -> bool:
    lists = (
        each
        for w in windows[: Bounds.windows]
        for each in (w.applications, w.namespaces, w.clusters)
    )
    return len(windows) > Bounds.windows or any(
        len(each or ()) > Bounds.permitted for each in lists
    )


def application_set(raw: bytes | msgspec.Raw) -> model.ApplicationSet:
    """The ApplicationSet in this JSON; raises Unreadable."""
    wire = _application_set.decode(raw)
    spec = wire.spec
    ignored = (spec.ignore_application_differences or [])[: Bounds.ignored]
    mode = spec.sync_policy.applications_sync if spec.sync_policy else ""
    updates = mode not in ("create-only", "create-delete")
    selectors, opaque = _selectors(spec.generators)
    return model.ApplicationSet(
        namespace=_name(wire.metadata.namespace),
        name=_name(wire.metadata.name),
        uid=_name(wire.metadata.uid),
        pull_requests=b'"pullRequest"' in bytes(spec.generators),
        rolling=spec.strategy is not None and spec.strategy.type == "RollingSync",
        leaves_sync_policy=_leaves(ignored, "spec.syncPolicy", "automated")
        if updates
        else frozenset({"*"}),
        leaves_destination=_leaves(ignored, "spec.destination", "")
        if updates
        else frozenset({"*"}),
        deletes=mode not in ("create-only", "create-update"),
        updates=updates,
        template_name=_name(spec.template.metadata.name),
        selectors=selectors,
        opaque=opaque,
    )


def _leaves(ignored: list[wire_types.Ignore], field: str, part: str) -> frozenset[str]:
    """The applications whose ``field`` an ApplicationSet does not write back, by name; ``*`` for an
    entry that names none (applicationset/utils/createOrUpdate.go:applyIgnoreDifferences)."""
    paths = {"/spec", "/" + field.replace(".", "/")} | (
        {f"/{field.replace('.', '/')}/{part}"} if part else set()
    )
    queries = {f".{field}"} | ({f".{field}.{part}"} if part else set())
    found = set()
    for each in ignored:
        pointed = {
            p
            for p in each.json_pointers or ()
            if p in paths or (not part and p.startswith("/" + field.replace(".", "/")))
        }
        asked = {
            q
            for q in each.jq_path_expressions or ()
            if q.strip() in queries or (not part and q.strip().startswith(f".{field}"))
        }
        if pointed or asked:
            found.add(_name(each.name or "*"))
    return frozenset(found)


def _selectors(raw: msgspec.Raw) -> tuple[tuple[dict[str, str], ...], frozenset[str]]:
    """Selectors that its cluster generators ask of a cluster's labels: plain ones that stand alone,
    and the keys of all others."""
    try:
        generators = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return (), frozenset()
    alone: list[dict[str, str]] = []
    opaque: set[str] = set()
    for generator in generators if isinstance(generators, list) else ():
        selector = _selector(generator)
        if selector is not None and set(selector) == {"matchLabels"} and len(generator) == 1:
            alone.append(
                {_name(str(k)): _name(str(v)) for k, v in (selector["matchLabels"] or {}).items()}
            )
        else:
            opaque |= _keys(generator)
    return tuple(alone), frozenset(map(_name, opaque))


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
    found = (
        {str(key) for key in (node.get("matchLabels") or {})}
        if isinstance(node.get("matchLabels"), dict)
        else set()
    )
    expressions = node.get("matchExpressions")
    found |= (
        {str(e.get("key")) for e in expressions if isinstance(e, dict)}
        if isinstance(expressions, list)
        else set()
    )
    return found.union(*(_keys(each, deep + 1) for each in node.values()))


def _revisions(one: str | None, many: list[str] | None) -> tuple[str, ...]:
    return (
        tuple(plain(r, Bounds.revision) for r in many[: Bounds.sources])
        if many
        else (plain(one, Bounds.revision),)
        if one
        else ()
    )


def _requested(operation: wire_types.Operation | None) -> model.Requested | None:
    if operation is None:
        return None
    by = operation.initiated_by or wire_types.InitiatedBy()
    return model.Requested(
        _ours(operation), plain(by.username or "", Bounds.name), bool(by.automated)
    )


def _ours(operation: wire_types.Operation | None) -> str:
    return next(
        (
            plain(i.value, Bounds.name)
            for i in (operation.info if operation else None) or ()
            if i.name == INFO
        ),
        "",
    )


def _operation(
    state: wire_types.OperationState | None, wanted: tuple[str, ...], *, brief: bool
) -> model.Operation | None:
    if state is None:
        return None
    by = (state.operation.initiated_by if state.operation else None) or wire_types.InitiatedBy()
    result = state.sync_result or wire_types.SyncResult()
    rows = (result.resources or [])[: Bounds.resources]
    bad = (r for r in rows if r.status == "SyncFailed" or r.hook_phase in ("Failed", "Error"))
    failed = list(islice(bad, Bounds.listed))
    hooks = [] if brief else [r for r in rows if r.hook_type][: Bounds.listed]
    return model.Operation(
        phase=model.Phase(state.phase or "Unknown"),
        # What went well needs no words; this is most of the fleet, and most of its memory.
        message="" if brief else received(state.message, Bounds.words),
        started_at=utc(state.started_at),
        finished_at=utc(state.finished_at),
        revisions=_shared(_revisions(result.revision, result.revisions), wanted),
        automated=bool(by.automated),
        username=_name(by.username or ""),
        recovery=_ours(state.operation),
        progress=0 if state.finished_at else _progress(rows),
        hooks=tuple(plain(f"{r.hook_type} {r.kind}/{r.name} {r.hook_phase}", 300) for r in hooks),
        source=_of_sources(result.source, result.sources),
        partial=_partial(state),
        changed=None if brief else _changed(rows),
        ran=() if brief else _ran(rows),
        heals=(state.operation.sync.auto_heal_attempts_count or 0)
        if state.operation and state.operation.sync
        else 0,
        failures=_of_rows(r for r in failed if r.status == "SyncFailed"),
        ran_failed=_of_rows(r for r in failed if r.status != "SyncFailed"),
    )


def _of_rows(rows: Iterable[wire_types.ResultResource]) -> tuple[str, ...]:
    return tuple(
        f"{_name(r.kind)}/{_name(r.name)}: {received(r.message, Bounds.words_each)}" for r in rows
    )


def _conditions(listed: list[wire_types.Condition], *, brief: bool) -> tuple[model.Condition, ...]:
    """All of them, with as many words as one Application may have; few for what is well, and of a
    warning."""
    found, left = [], Bounds.words
    for c in listed[: Bounds.conditions]:
        words = received(c.message, 500 if brief or c.type.endswith("Warning") else max(left, 200))
        left -= len(words)
        found.append(model.Condition(_name(c.type), words, utc(c.last_transition_time)))
    return tuple(found)


def _partial(state: wire_types.OperationState) -> bool:
    """Was it a sync of some resources only, such as a self-heal, or a dry run? Its result is not
    the deploy's."""
    sync = state.operation.sync if state.operation else None
    return sync is not None and (
        bool(sync.dry_run) or bytes(sync.resources).strip() not in (b"", b"null", b"[]")
    )


def _changed(rows: list[wire_types.ResultResource]) -> frozenset[str] | None:
    """Resources that a sync changed or created, as ``group/kind/namespace/name``; None where that
    cannot be told."""
    applied = [r for r in rows if not r.hook_type]
    if len(applied) > Bounds.changed or any(r.message.endswith(model.OPAQUE) for r in applied):
        return None
    return frozenset(
        plain(f"{r.group}/{r.kind}/{r.namespace}/{r.name}", 400)
        for r in applied
        if not r.message.endswith(model.UNCHANGED)
    )


def _ran(rows: list[wire_types.ResultResource]) -> tuple[str, ...]:
    told = (
        migration(
            r.kind, r.name, r.hook_type, r.hook_phase, unchanged=r.message.endswith(model.UNCHANGED)
        )
        for r in rows
    )
    return tuple(plain(words, 300) for words in islice(filter(None, told), 5))


def _progress(rows: list[wire_types.ResultResource]) -> int:
    return zlib.crc32(
        "".join(f"{r.kind}/{r.name}{r.status}{r.hook_phase}{r.message}" for r in rows).encode()
    )


def _deploy(history: list[wire_types.History], wanted: tuple[str, ...]) -> model.Deploy:
    entry = history[-1]
    first = entry
    for before in reversed(history[:-1]):
        if (before.revision, before.revisions) != (entry.revision, entry.revisions):
            break
        if (bytes(before.source), bytes(before.sources)) != (
            bytes(entry.source),
            bytes(entry.sources),
        ):
            break
        first = before  # synced once more: what runs is what ran
    began = utc(entry.deploy_started_at)
    return model.Deploy(
        entry.id,
        _shared(_revisions(entry.revision, entry.revisions), wanted),
        utc(entry.deployed_at),
        began,
        began if first is entry else utc(first.deploy_started_at) or utc(first.deployed_at),
    )


def _shared(revisions: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """In most of a fleet all three are equal: kept once."""
    return wanted if revisions == wanted else revisions


def _parent(tracking: str, meta: wire_types.Meta) -> str:
    """``parent:argoproj.io/Application:ns/child`` names the app-of-apps
    (util/argo/resource_tracking.go)."""
    instance, _, rest = plain(tracking, 1000).partition(":")
    if not rest.startswith("argoproj.io/Application:"):
        return ""
    namespace, _, name = instance.rpartition("_")
    return f"{namespace or meta.namespace}/{name}"


def _held(text: str | None) -> tuple[model.Hold | None, str]:
    if text is None:
        return None, ""
    if len(text) > Bounds.hold:
        return None, f"it has {len(text)} characters; one of ours has {Bounds.hold} at most"
    if plain(text) != text:
        return None, "it holds control characters"
    try:
        hold = _hold.decode(text.encode())
    except (msgspec.DecodeError, RecursionError) as error:
        return None, plain(str(error), 200)
    return (
        (hold, "")
        if hold.bad or hold.target
        else (None, "it names neither a bad revision nor a place")
    )


def listed(raw: bytes) -> Page:
    """A page of a list, its items still raw: one bad item must not cost the others."""
    return _whole(_page, raw)


class _ListMeta(Struct, rename={"resource_version": "resourceVersion", "more": "continue"}):
    resource_version: str = ""
    more: str = ""


class Page(Struct):
    """One page of a list; ``metadata.continue`` names the next."""

    metadata: _ListMeta = field(default_factory=_ListMeta)
    items: list[msgspec.Raw] = []


class WatchEvent(Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Identity(Struct):
    """Fields that every object has; enough for a bookmark, an error and a deletion."""

    metadata: wire_types.Meta = field(default_factory=wire_types.Meta)
    code: int = 0
    message: str = ""


_page = msgspec.json.Decoder(Page)
_event = msgspec.json.Decoder(WatchEvent)
_identity = msgspec.json.Decoder(Identity)


def _whole(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except RecursionError:
        return decoder.decode(shallow(raw))  # one object that is nested beyond measure is in it


def event(raw: bytes) -> WatchEvent:
    """The event in one line of a watch; raises Unreadable."""
    return _whole(_event, raw)


def identity(raw: bytes | msgspec.Raw) -> Identity:
    """Name, resourceVersion, or an error's code."""
    return _identity.decode(raw)


Unreadable: Any = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What decoding can raise."""
