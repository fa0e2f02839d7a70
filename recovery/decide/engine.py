"""The judgement: one situation in, one decision for each policy out.

Read ``decide`` first: it is the whole rule of precedence. An open recovery is continued; else the
first policy in file order whose condition has lasted opens one; the others wait behind it.
``_go_on`` is the life of a recovery::

    Remediating -> Verifying -> Resolved          a step, its effect, the cure lasting
        |  ^          |
        |  '----------'  relapse: the next step
        |--> BackingOff -> Remediating            an attempt failed: pause, next attempt
        |--> Suppressed -> Remediating            a guard said no: ask again
        '--> Stalled                              out of attempts: manual intervention required
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import assert_never

from msgspec import structs

from recovery.decide.attempt import (
    NO_REMEDY,
    advance,
    away,
    begin,
    earliest,
    ended,
    opened,
    remediate,
    remedy_left,
    resolve,
    stalled,
    supersede,
    suppress,
)
from recovery.decide.backoff import AFTER, again_at
from recovery.decide.circuit_breaker import acted, compared
from recovery.decide.conditions import in_force
from recovery.decide.failover_followups import aftercare, forgiven
from recovery.decide.failover_progress import PLAN_OUTDATED, given_up, reconciled
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import REMEDY_FORBIDDEN, Refusal, refusal
from recovery.decide.holds import settle_hold
from recovery.decide.notifications import DEFAULT_CHANNELS
from recovery.decide.operations import WITHDRAW, claim_on
from recovery.decide.reconciled import RECONCILE_SKIPPED
from recovery.decide.recovered import ailment
from recovery.decide.remedies import objection
from recovery.model.action import Progress, Skip, StepStatus
from recovery.model.application import Application
from recovery.model.connection import Cluster, Connection
from recovery.model.decision import Decision, Kind, Result
from recovery.model.duration import spell
from recovery.model.move import RelocationPhase
from recovery.model.policy import Condition, Policy, Step, SubjectType
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import Situation

WRITE_PATIENCE = timedelta(minutes=2)
"""A step that cannot even be written is tried for this long at least, however short its settle
time."""


def decide(situation: Situation) -> tuple[Decision, ...]:
    """Judge one subject. Pure: no clock, no I/O; at most one of the decisions is Remediate.

    Policies that are not for this subject, or whose condition does not hold, are left out; no
    decision at all means rest. The order is the file's, a decision on a hold or on a recovery
    without a policy first.
    """
    open_one = situation.recovery
    if isinstance(situation.about, Cluster) and open_one:
        open_one = reconciled(open_one, situation)
        situation = structs.replace(situation, recovery=open_one)
    elif situation.orphans and (taken_on := _take_on(situation)):
        return (taken_on,)
    policies = tuple(
        p for p in situation.policies.policies if in_force(p, situation.about.key.kind)
    )
    decisions: list[Decision] = []
    if open_one and open_one.owed and not any(p.name == open_one.policy for p in policies):
        policies = (*policies, _last_will(open_one, situation))
    if isinstance(situation.about, Application) and (released := settle_hold(situation)):
        decisions.append(released)
    if open_one and (orphan := _orphaned(situation, policies, open_one)):
        return (*decisions, orphan)
    if situation.unreconciled:
        return (*decisions, _left_alone(situation, policies, open_one))
    if open_one and (yielded := _yields(situation, policies, open_one)):
        return (*decisions, yielded)
    first = open_one.policy if open_one else ""
    for policy in policies:
        if open_one and policy.name == open_one.policy:
            answer: Decision | None = _go_on(situation, policy, open_one)
        else:
            answer = _consider(situation, policy, first)
            if answer and not first and _holds_the_subject(answer):
                first = policy.name
        if (
            answer
            and answer.kind is Kind.Remediate
            and any(d.kind is Kind.Remediate for d in decisions)
        ):
            # One write to a subject at a time; the other comes with the next look.
            answer = Decision(
                Kind.Wait,
                policy.name,
                "WriteInProgress",
                "after the hold is released",
                situation.now + timedelta(seconds=1),
            )
        if answer:
            decisions.append(answer)
    return _one_record(tuple(decisions)) if not open_one else tuple(decisions)


def _left_alone(
    situation: Situation, policies: tuple[Policy, ...], recovery: Recovery | None
) -> Decision:
    """Argo CD does not reconcile it: nothing is read from its status, so that nothing is known and
    nothing is done."""
    if recovery is None:
        again, words = situation.now + timedelta(minutes=5), situation.unreconciled
        return Decision(
            Kind.Suppress, NO_POLICY, RECONCILE_SKIPPED, words, again, by=RECONCILE_SKIPPED
        )
    policy = next(p for p in policies if p.name == recovery.policy)
    pause = timedelta(minutes=5)
    no = Refusal(
        RECONCILE_SKIPPED,
        situation.unreconciled,
        pause,
        keeps=True,
        tells=True,
        tells_after=timedelta(),
    )
    return suppress(situation, policy, recovery, no)


NO_POLICY = "(none)"
"""Stands in the place of a policy's name where none was asked."""
YIELDING = ("ManualSync", REMEDY_FORBIDDEN, "ApprovalRequired", "ObserveOnly")
"""Guards behind which a recovery that has done nothing yet gives way to another policy that may
act."""


