"""Objections to going back that only a closer look shows: a migration, data that would change
its shape, a lost revision."""

from __future__ import annotations

from typing import Any

import msgspec

from recovery.act.action import ActionRequest, Clients
from recovery.act.blame import not_this_deploy
from recovery.decide.migrations import BEFORE, looks_like_one, migration
from recovery.kube.errors import KubeError
from recovery.model.application import UNCHANGED, Application, alike, short
from recovery.model.redact import redact
from recovery.model.situation import HealthyRevision
from recovery.model.text import plain
from recovery.model.timestamps import utc

ALLOW_HOOKS = "hooks"
SHAPED = ("StatefulSet", "PersistentVolumeClaim", "CustomResourceDefinition")
"""Kinds whose change an old revision may not be able to live with."""
ALLOWED_LOSSES = (ALLOW_HOOKS, *SHAPED)
_BETWEEN = 5
"""Deploys between the good one and what runs that are looked at."""


async def against(
    order: ActionRequest,
    doors: Clients,
    fresh: dict[str, Any],
    good: HealthyRevision,
    allow: tuple[str, ...],
) -> tuple[str, str]:
    """Reason and words of what speaks against it; two empty texts for nothing. Asked before
    anything is written."""
    status = fresh.get("status") or {}
    if away := _gone_back_by_hand(order.app, status, good):
        return "ResourceMissing", away
    whole, seen = _of_this_deploy(order, status), order.situation.brought
    reason, words = await not_this_deploy(order, doors, fresh, good, whole=whole)
    if reason:
        return reason, words
    if ALLOW_HOOKS not in allow and not whole and seen is None:
        why = (
            "what is deployed now was followed by another operation, and whether hooks ran with it"
            " can no longer be seen"
        )
        return "HooksUnknown", f"{why}; `allow: [{ALLOW_HOOKS}]` rolls back anyway"
    if ALLOW_HOOKS not in allow and (skipped := await _in_between(order, doors, status, good)):
        return skipped
    ran = _migrations(status) if whole or seen is None else seen.ran
    if ALLOW_HOOKS not in allow and ran:
        why = (
            f"{plain(', '.join(ran), 300)} ran with what is deployed now, and a rollback does"
            " not undo it"
        )
        why += f"; `allow: [{ALLOW_HOOKS}]` rolls back anyway"
        return "MigrationHook", why
    guarded = tuple(kind for kind in SHAPED if kind not in allow)
    held = sorted(
        {
            plain(f"{r.get('kind')}/{r.get('name')}", 300)
            for r in status.get("resources") or ()
            if r.get("kind") in guarded
        }
    )
    if doors.argocd is None or not order.app.renderable(good.history_id):
        if held:
            how = (
                "without an Argo CD token"
                if doors.argocd is None
                else "because its sources (parameters, images) are others today"
            )
            why = (
                f"it has {', '.join(held[:5])}, and {how} nobody can see whether they would change"
            )
            return "ShapeUnknown", f"{why}; `allow: [{', '.join(guarded)}]` rolls back anyway"
        return "", ""
    try:
        then = _shapes(await doors.argocd.rendered(order.app, good.revisions), guarded)
        now = (
            _shapes(await doors.argocd.rendered(order.app, order.app.deployed), guarded)
            if held or then
            else {}
        )
    except KubeError as error:
        told = error.told or str(error)
        return (
            "NotResolvable",
            f"{short(good.revisions)} cannot be rendered any more: {redact(told, 250)}",
        )
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        return (
            "ShapeChanges",
            (
                f"{', '.join(changed[:5])} would change with it; `allow: [{', '.join(guarded)}]`"
                " rolls back anyway"
            ),
        )
    return "", ""


def _gone_back_by_hand(app: Application, status: dict[str, Any], good: HealthyRevision) -> str:
    """The running revision ran before the deploy that would be gone back to: somebody went back
    from that one, and it is not brought again."""
    history = [e for e in status.get("history") or () if isinstance(e, dict)]
    first = next(
        (int(e.get("id", -1)) for e in history if _is(e, app.deployed, app.deployed_source, app)),
        None,
    )
    if first is None or first > good.history_id:
        return ""
    return (
        f"{short(app.deployed)} ran before {short(good.revisions)} did, and somebody went back to"
        " it: a person must decide"
    )


def _of_this_deploy(order: ActionRequest, status: dict[str, Any]) -> bool:
    """Is the last operation the one that brought what is deployed? A later one (a self-heal) has
    taken its result away."""
    deploy, state = order.app.deploy, status.get("operationState") or {}
    sync = (state.get("operation") or {}).get("sync") or {}
    if sync.get("resources") or sync.get("dryRun"):
        # of some resources only, in the same second even (seen on 3.2: a self-heal right after the
        # sync)
        return False
    if (
        not state
        or deploy is None
        or order.app.deployed != deploy.revisions
        or deploy.began is None
    ):
        # it failed after the last deploy, and is what is deployed; or nobody noted when it began
        return True
    return utc(state.get("startedAt")) == deploy.began


