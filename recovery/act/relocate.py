"""Shared by failover and failback: the plan, the label's move, and the one write that moves an
application."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import structs

from recovery.act.action import ActionRequest, Clients, read_app
from recovery.act.operation import operation, plain, token_of
from recovery.act.target_checks import TargetChecks, words_of
from recovery.decide.cluster_label import taken_along
from recovery.decide.ownership import instance_of
from recovery.decide.placement import STATEFUL, on_it, place_of, target_of, unmovable
from recovery.kube.client import APPLICATIONS, SECRETS
from recovery.kube.errors import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from recovery.model.application import Application, Hold
from recovery.model.connection import Cluster
from recovery.model.decision import Outcome, Result
from recovery.model.move import MAX_RELOCATIONS, Place, Relocation, RelocationPhase
from recovery.model.names import HOLD
from recovery.model.situation import Dependent

PLAN_FRESH = timedelta(minutes=2)
"""For so long what a plan saw is not looked at again."""
PLANNED_AT_ONCE = 5
"""Applications that are looked at in one moment."""
PROVEN_FOR = 15.0
"""Seconds after which the rest of a wave is proven anew."""
_OVER = ("Succeeded", "Failed", "Error")


async def plan(order: ActionRequest, doors: Clients) -> tuple[tuple[Relocation, ...], int]:
    """Applications of the cluster that are meant, Planned or Refused with the reason, and how many
    more there are than one recovery keeps.

    Of too many, each project has its share: one with hundreds does not keep others from being
    moved.
    """
    situation, parameters = order.situation, order.step.parameters
    target, _, _ = target_of(parameters.target_cluster, situation)
    there = await doors.ways.to(target.server) if target else None
    if target is None:
        return (), 0
    import asyncio

    # A label takes all of a set along, selected or not: each of them has to be fit to go.
    meant = (
        taken_along(parameters.label, situation, target) if parameters.label else on_it(situation)
    )
    meant = tuple(dep for dep in meant if parameters.label or parameters.apps.selects(dep.app))
    every, meant = len(meant), _share(meant)
    together = f"a label moves all {every}, and one recovery keeps {MAX_RELOCATIONS} applications"
    ground = TargetChecks(target.name, there) if there is not None else None
    places = asyncio.Semaphore(PLANNED_AT_ONCE)

    async def one(dep: Dependent) -> Relocation:
        app = dep.app
        to = place_of(target, app.destination.place)
        move = Relocation(
            app.namespace,
            app.name,
            app.uid,
            app.destination.place,
            to,
            RelocationPhase.Planned,
            since=situation.now,
        )
        why = unmovable(
            dep,
            situation,
            target,
            stateful=parameters.allow_stateful,
            by_label=bool(parameters.label),
        )
        if parameters.label and every > MAX_RELOCATIONS:
            why = together
        if not why and ground is None:
            why = (
                f"{target.name} cannot be looked into: its Secret is not among"
                " RECOVERY_CLUSTER_SECRETS"
            )
        if not why and parameters.label and not parameters.apps.selects(app):
            why = "the policy's apps do not select it"
        if not why and ground is not None:
            async with places:
                why = await _unfit(app, ground, doors, stateful=parameters.allow_stateful)
        return (
            structs.replace(move, phase=RelocationPhase.Refused, reason=why[:300]) if why else move
        )

    relocations = tuple(await asyncio.gather(*map(one, meant)))
    stays = next((m for m in relocations if m.phase is RelocationPhase.Refused), None)
    if parameters.label and stays is not None:
        why = f"the label takes all of them, and {stays} stays: {stays.reason}"[:300]
        return tuple(
            structs.replace(m, phase=RelocationPhase.Refused, reason=m.reason or why)
            for m in relocations
        ), every - len(meant)
    return relocations, every - len(meant)


def _share(meant: tuple[Dependent, ...]) -> tuple[Dependent, ...]:
    """As many as one recovery keeps: the first of each project, then the second of each, and so
    on."""
    seen = Counter[str]()
    ranked = []
    for dep in meant:
        ranked.append((seen[dep.app.project], dep))
        seen[dep.app.project] += 1
    chosen = sorted(ranked, key=lambda each: each[0])[:MAX_RELOCATIONS]
    kept = {dep.app.uid for _, dep in chosen}
    return tuple(dep for dep in meant if dep.app.uid in kept)


async def looked_again(order: ActionRequest, doors: Clients) -> tuple[Relocation, ...]:
    """Relocations that are about to begin, checked once more where the plan is not fresh any more:
    Refused where it no longer fits."""
    recovery, situation = order.recovery, order.situation
    relocations = recovery.relocations if recovery else ()
    if situation.now - order.record.started_at < PLAN_FRESH:
        return relocations
    apps = {dep.app.uid: dep.app for dep in situation.dependents}
    changed = []
    for move in relocations:
        app = apps.get(move.uid)
        if (
            move.phase is RelocationPhase.Moving
            and move.since == order.record.claimed_at
            and app is not None
            and app.destination.place != move.target
        ):
            target = next((c for c in situation.clusters if c.called(str(move.target))), None)
            there = await doors.ways.to(target.server) if target else None
            ground = TargetChecks(target.name, there) if target and there else None
            stateful = order.step.parameters.allow_stateful
            why = (
                await _unfit(app, ground, doors, stateful=stateful)
                if ground
                else f"{move.target} cannot be looked into"
            )
            move = (
                structs.replace(move, phase=RelocationPhase.Refused, reason=why[:300])
                if why
                else move
            )
        changed.append(move)
    return tuple(changed)


async def _unfit(app: Application, ground: TargetChecks, doors: Clients, *, stateful: bool) -> str:
    """Objections found in Argo CD's cache and in the target cluster; Unavailable when they
    do not answer at all."""
    assert doors.argocd is not None  # noqa: S101 (fits has looked)
    try:
        fresh = await read_app(app, doors)
        wanted = await doors.argocd.managed(app)
        kinds = await doors.argocd.kinds(app)
        if fresh is None or not wanted:
            return "Argo CD no longer knows what it consists of"
        held = [f"{w.kind}/{w.name}" for w in wanted if w.kind in STATEFUL] + [
            f"{w.kind}/{w.name} ({v})" for w in wanted for v in w.volumes
        ]
        held += [
            f"a {kind} that one of its resources made"
            for kind in kinds
            if kind in STATEFUL and not held
        ]
        if held and not stateful:
            return (
                f"it is stateful: {', '.join(held[:3])}; its data is not on {ground.name}, and"
                " allow_stateful is not set"
            )
        options = (fresh["spec"].get("syncPolicy") or {}).get("syncOptions") or ()
        return await ground.refusal(app, wanted, options, instance_of(app, doors.home))
    except (Unavailable, Busy) as error:
        if getattr(error, "told", ""):
            return f"it cannot be looked into: {words_of(error)}"
        raise Unavailable(
            f"{app.key} could not be looked into: {error}"
        ) from error  # looked at again, and not refused for that
    except KubeError as error:
        return f"it cannot be looked into: {words_of(error)}"


async def relabel(
    order: ActionRequest, doors: Clients, label: str, source: Cluster, target: Cluster
) -> Outcome:
    """The label to the new Secret first, then off the old one: in between a set generates the same
    names twice, and Argo CD leaves those applications alone; the other way round it would delete
    them. Repeating it changes nothing."""
    if not (source.secret and target.secret):
        missing = ", ".join(c.name for c in (source, target) if not c.secret)
        return Outcome(
            Result.Failed,
            "NoSecret",
            f"the Secret of {missing} is not among RECOVERY_CLUSTER_SECRETS",
        )
    # The old one's value; once it is off there, what the new one carries is what was moved.
    value = (source.labels or {}).get(label) or (target.labels or {}).get(label, "")
    hold = {
        "recovery": order.recovery.name if order.recovery else "",
        "label": label,
        "value": value,
        "from": source.name,
        "to": target.name,
    }
    note = msgspec.json.encode(hold).decode()
    on = {"metadata": {"labels": {label: value}, "annotations": {HOLD: note}}}
    off = {"metadata": {"labels": {label: None}, "annotations": {HOLD: note}}}
    try:
        await doors.kube.patch(SECRETS, doors.home, target.secret, on)
    except (Forbidden, NotFound, Invalid) as error:
        return Outcome(
            Result.Failed,
            "LabelMoveFailed",
            f"the Secret of {target.name} cannot be labelled: {words_of(error)}",
        )
    try:
        await doors.kube.patch(SECRETS, doors.home, source.secret, off)
    except (Forbidden, NotFound, Invalid) as error:
        # Both carry it now, and Argo CD leaves what they generate alone: take it back.
        with suppress(Forbidden, NotFound, Invalid):
            await doors.kube.patch(
                SECRETS,
                doors.home,
                target.secret,
                {"metadata": {"labels": {label: None}, "annotations": {HOLD: None}}},
            )
        return Outcome(
            Result.Failed,
            "LabelMoveFailed",
            f"the label cannot be taken off the Secret of {source.name}: {words_of(error)}",
        )
    finally:
        doors.ways.forget()
    return Outcome(
        Result.Sent,
        "LabelMoved",
        f"label {label}={value} moved from {source.name} to {target.name}",
    )


async def send(
    order: ActionRequest,
    doors: Clients,
    relocations: tuple[Relocation, ...],
    phase: RelocationPhase,
    *,
    by_label: bool,
) -> tuple[tuple[Relocation, ...], bool]:
    """Write to every application whose turn it is and that does not show our write yet; and whether
    some were not taken.

    One patch an application: destination, hold and a full sync together, fenced by the version it
    was read with. A crash leaves it done or not done; done is seen by the operation's token, and
    not repeated. One that changed meanwhile, or that the API server was too busy for, waits for its
    next turn; so does the rest of a wave whose proof has grown old.
    """
    import asyncio

    apps = {dep.app.uid: dep.app for dep in order.situation.dependents}
    back = RelocationPhase.Moved if phase is RelocationPhase.Returning else RelocationPhase.Planned
    began = asyncio.get_running_loop().time()
    changed, hindered = [], False
    for move in relocations:
        app, waits = apps.get(move.uid), False
        if move.phase is phase and app is not None:
            try:
                late = not by_label and asyncio.get_running_loop().time() - began > PROVEN_FOR
                waits = late or not await _send_one(order, doors, app, move, by_label=by_label)
            except (Conflict, Busy, Unauthorized):
                waits = True
            except Unavailable as error:
                # heavy, and `recovery check` reads this file for the parameters alone
                import structlog

                hindered = True
                log = structlog.get_logger(__name__)
                log.warning(
                    "whether it was moved is unknown; checked again",
                    application=str(move),
                    why=str(error),
                )
            except KubeError as error:
                away = (
                    RelocationPhase.Failed
                    if phase is RelocationPhase.Returning or by_label
                    else RelocationPhase.Refused
                )
                move = structs.replace(move, phase=away, reason=f"not moved: {words_of(error)}")
        if waits:
            hindered = True
            move = move if by_label else structs.replace(move, phase=back)
        changed.append(move)
    return tuple(changed), hindered


async def _send_one(
    order: ActionRequest, doors: Clients, app: Application, move: Relocation, *, by_label: bool
) -> bool:
    """Whether its write is there now; False to look again."""
    fresh = await read_app(app, doors)
    if fresh is None:
        return True  # gone: seen with the next look
    home = move.phase is RelocationPhase.Returning
    state = (fresh.get("status") or {}).get("operationState") or {}
    if order.token in (token_of(fresh.get("operation")), token_of(state.get("operation"))):
        return True
    where, want = _place(fresh), move.goal if home else move.target
    if by_label and where != want:
        return True  # the ApplicationSet has not written it yet: asked again when it has
    if not by_label and where == want:
        # One patch writes destination and operation: it went out, and Argo CD's self-heal may have
        # run after it since.
        return True
    if not by_label and where not in (move.origin, move.goal, move.target):
        return True  # somebody took it elsewhere: seen with the next look
    if fresh.get("operation") or (state.get("phase") and state["phase"] not in _OVER):
        return False
    body: dict[str, Any] = {
        "metadata": {"resourceVersion": fresh["metadata"]["resourceVersion"]},
        "operation": operation(
            order.token,
            plain(fresh, app.revisions),
            (fresh["spec"].get("syncPolicy") or {}).get("retry"),
        ),
        "status": {"operationState": None},
    }
    if not by_label:
        note = None if home else _hold(order, app, move)
        body["metadata"]["annotations"] = {HOLD: note}
        body["spec"] = {"destination": {"server": want.server or None, "name": want.name or None}}
    await doors.kube.patch(APPLICATIONS, app.namespace, app.name, body)
    return True


def _place(fresh: dict[str, Any]) -> Place:
    where = fresh["spec"].get("destination") or {}
    return Place((where.get("server") or "").rstrip("/"), where.get("name") or "")


def _hold(order: ActionRequest, app: Application, move: Relocation) -> str:
    name = order.recovery.name if order.recovery else ""
    hold = Hold(
        recovery=name,
        uid=app.uid,
        since=order.situation.now,
        origin=move.origin,
        target=move.target,
    )
    return msgspec.json.encode(hold).decode()