def _holds_the_subject(answer: Decision) -> bool:
    """Do the policies behind this one have to wait for it?"""
    return answer.kind is Kind.Remediate or (
        answer.kind is Kind.Suppress and answer.by not in YIELDING
    )


def _yields(
    situation: Situation, policies: tuple[Policy, ...], recovery: Recovery
) -> Decision | None:
    """Held back for as long as the owner wants, it must not keep a second illness from being
    cured."""
    waiting = recovery.phase is RecoveryPhase.Suppressed and recovery.reason in YIELDING
    waiting = waiting or (recovery.phase is RecoveryPhase.Stalled and recovery.reason == NO_REMEDY)
    if not waiting or any(acted(step) for step in recovery.steps):
        return None
    for policy in policies:
        if policy.name != recovery.policy:
            answer = _consider(situation, policy, "")
            if answer and answer.kind is Kind.Remediate:
                message = f"suppressed before its first step; superseded by policy {policy.name}"
                return structs.replace(
                    supersede(recovery, "Preempted", message, situation.now), again_at=situation.now
                )
    return None


def _one_record(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """A subject has at most one open recovery: that of the policy that acts, else the first that
    was held back."""
    keeper = next((d for d in decisions if d.kind is Kind.Remediate and d.recovery), None)
    keeper = keeper or next((d for d in decisions if d.recovery), None)
    return tuple(
        d if d is keeper or not d.recovery else structs.replace(d, recovery=None) for d in decisions
    )


def _take_on(situation: Situation) -> Decision | None:
    """Applications are away from home and the Recovery that moved them is gone: one is opened that
    knows of them."""
    kind = situation.about.key.kind
    policy = next(
        (
            p
            for p in situation.policies.policies
            if in_force(p, kind) and p.selector.selects(situation.about)
        ),
        None,
    )
    if policy is None or not situation.freshness.fresh or not situation.enabled:
        return None
    since = min((m.since for m in situation.orphans if m.since), default=situation.now)
    recovery = opened(situation, policy, name_of(situation), since)
    message = (
        f"{len(situation.orphans)} applications run outside their home cluster, and the Recovery"
        " that moved them is gone"
    )
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        reason="OrphansAdopted",
        message=message,
        relocations=situation.orphans,
        attempt=recovery.max_attempts,
    )
    return Decision(
        Kind.Stall,
        policy.name,
        "OrphansAdopted",
        message,
        situation.now + timedelta(seconds=1),
        recovery=recovery,
    )


def _last_will(recovery: Recovery, situation: Situation) -> Policy:
    """The placeholder for a policy that is gone, and applications are away from home on its
    account: it stays until they are back."""
    kind = SubjectType(situation.about.key.kind)
    return Policy(
        recovery.policy, Condition(kind, timedelta(), connection_state=(Connection.Failed,)), ()
    )


def _orphaned(
    situation: Situation, policies: tuple[Policy, ...], recovery: Recovery
) -> Decision | None:
    policy = next((p for p in policies if p.name == recovery.policy), None)
    if recovery.subject.uid != situation.about.uid and not recovery.owed:
        return supersede(
            recovery,
            "SubjectReplaced",
            f"the {situation.about.key.kind} was deleted and recreated",
            situation.now,
        )
    if policy is None:
        return supersede(
            recovery,
            "PolicyRemoved",
            f"policy {recovery.policy} is no longer in force",
            situation.now,
        )
    if not policy.selector.selects(situation.about) and not recovery.owed:
        return supersede(
            recovery, "NotSelected", f"policy {policy.name} no longer selects it", situation.now
        )
    return None


