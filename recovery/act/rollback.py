"""rollback: go back to the newest revision that was seen to work, and see to it that it stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct, structs

from recovery.act import rollback_checks
from recovery.act.action import CHANGED, Action, ActionRequest, Clients, read, unchanged
from recovery.act.blame import ResourceKey
from recovery.act.operation import withdraw, withdrawing, write
from recovery.act.pruning import ceiling
from recovery.act.restart import NO_TOKEN, NOTHING_DEGRADED
from recovery.decide.guards import inherited
from recovery.decide.holds import GOING_BACK, MANUAL, OWN_CHANGE, REVISION
from recovery.decide.notifications import acted
from recovery.decide.operations import effect, overtaken
from recovery.decide.ownership import NOT_OWNED
from recovery.kube.client import APPLICATIONS
from recovery.kube.reading import decoded
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.application import Application, Health, Hold, Sync, alike, left_to, named, short
from recovery.model.cause import Remedy
from recovery.model.decision import Outcome, Result
from recovery.model.duration import Duration, default, spell
from recovery.model.names import HOLD, REFRESH
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepOutcome, StepRecord
from recovery.model.situation import HealthyRevision, Situation

APPLY = GOING_BACK
PROVEN = timedelta(seconds=10)
"""How long auto-sync must stay suspended before we believe it: an ApplicationSet reverts within 1
s, a parent's self-heal within its 5 s (seen on 3.2)."""
SLACK = timedelta(minutes=1)
"""A new commit shows as OutOfSync a little before its sync starts."""
MAX_REVERTED = 2
"""After so many rollbacks that somebody took back, none is made any more while they are
remembered."""
STICKY_WITHIN = timedelta(hours=24)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of rollback; others are refused."""

    if_restart_fails: bool = False
    """Only after a restart in the same attempt did not help."""
    prune: bool = False
    """Also remove what the bad revision added."""
    hooks: bool = False
    """Run the old revision's hooks; Argo CD's own rollback does not."""
    within: Duration = default(hours=1)
    """Only if the illness began within this time of the current deploy."""
    release: str = OWN_CHANGE
    """What ends its hold: own_change (a revision that changes this application's own manifests),
    revision (any newer one), or manual (a person alone)."""
    allow: tuple[str, ...] = ()
    """What does not stand in its way: hooks, StatefulSet, PersistentVolumeClaim,
    CustomResourceDefinition."""

    def __post_init__(self) -> None:
        if self.release not in (OWN_CHANGE, REVISION, MANUAL):
            raise ValueError(
                f"release: {self.release!r} is none of {OWN_CHANGE}, {REVISION}, {MANUAL}"
            )
        for what in self.allow:
            if what not in rollback_checks.ALLOWED_LOSSES:
                raise ValueError(
                    f"{what!r} cannot be allowed; one of"
                    f" {', '.join(rollback_checks.ALLOWED_LOSSES)}"
                )


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:
    """Everything that must be so before going back is a cure and not a second accident."""
    app, parameters = situation.subject, step.parameters
    for why in (
        _forbidden(situation, recovery),
        _undone(recovery, situation.past),
        _tried_before(app, situation.past),
        _not_yet(parameters, recovery),
        _not_the_deploy(parameters, app, recovery),
        _owned(situation),
    ):
        if why:
            return why
    if target(situation) is None:
        kept = (
            ", ".join(
                f"{short(good.revisions)} (deploy {good.history_id})"
                for good in situation.sight.ledger
            )
            or "empty"
        )
        return Skip(
            "NoGoodRevision",
            "no other revision was seen Synced and Healthy for"
            f" {spell(situation.policies.ledger.soak)}; ledger: {kept}",
        )
    return None


def target(situation: Situation) -> HealthyRevision | None:
    """The newest deploy of the ledger that is still in the history, ran on this cluster, and is
    neither what is deployed now nor named bad. The same revision with other sources (parameters,
    images) is another deploy."""
    app = situation.subject
    here = app.destination.cluster
    usable = (
        g
        for g in reversed(situation.sight.ledger)
        if app.has_deploy(g.history_id, g.checksum)
        and g.cluster in ("", here)
        and not _left(g, app)
    )
    return next(usable, None)


def _left(good: HealthyRevision, app: Application) -> bool:
    """Is it what is deployed now, or what was named bad?"""
    source, hold = app.source_of(good.history_id), app.hold
    if good.revisions == app.deployed and alike(source, app.deployed_source):
        return True
    return hold is not None and hold.called_bad(good.revisions, source)


def _forbidden(situation: Situation, recovery: Recovery) -> Skip | None:
    app, project = situation.subject, situation.project
    if any(
        s.action == "rollback" and s.outcome is not StepOutcome.Skipped and s.outcome
        for s in recovery.steps
    ):
        return Skip("AlreadyTried", "it was tried in this recovery already")
    if app.hold:
        what = (
            f"held back from {app.hold.bad[0][:7]}"
            if app.hold.bad
            else f"moved to {app.hold.target} by a failover"
        )
        return Skip("Held", f"it is {what} already")
    if app.mark("no-rollback") or (project and project.mark("no-rollback")):
        return Skip("NoRollback", "annotated recovery.gitops.dev/no-rollback")
    if inherited(situation):
        return Skip(
            "Inherited",
            "it was unhealthy before this controller was installed; no rollback until it has"
            " been healthy once",
        )
    if app.health is Health.Healthy:
        return Skip("Healthy", "what runs is Healthy: nothing to roll back")
    return None


def _undone(recovery: Recovery, past: tuple[Recovery, ...]) -> Skip | None:
    """Reverted twice: our rollback was undone twice: whoever does it means it, and a third time
    would be a fight."""
    undone = [
        s
        for r in (*past, recovery)
        for s in r.steps
        if s.action == "rollback" and s.reason in ("OwnerReverted", "HoldReleased")
    ]
    if len(undone) < MAX_REVERTED:
        return None
    return Skip(
        "RevertedTwice",
        f"undone {len(undone)} times in 7 days ({undone[-1].reason},"
        f" {undone[-1].ended_at:%Y-%m-%d %H:%M} UTC): a person must decide",
    )


def _tried_before(app: Application, past: tuple[Recovery, ...]) -> Skip | None:
    """A revision that was gone back from once, and runs again: it did not help, or somebody wants
    it so."""
    deployed = named(app.deployed)
    for recovery in reversed(past):
        for step in recovery.steps:
            went = (
                step.action == "rollback"
                and step.outcome not in (None, StepOutcome.Skipped)
                and step.owes is not None
            )
            if went and step.owes and deployed in step.owes.bad[:1]:
                how = f"{step.outcome.value if step.outcome else ''} ({step.reason})"
                return Skip(
                    "TriedBefore",
                    f"{recovery.name} went back from {short(app.deployed)} already: {how}; a person"
                    " decides",
                )
    return None


def _not_yet(parameters: Parameters, recovery: Recovery) -> Skip | None:
    if not parameters.if_restart_fails:
        return None
    restarts = [s for s in recovery.in_attempt() if s.action == "restart"]
    if not restarts:
        return Skip("NoRestart", "if_restart_fails is set and no restart stands before it")
    last = restarts[-1]
    if last.reason == NOTHING_DEGRADED:
        return Skip(
            NOTHING_DEGRADED,
            f"nothing of it is Degraded that a deploy could have broken: {last.message}",
        )
    if last.reason in (
        NO_TOKEN,
        NOT_OWNED,
        "Superseded",
        "Forbidden",
        "Unauthorized",
        "NotExecuted",
    ):
        return Skip("RestartNotTried", f"the restart was not tried: {last.message}")
    return None


def _not_the_deploy(parameters: Parameters, app: Application, recovery: Recovery) -> Skip | None:
    at, ill = app.deployed_at, recovery.earliest or recovery.unhealthy_since
    if at is None or ill is None:
        return Skip("NoDeploy", "its history does not say when it was deployed")
    if ill < at - SLACK:
        return Skip(
            "UnrelatedToDeploy",
            f"it was unhealthy {spell(at - ill)} before the current revision was deployed",
        )
    if ill - at > parameters.within:
        return Skip(
            "UnrelatedToDeploy",
            f"it became unhealthy {spell(ill - at)} after its deploy (limit"
            f" {spell(parameters.within)})",
        )
    other = app.revisions != app.deployed or not alike(app.source, app.deployed_source)
    newer = app.sync is Sync.OutOfSync and app.auto_sync and other
    if newer:
        return Skip(
            "NewerRevision",
            f"{short(app.revisions)} is newer than what runs, and auto-sync will deploy it",
        )
    return None


def _owned(situation: Situation) -> Skip | None:
    app = situation.subject
    owner, parent = situation.application_set, situation.parent
    if app.application_set and (owner is None or not left_to(owner.leaves_sync_policy, app)):
        hint = (
            f"add to it: `spec: {{ignoreApplicationDifferences: [{{name: {app.name}, jsonPointers:"
            " [/spec/syncPolicy]}]}`"
        )
        return Skip(
            "OwnerWouldRevert",
            f"ApplicationSet {app.application_set} would switch auto-sync on again; {hint}",
        )
    if app.parent and (parent is None or (parent.auto_sync and parent.self_heal)):
        ignored = (
            f"{{group: argoproj.io, kind: Application, name: {app.name}, jsonPointers:"
            " [/spec/syncPolicy]}"
        )
        hint = (
            f"add to it: `spec: {{ignoreDifferences: [{ignored}], syncPolicy: {{syncOptions:"
            " [RespectIgnoreDifferences=true]}}`"
        )
        return Skip(
            "OwnerWouldRevert",
            f"its parent application {app.parent} would switch auto-sync on again; {hint}",
        )
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """First auto-sync is suspended and has to stay so; then the operation is written."""
    app = situation.subject
    if record.stage:
        released = app.hold is None or (app.hold.suspended and app.auto_sync)
        if released and record.sent:
            return StepStatus(
                Progress.Failed, "HoldReleased", "the hold was released while it was going back"
            )
        return effect(record, situation)
    ours = (
        app.hold is not None
        and situation.recovery is not None
        and app.hold.recovery == situation.recovery.name
    )
    if not ours and not record.sent:
        if by := overtaken(record.claim, app):
            return StepStatus(Progress.Superseded, "Superseded", f"{by}; it is not repeated")
        return StepStatus(Progress.Again)
    stayed = situation.now - record.started_at
    if stayed >= PROVEN and (not ours or app.auto_sync):
        return StepStatus(
            Progress.Failed,
            "OwnerReverted",
            "auto-sync did not stay suspended: something switches it on again",
        )
    if stayed < PROVEN:
        return StepStatus(
            Progress.Running,
            message="auto-sync is suspended; waiting to see whether it stays so",
            soon=PROVEN - stayed,
        )
    if app.operating:
        return StepStatus(
            Progress.Running,
            message="waiting for the running operation to end",
            soon=timedelta(seconds=10),
        )
    if by := overtaken(record.claim, app):
        return StepStatus(
            Progress.Superseded,
            "Superseded",
            f"{by}: what was to be gone back from is not what runs any more",
        )
    return StepStatus(Progress.Next, stage=APPLY)


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """Suspend in the first stage, go back in the second."""
    fresh = await read(order, doors)
    if fresh is None:
        return CHANGED
    if withdrawing(order):
        return await withdraw(order, doors, fresh)
    return await (_go_back if order.record.stage == APPLY else _suspend)(order, doors, fresh)


async def _suspend(order: ActionRequest, doors: Clients, fresh: dict[str, Any]) -> Outcome:
    """One patch names the revision bad and switches auto-sync off; what it was stands in the
    annotation."""
    app = order.app
    hold = order.record.owes
    if hold is None:
        return Outcome(
            Result.Failed,
            "NothingClaimed",
            "the claim does not say what would be owed: nothing was touched",
        )
    if _written((fresh["metadata"].get("annotations") or {}).get(HOLD), hold):
        return Outcome(Result.Sent, "Adopted", "found already suspended")
    if not unchanged(order, fresh):
        return CHANGED
    good = target(order.situation)
    if good is None:
        return Outcome(Result.Skipped, "NoGoodRevision", "there is no good revision any more")
    reason, words = await rollback_checks.against(
        order, doors, fresh, good, order.step.parameters.allow
    )
    if reason:
        return Outcome(Result.Skipped, reason, words)
    suspends = hold.suspended
    body: dict[str, Any] = {
        "metadata": {
            "resourceVersion": order.record.claim.resource_version,
            "annotations": {
                HOLD: msgspec.json.encode(structs.replace(hold, automated=None)).decode(),
                REFRESH: "normal",
            },
        }
    }
    if suspends and doors.dialect().drops_enabled:
        body = _taken_out(body, hold)
    elif suspends:
        body["spec"] = {"syncPolicy": {"automated": {"enabled": False}}}
    stored = decoded(await doors.kube.patch(APPLICATIONS, app.namespace, app.name, body), dict)
    kept = (stored["spec"].get("syncPolicy") or {}).get("automated")
    if suspends and kept is not None and kept.get("enabled") is not False:
        # A CRD that does not know the field drops it in silence (before 3.1): then the whole of it
        # goes.
        body["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        await doors.kube.patch(APPLICATIONS, app.namespace, app.name, _taken_out(body, hold))
    # Told together with going back, a moment later: one message, not two.
    return Outcome(
        Result.Sent, "Suspended", "auto-sync suspended", targets=(f"to {short(good.revisions)}",)
    )


def owes(step: Step, situation: Situation, recovery: Recovery) -> Hold | None:
    """State that its first write takes away: auto-sync as it is now, and the revisions that are
    named bad."""
    app = situation.subject
    return Hold(
        recovery=recovery.name,
        uid=app.uid,
        # What Git wants besides is bad only if auto-sync would have deployed it; a manual
        # application's is untried.
        bad=(
            tuple(dict.fromkeys((named(app.deployed), named(app.revisions))))
            if app.auto_sync
            else (named(app.deployed),)
        ),
        suspended=app.auto_sync,
        had_enabled=(app.automated or {}).get("enabled"),
        automated=app.automated,
        sticky=_gone_back_before(situation),
        since=situation.now,
        release=step.parameters.release,
        source=app.source if app.auto_sync else app.deployed_source,
    )


def _written(text: str | None, hold: Hold) -> bool:
    """Is this very hold what the annotation says?"""
    try:
        said = msgspec.json.decode(text or "", type=Hold)
    except (msgspec.DecodeError, RecursionError):
        return False
    return structs.replace(said, automated=None) == structs.replace(hold, automated=None)


def _taken_out(body: dict[str, Any], hold: Hold) -> dict[str, Any]:
    """The same with ``automated`` taken out, what it was kept in the hold."""
    annotations = {**body["metadata"]["annotations"], HOLD: msgspec.json.encode(hold).decode()}
    return {
        "metadata": {**body["metadata"], "annotations": annotations},
        "spec": {"syncPolicy": {"automated": None}},
    }


def _gone_back_before(situation: Situation) -> bool:
    """Given back once already within a day: then only a person ends the next hold."""
    for past in situation.past:
        recent = past.resolved_at is not None and situation.now - past.resolved_at < STICKY_WITHIN
        if recent and any(
            s.action == "rollback" and s.outcome is StepOutcome.Succeeded for s in past.steps
        ):
            return True
    return False


async def _go_back(order: ActionRequest, doors: Clients, fresh: dict[str, Any]) -> Outcome:
    """The operation Argo CD's API would write (server/application/application.go:Rollback), from
    the history entry."""
    good = target(order.situation)
    entries = {entry.get("id"): entry for entry in (fresh.get("status") or {}).get("history") or ()}
    entry = entries.get(good.history_id) if good is not None else None
    if good is None or entry is None or rollback_checks.revisions_of(entry) != good.revisions:
        return Outcome(
            Result.Failed, "NoGoodRevision", "the deploy to go back to is no longer in the history"
        )
    parameters: Parameters = order.step.parameters
    policy = fresh["spec"].get("syncPolicy") or {}
    prune, kept = await _prune(order, doors, fresh, good)
    sync: dict[str, Any] = {
        "prune": prune,
        "syncStrategy": {"hook": {}} if parameters.hooks else {"apply": {}},
    }
    for field in ("revision", "revisions", "source", "sources"):
        if entry.get(field):
            sync[field] = entry[field]
    if policy.get("syncOptions"):
        sync["syncOptions"] = policy["syncOptions"]
    outcome = await write(order, doors, fresh, sync, None)
    if outcome.result is not Result.Sent:
        return outcome
    words = f"rolled back {short(order.app.deployed)} to {short(good.revisions)}" + (
        f"; {kept}" if kept else ""
    )
    note = acted(order.situation, order.recovery, words) if order.recovery else None
    return Outcome(
        Result.Sent,
        outcome.reason,
        words,
        targets=(f"to {short(good.revisions)}",),
        notes=(note,) if note else (),
        told=("default",),
    )


async def _prune(
    order: ActionRequest, doors: Clients, fresh: dict[str, Any], good: HealthyRevision
) -> tuple[bool, str]:
    """May what the bad revision added go with it? Under the ceiling of a sync's prune; what that
    would be, only the rendered manifests of the good one tell."""
    if not order.step.parameters.prune:
        return False, ""
    if doors.argocd is None:
        return (
            False,
            (
                "what the bad revision added is kept: without an Argo CD token nobody can tell what"
                " that is"
            ),
        )
    if not order.app.renderable(good.history_id):
        return (
            False,
            (
                "what the bad deploy added is kept: its sources (parameters, images) are others"
                " today, and nobody can tell what that is"
            ),
        )
    then = {
        ResourceKey.of_manifest(m, order.app.destination.namespace)
        for m in await doors.argocd.rendered(order.app, good.revisions)
    }
    rows = [
        r
        for r in (fresh.get("status") or {}).get("resources") or ()
        if isinstance(r, dict) and not r.get("hook")
    ]
    going = [r for r in rows if ResourceKey.of_row(r) not in then]
    hold = order.app.hold
    automated = (
        (fresh["spec"].get("syncPolicy") or {}).get("automated")
        or (hold.automated if hold is not None else None)
        or {}
    )
    return ceiling(order, going, len(rows), auto_prune=bool(automated.get("prune")))


ROLLBACK = Action(
    ActionKind(
        name="rollback",
        parameters=Parameters,
        settle=timedelta(minutes=10),
        judge=judge,
        fits=fits,
        owes=owes,
        cures=lambda _: (Remedy.rollback,),
        destructive=True,
        fetches=True,
        exempt=frozenset({"ManualSync"}),
    ),
    start,
)