def _migrations(status: dict[str, Any]) -> tuple[str, ...]:
    """Hooks that ran before or during the sync that brought what is deployed now, and plain Jobs
    that look like migrations."""
    rows = ((status.get("operationState") or {}).get("syncResult") or {}).get("resources") or ()
    fields = ("kind", "name", "hookType", "hookPhase")
    told = (
        migration(
            *(str(row.get(f) or "") for f in fields),
            unchanged=str(row.get("message", "")).endswith(UNCHANGED),
        )
        for row in rows
        if isinstance(row, dict)
    )
    return tuple(filter(None, told))[:5]


async def _in_between(
    order: ActionRequest, doors: Clients, status: dict[str, Any], good: HealthyRevision
) -> tuple[str, str] | None:
    """Hooks and jobs that ran with the deploys that lie between the newest of the revision to go
    back to and the one that is deployed now: going back skips them all."""
    app, between = order.app, list[dict[str, Any]]()
    for entry in (
        e
        for e in status.get("history") or ()
        if isinstance(e, dict) and int(e.get("id", -1)) > good.history_id
    ):
        between = (
            []
            if _is(entry, good.revisions, app.source_of(good.history_id), app)
            else [*between, entry]
        )
    between = [entry for entry in between if not _is(entry, app.deployed, app.deployed_source, app)]
    if not between:
        return None
    named = ", ".join(f"{short(revisions_of(e))} (deploy {e.get('id')})" for e in between[:3])
    way_out = f"`allow: [{ALLOW_HOOKS}]` rolls back anyway"
    if doors.argocd is None:
        return (
            "HooksUnknown",
            (
                f"{named} lies between, and without an Argo CD token nobody can see which hooks ran"
                f" with it; {way_out}"
            ),
        )
    for entry in between[:_BETWEEN]:
        if not app.renderable(int(entry["id"])):
            return (
                "HooksUnknown",
                (
                    f"{named} lies between, and was made from other sources (parameters, images)"
                    f" than today's; {way_out}"
                ),
            )
        try:
            ran = _hooks(await doors.argocd.rendered(order.app, revisions_of(entry)))
        except KubeError as error:
            told = redact(error.told or str(error), 250)
            return (
                "HooksUnknown",
                f"{named} lies between and cannot be rendered any more: {told}; {way_out}",
            )
        if ran:
            return (
                "MigrationHook",
                (
                    f"{plain(', '.join(ran), 300)} ran with {short(revisions_of(entry))}, and a"
                    f" rollback does not undo it; {way_out}"
                ),
            )
    if len(between) > _BETWEEN:
        return (
            "HooksUnknown",
            f"{len(between)} deploys lie between, and {_BETWEEN} are looked at; {way_out}",
        )
    return None


def _is(entry: dict[str, Any], revisions: tuple[str, ...], source: int, app: Application) -> bool:
    """Is an entry of the history a deploy of these revisions from these sources?"""
    return revisions_of(entry) == revisions and alike(
        app.source_of(int(entry.get("id", -1))), source
    )


def revisions_of(entry: dict[str, Any]) -> tuple[str, ...]:
    """The revisions of an entry of ``status.history``, one for each source."""
    several = entry.get("revisions") or ()
    return tuple(map(str, several)) if several else (str(entry.get("revision") or ""),)


def _hooks(manifests: tuple[dict[str, Any], ...]) -> list[str]:
    """Of what a revision wants: hooks that run before or during a sync, and Jobs that look like
    migrations."""
    found = []
    for item in manifests:
        meta, kind = item.get("metadata") or {}, str(item.get("kind", ""))
        notes = meta.get("annotations") or {}
        argo = {w.strip() for w in str(notes.get("argocd.argoproj.io/hook", "")).split(",")}
        helm = {w.strip() for w in str(notes.get("helm.sh/hook", "")).split(",")}
        if argo & set(BEFORE) or helm & {"pre-install", "pre-upgrade"}:
            found.append(f"hook {kind}/{meta.get('name', '')}")
        elif looks_like_one(kind, str(meta.get("name", ""))):
            found.append(f"Job/{meta.get('name', '')}")
    return found[:5]


def _shapes(manifests: tuple[dict[str, Any], ...], kinds: tuple[str, ...]) -> dict[str, bytes]:
    """Fields that decide on the shape of data, by resource; a StatefulSet's pods may change, its
    volumes may not."""
    found = {}
    for item in manifests:
        kind, spec = str(item.get("kind", "")), item.get("spec") or {}
        if kind not in kinds:
            continue
        shape = (
            {k: v for k, v in spec.items() if k not in ("template", "replicas")}
            if kind == "StatefulSet"
            else spec
        )
        name = f"{kind}/{(item.get('metadata') or {}).get('name', '')}"
        found[name] = msgspec.json.encode(shape, order="deterministic")
    return found