def _consider(situation: Situation, policy: Policy, first: str) -> Decision | None:
    """A policy without a recovery: pending, due, or second."""
    since = situation.sight.clocks.get(policy.condition.symptom)
    if since is None or not policy.selector.selects(situation.about):
        return None
    due = since + policy.condition.duration
    if situation.now < due:
        message = (
            f"{policy.condition} since {since:%H:%M:%S} UTC; acts at {due:%H:%M:%S} if it lasts"
            f" {spell(policy.condition.duration)}"
        )
        return Decision(Kind.Wait, policy.name, "Pending", message, due)
    if first:
        message = f"policy {first} is already recovering it"
        return Decision(Kind.Suppress, policy.name, "AnotherPolicy", message, by=first)
    relapsed = _relapse(situation, policy, since)
    if relapsed is None:
        return begin(situation, policy, opened(situation, policy, name_of(situation), since))
    again = structs.replace(
        relapsed,
        phase=RecoveryPhase.Remediating,
        resolved_at=None,
        healthy_since=None,
        unhealthy_since=since,
    )
    again = structs.replace(again, earliest=earliest(situation, policy, since))
    # People were told that it is over: if it cannot be mended this time, they are called anew.
    again = structs.replace(again, escalated=False, notified_causes=())
    # Whoever heard of it is still owed the end; how long it has been told of is counted anew.
    again = structs.replace(
        again,
        talk=structs.replace(relapsed.talk, first_at=None, last_at=None, paged=0, repeated={}),
    )
    if not _tried(situation, again):
        # Nothing was tried in its last attempt (held back, self-healed): that one does not
        # count.
        again = structs.replace(
            again,
            attempt=again.attempt - 1,
            steps=tuple(s for s in again.steps if s.attempt != again.attempt),
        )
    if again.attempt >= again.max_attempts:
        again = structs.replace(again, attempt=again.max_attempts)
        return advance(situation, policy, again, ())  # nothing left to try: it stalls
    return begin(situation, policy, again)


def _relapse(situation: Situation, policy: Policy, since: datetime) -> Recovery | None:
    for past in reversed(situation.past):
        if past.policy == policy.name and past.phase is RecoveryPhase.Resolved and past.resolved_at:
            # Rolled back, given back, and ill again: that is the next deploy's doing, and a new
            # incident.
            held = isinstance(situation.about, Application) and situation.about.hold is not None
            redeployed = not held and any(
                s.action == "rollback" and s.outcome is StepOutcome.Succeeded for s in past.steps
            )
            return (
                past if since - past.resolved_at <= policy.reset_after and not redeployed else None
            )
    return None


def name_of(situation: Situation) -> str:
    """A subject's next recovery has one name, whoever opens it and by whatever clock: the API
    server refuses a second one.

    It follows from the newest that ended, of which all replicas know.
    """
    about = situation.about
    told = f"{about.key.kind}/{about.uid}/{situation.past[-1].name if situation.past else ''}"
    stem = (
        re.sub(r"[^a-z0-9.]+", "-", re.sub(r"^[a-z+]+://", "", about.name.lower()))[:40].strip("-.")
        or about.key.kind
    )
    return f"{stem}-{hashlib.sha256(told.encode()).hexdigest()[:10]}"


def _go_on(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    actions = situation.pinned if situation.pinned is not None else policy.actions
    record = recovery.running
    still = ailment(policy.condition, situation.about, recovery, situation.now)
    lasting = (
        record is not None and record.index < len(actions) and actions[record.index].traits.lasting
    )
    if not still and lasting and record is not None:
        recovery = structs.replace(recovery, healthy_since=recovery.healthy_since or situation.now)
        return _running(situation, policy, recovery, record, actions)
    if not still:
        return _verify(situation, policy, recovery, actions)
    recovery = structs.replace(recovery, healthy_since=None)
    if record is not None:
        return _running(situation, policy, recovery, record, actions)
    if stays := forgiven(situation, policy, recovery):
        return stays
    if recovery.owed and recovery.phase in (RecoveryPhase.Stalled, RecoveryPhase.Verifying):
        if (
            any(move.phase is RelocationPhase.Home for move in recovery.relocations)
            and policy.actions
        ):
            # It went down again while they were on their way home: those that had arrived are on a
            # dead cluster.
            homeless = tuple(m for m in recovery.relocations if m.phase is not RelocationPhase.Home)
            return begin(
                situation,
                policy,
                structs.replace(
                    recovery, relocations=homeless, max_attempts=recovery.attempt + policy.attempts
                ),
            )
        return away(situation, policy, recovery)
    match recovery.phase:
        case RecoveryPhase.Suppressed | RecoveryPhase.Stalled if _another_cause(
            situation, recovery
        ):
            return _anew(situation, policy, recovery, actions)
        case RecoveryPhase.Stalled if recovery.reason == NO_REMEDY and remedy_left(
            situation, policy, recovery
        ):
            return _anew(situation, policy, recovery, actions)
        case RecoveryPhase.Stalled:
            return stalled(situation, policy, recovery)
        case RecoveryPhase.BackingOff if (
            recovery.next_attempt_at
            and situation.now < recovery.next_attempt_at <= _latest(situation, policy, recovery)
        ):
            return Decision(
                Kind.Wait,
                policy.name,
                recovery.reason,
                recovery.message,
                recovery.next_attempt_at,
                recovery=recovery,
            )
        case RecoveryPhase.BackingOff:
            return begin(situation, policy, recovery)
        case _:
            return advance(situation, policy, recovery, actions)


def _latest(situation: Situation, policy: Policy, recovery: Recovery) -> datetime:
    """No pause that is written down is longer than the policy's: one that ends later was written by
    a clock that was wrong."""
    return situation.now + policy.backoff.pause(recovery.attempt) * 1.5 + timedelta(minutes=1)


def _another_cause(situation: Situation, recovery: Recovery) -> bool:
    """Was it held back, or left to a person, for a cause that is no longer the cause?"""
    finding = situation.finding
    held = recovery.reason == REMEDY_FORBIDDEN and bool(recovery.cause)
    # That nobody can say any more why it is ill is no other cause.
    return (
        finding is not None
        and (held or recovery.reason == NO_REMEDY)
        and finding.what != recovery.cause
    )


def _tried(situation: Situation, recovery: Recovery) -> bool:
    """Did anything go out in its last attempt? A hold of this recovery on the application says so
    where a crash kept it from being noted: the step that says what is owed must not be dropped."""
    app = situation.about
    held = (
        isinstance(app, Application) and app.hold is not None and app.hold.recovery == recovery.name
    )
    return any(acted(step) or (held and step.owes is not None) for step in recovery.in_attempt())


def _anew(
    situation: Situation, policy: Policy, recovery: Recovery, actions: tuple[Step, ...]
) -> Decision:
    """Go through the actions anew: what was left out for the one cause may be the cure of the
    other: the actions are gone through from the first."""
    stalled_one = recovery.phase is RecoveryPhase.Stalled
    if _tried(situation, recovery):
        if stalled_one:
            return begin(
                situation,
                policy,
                structs.replace(
                    recovery, max_attempts=max(recovery.max_attempts, recovery.attempt + 1)
                ),
            )
        return advance(situation, policy, recovery, actions)
    kept = tuple(step for step in recovery.steps if step.attempt != recovery.attempt)
    return begin(
        situation, policy, structs.replace(recovery, attempt=recovery.attempt - 1, steps=kept)
    )


def _verify(
    situation: Situation, policy: Policy, recovery: Recovery, actions: tuple[Step, ...]
) -> Decision:
    now, record = situation.now, recovery.running
    if record is not None:
        step = actions[record.index] if record.index < len(actions) else None
        if not record.sent and _went_out(situation, recovery, record, step):
            record, recovery = _found(recovery, record, step)
        taken_back = record.stage == WITHDRAW and record.reason == "Withdrawn"
        reason = "NotStarted" if taken_back else "Recovered"
        recovery = recovery.with_last(
            ended(record, StepOutcome.Succeeded, reason, f"{policy.condition} no longer", now)
        )
    since = recovery.healthy_since or now
    # Two live copies are told of at once; that the cluster stays well is asked for before anything
    # moves.
    if not record and (recovery.owed or now - since >= policy.healthy_delay):
        recovery = structs.replace(recovery, healthy_since=since)
        return aftercare(situation, policy, recovery) or resolve(
            situation, policy, recovery, actions
        )
    until = since + policy.healthy_delay
    message = (
        f"no longer {policy.condition} since {since:%H:%M:%S} UTC; must stay so for"
        f" {spell(policy.healthy_delay)}"
    )
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Verifying,
        reason="Verifying",
        message=message,
        healthy_since=since,
    )
    return Decision(Kind.Wait, policy.name, "Verifying", message, until, recovery=recovery)


def _running(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    record: StepRecord,
    actions: tuple[Step, ...],
) -> Decision:
    """A step has been started: what became of it?"""
    now = situation.now
    if record.index >= len(actions):
        return _actions_unreadable(situation, policy, recovery, record)
    step = actions[record.index]
    judged = step.traits.judge(record, step, situation)
    if judged.relocations is not None and judged.progress is not Progress.Next:
        recovery = structs.replace(recovery, relocations=judged.relocations)
    if (
        judged.progress is Progress.Next
        and situation.unseen
        and step.traits.destructive
        and not step.traits.lasting
    ):
        # What it is to be judged by again is still to be looked at, as after a restart of this
        # controller.
        judged = StepStatus(Progress.Running, message=situation.unseen, soon=timedelta(seconds=5))
    if not record.sent and judged.progress in (
        Progress.Running,
        Progress.Succeeded,
        Progress.Failed,
    ):
        record, recovery = _found(recovery, record, step)
    match judged.progress:
        case Progress.Running | Progress.InDoubt:
            deadline = record.deadline or (record.claimed_at or record.started_at) + step.settle
            if now < deadline:
                return _settling(situation, policy, recovery, judged, deadline)
            message = f"no effect within {spell(deadline - record.started_at)}" + (
                f": {judged.message}" if judged.message else ""
            )
            over = ended(record, StepOutcome.TimedOut, "TimedOut", message, now)
            recovery = structs.replace(
                recovery, relocations=given_up(recovery.relocations, message[:200])
            )
        case Progress.Again if situation.freshness.fresh and now >= (
            record.deadline or record.started_at + max(step.settle, WRITE_PATIENCE)
        ):
            message = (
                f"not executed within {spell(now - record.started_at)}:"
                f" {record.message or 'no trace of it in the cluster'}"
            )
            over = ended(record, StepOutcome.TimedOut, "NotExecuted", message, now)
        case Progress.Again if (
            situation.freshness.fresh
            and not record.stage
            and (skip := step.traits.fits(step, situation, recovery))
        ):
            over = ended(record, StepOutcome.Skipped, skip.reason, skip.message, now)
        case Progress.Next if (
            skip := _no_longer(situation, policy, recovery, step, judged)
        ) is not None:
            over = ended(record, StepOutcome.Skipped, skip.reason, skip.message, now)
        case Progress.Next | Progress.Again:
            return _again(situation, policy, recovery, record, step, judged)
        case Progress.Succeeded:
            over = ended(record, StepOutcome.Succeeded, judged.reason, judged.message, now)
        case Progress.Failed:
            over = ended(record, StepOutcome.Failed, judged.reason, judged.message, now)
        case Progress.Superseded:
            over = ended(record, StepOutcome.Skipped, judged.reason, judged.message, now)
        case _ as never:
            assert_never(never)
    return _after(situation, policy, recovery, compared(over, situation.about), actions)


def _actions_unreadable(
    situation: Situation, policy: Policy, recovery: Recovery, record: StepRecord
) -> Decision:
    """The policy has changed and the record no longer says what its steps were: what is away from
    home is still owed, and all else is superseded."""
    if not recovery.owed:
        message = "the actions of this attempt can no longer be read"
        return supersede(recovery, "ActionsUnreadable", message, situation.now)
    message = "the start of this attempt can no longer be read"
    lost = ended(record, StepOutcome.Failed, "ActionsUnreadable", message, situation.now)
    relocations = given_up(recovery.relocations, message)
    return away(
        situation, policy, structs.replace(recovery.with_last(lost), relocations=relocations)
    )


def _after(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    over: StepRecord,
    actions: tuple[Step, ...],
) -> Decision:
    """Decide what follows a step that has ended."""
    if over.reason == PLAN_OUTDATED and not over.stage and not recovery.owed:
        # Nothing was tried: it is no attempt, and the next plan is of what there is by now.
        steps = tuple(s for s in recovery.steps if s.attempt != recovery.attempt)
        return begin(
            situation, policy, structs.replace(recovery, attempt=recovery.attempt - 1, steps=steps)
        )
    if recovery.healthy_since is not None:
        # A lasting step came to its end while the subject was well: what is owed next is seen with
        # the next look.
        message = f"{actions[over.index].traits.name} finished: {over.message}"
        kept = structs.replace(
            recovery.with_last(over),
            phase=RecoveryPhase.Verifying,
            reason="Verifying",
            message=message,
        )
        return Decision(
            Kind.Wait,
            policy.name,
            "Verifying",
            message,
            situation.now + timedelta(seconds=1),
            recovery=kept,
        )
    return advance(situation, policy, recovery.with_last(over), actions)


def _no_longer(
    situation: Situation, policy: Policy, recovery: Recovery, step: Step, judged: StepStatus
) -> Skip | None:
    """Why the step's next write is not made although its first one was: what was true then is so no
    more. Its own hold and its own claim are left out; what it takes back or has begun to move is
    finished."""
    app = situation.about
    if step.traits.lasting or judged.stage == WITHDRAW or not isinstance(app, Application):
        return None
    if app.hold is not None and app.hold.recovery == recovery.name:
        app = structs.replace(app, hold=None, auto_sync=app.auto_sync or app.hold.suspended)
    before = structs.replace(recovery, steps=recovery.steps[:-1])
    seen = structs.replace(situation, about=app, recovery=before)
    if skip := step.traits.fits(step, seen, before):
        return skip
    words = objection(seen, policy, step, before)
    return Skip(REMEDY_FORBIDDEN, words) if words else None


def _found(
    recovery: Recovery, record: StepRecord, step: Step | None
) -> tuple[StepRecord, Recovery]:
    """After a crash nobody noted that it went out. What a hold is for hangs on it; and whoever is
    owed word of it hears at the end."""
    record = structs.replace(record, sent=True)
    recovery = recovery.with_last(record)
    return record, (
        recovery.heard_by(DEFAULT_CHANNELS) if step is None or step.traits.destructive else recovery
    )


def _went_out(
    situation: Situation, recovery: Recovery, record: StepRecord, step: Step | None
) -> bool:
    """Is there a trace of it: its operation, taken up or still asked for, or a claim that counts as
    sent?"""
    app, token = situation.about, recovery.token(record)
    written = isinstance(app, Application) and any(
        o is not None and o.recovery == token for o in (app.operation, app.requested)
    )
    counts = (
        step is not None
        and step.traits.counts_as_sent
        and bool(record.stage)
        and record.reason != "Conflict"
    )
    return written or counts


def _settling(
    situation: Situation, policy: Policy, recovery: Recovery, judged: StepStatus, deadline: datetime
) -> Decision:
    again = min(deadline, situation.now + judged.soon) if judged.soon else deadline
    message = recovery.message + (f"; {judged.message}" if judged.message else "")
    recovery = structs.replace(recovery, phase=RecoveryPhase.Remediating)
    return Decision(Kind.Wait, policy.name, "Settling", message, again, recovery=recovery)


def _again(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    record: StepRecord,
    step: Step,
    judged: StepStatus,
) -> Decision:
    """The step's next write, or the same one over because nobody knows whether it went out."""
    hindered = {Result.InDoubt.value: AFTER, Result.Conflict.value: timedelta()}.get(record.reason)
    if (
        judged.progress is Progress.Again
        and hindered is not None
        and situation.now < (due := again_at(record, hindered))
    ):
        return Decision(
            Kind.Wait,
            policy.name,
            record.reason,
            record.message or recovery.message,
            due,
            recovery=recovery,
        )
    stage = judged.stage if judged.progress is Progress.Next else record.stage
    if no := refusal(GuardRequest(situation, policy, step, recovery)):
        return suppress(situation, policy, recovery, no)
    if judged.relocations is not None:
        recovery = structs.replace(
            recovery, relocations=judged.relocations
        )  # whose turn it is: saved with the claim, not before
    claim = claim_on(situation.about)
    if judged.progress is not Progress.Next:
        claim = structs.replace(record.claim, resource_version=claim.resource_version)
    # What is owed is what stood there when the first write was claimed, and no later write changes
    # that. Where nobody knows whether that write went out, its annotation may stand by now: only
    # after a refusal it is reckoned anew.
    known = bool(stage) or (record.owes is not None and record.reason != Result.Conflict.value)
    owes = record.owes if known else step.traits.owes(step, situation, recovery)
    claimed = structs.replace(
        record, claim=claim, stage=stage, sent=False, claimed_at=situation.now, owes=owes
    )
    return remediate(situation, policy, recovery.with_last(claimed), step)


def bereft(recovery: Recovery, now: datetime) -> Decision:
    """The decision on an open recovery whose subject is no longer there."""
    return supersede(recovery, "SubjectDeleted", f"the {recovery.subject.key.kind} is gone", now)
