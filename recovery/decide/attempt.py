"""One pass over a policy's actions, and what comes after the last of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from recovery.decide import notifications, remedies
from recovery.decide.approvals import expired
from recovery.decide.circuit_breaker import acted, called_for_it
from recovery.decide.connections import connection
from recovery.decide.failover_progress import summary
from recovery.decide.fingerprint import fingerprint
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import (
    CIRCUIT_OPEN,
    OBSERVE_ONLY,
    REMEDY_FORBIDDEN,
    Refusal,
    barred,
    refusal,
    silenced,
)
from recovery.decide.opening import subject_of
from recovery.decide.operations import claim_on
from recovery.decide.placement import cluster_of
from recovery.model.application import Application
from recovery.model.connection import Cluster
from recovery.model.decision import Decision, Kind
from recovery.model.duration import spell
from recovery.model.move import EXPIRED, RelocationPhase, UserRequest
from recovery.model.policy import Policy, Severity, Step
from recovery.model.recovery import (
    Debt,
    PendingNotification,
    Recovery,
    RecoveryPhase,
    StepOutcome,
    StepRecord,
)
from recovery.model.situation import Situation

NO_REMEDY = "NoRemedyLeft"
NO_REMEDY_AGAIN = timedelta(minutes=1)
"""How soon it is asked again whether a remedy has come: a revision proven good, an owner that lets
it stand."""
TOO_EARLY = "TooEarly"
"""Why an escalation waits for a later attempt: not where no remedy is left."""


def ended(
    record: StepRecord, outcome: StepOutcome, reason: str, message: str, now: datetime
) -> StepRecord:
    """The step with its outcome; what never went out took nothing."""
    debt = record.debt if record.sent or record.stage else Debt.none
    return structs.replace(
        record, ended_at=now, outcome=outcome, reason=reason, message=message[:500], debt=debt
    )


def begin(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    """Start the next attempt with the policy's actions as they are now; the subject may belong
    elsewhere by now."""
    if recovery.subject.uid == situation.about.uid:
        recovery = structs.replace(recovery, subject=subject_of(situation))
    recovery = structs.replace(
        recovery,
        attempt=recovery.attempt + 1,
        actions=tuple(step.written for step in policy.actions),
        policy_hash=policy.hash,
        next_attempt_at=None,
    )
    return advance(situation, policy, recovery, policy.actions)


def advance(
    situation: Situation, policy: Policy, recovery: Recovery, actions: tuple[Step, ...]
) -> Decision:
    """Go to the next action that fits; skip with a reason what does not; stop where a guard says
    no."""
    for index in range(len(recovery.in_attempt()), len(actions)):
        step = actions[index]
        asked = GuardRequest(situation, policy, step, recovery)
        if no := barred(asked):
            return suppress(situation, policy, recovery, no)
        claim = claim_on(situation.about)
        record = StepRecord(
            recovery.attempt,
            index,
            step.kind.name,
            situation.now,
            claim,
            claimed_at=situation.now,
        )
        skip = step.kind.fits(step, situation, recovery)
        if skip and not (skip.reason == TOO_EARLY and not remedy_left(situation, policy, recovery)):
            recovery = recovery.with_step(
                ended(record, StepOutcome.Skipped, skip.reason, skip.message, situation.now)
            )
            continue
        if (
            step.kind.reports
            and _given_up(recovery)
            and not remedy_left(situation, policy, recovery)
        ):
            told = "included in the request for manual intervention"
            recovery = recovery.with_step(
                ended(record, StepOutcome.Skipped, NO_REMEDY, told, situation.now)
            )
            continue
        no = refusal(asked)
        if words := remedies.objection(situation, policy, step, recovery):
            without = recovery.with_step(
                ended(record, StepOutcome.Skipped, REMEDY_FORBIDDEN, words, situation.now)
            )
            if treats_later(situation, policy, actions[index + 1 :], without) or _stood(
                situation, recovery, no
            ):
                recovery = without
                continue
        if no:
            return suppress(situation, policy, recovery, no)
        owes = step.kind.owes(step, situation, recovery)
        record = structs.replace(
            record, owes=owes, debt=Debt.open if owes is not None else Debt.none
        )
        return remediate(situation, policy, recovery.with_step(record), step)
    return _attempt_over(situation, policy, recovery)


def tried(situation: Situation, recovery: Recovery) -> bool:
    """Did anything go out in its last attempt? A hold of this recovery on the application says so
    where a crash kept it from being noted: the step that says what is owed must not be dropped."""
    app = situation.about
    held = (
        isinstance(app, Application) and app.hold is not None and app.hold.recovery == recovery.name
    )
    return any(acted(step) or (held and step.owes is not None) for step in recovery.in_attempt())


def uncounted(recovery: Recovery) -> Recovery:
    """Without its last attempt: nothing was tried in it, so that it does not count."""
    kept = tuple(step for step in recovery.steps if step.attempt != recovery.attempt)
    return structs.replace(recovery, attempt=recovery.attempt - 1, steps=kept)


def treats_later(
    situation: Situation, policy: Policy, rest: tuple[Step, ...], recovery: Recovery
) -> bool:
    """Is there a later step that treats this cause?"""
    return any(
        step.kind.cures(step.parameters)
        and not remedies.objection(situation, policy, step, recovery)
        and not step.kind.fits(step, situation, recovery)
        for step in rest
    )


def remedy_left(situation: Situation, policy: Policy, recovery: Recovery) -> bool:
    """Would one more attempt try anything that the cause allows? What only speaks is no remedy."""
    trial = structs.replace(recovery, attempt=recovery.attempt + 1)
    for index, step in enumerate(policy.actions):
        if not step.kind.cures(step.parameters):
            if not step.kind.speaks:
                # the action matrix does not know it: repositories and clusters have their own
                # guards
                return True
            continue
        skip = step.kind.fits(step, situation, trial)
        words = "" if skip else remedies.objection(situation, policy, step, trial)
        if not skip and not words:
            return True
        why = skip.reason if skip else REMEDY_FORBIDDEN
        record = StepRecord(trial.attempt, index, step.kind.name, situation.now)
        trial = trial.with_step(ended(record, StepOutcome.Skipped, why, words, situation.now))
    return False


def _given_up(recovery: Recovery) -> bool:
    """Was all that this attempt came to left out for its cause?"""
    steps = recovery.in_attempt()
    return (
        bool(steps)
        and any(s.reason == REMEDY_FORBIDDEN for s in steps)
        and all(s.outcome is StepOutcome.Skipped for s in steps)
    )


def _stood(situation: Situation, recovery: Recovery, no: Refusal | None) -> bool:
    """Was it held back for this cause for as long as makes it news, with no remedy left? Then a
    person is called."""
    if no is None or no.by != REMEDY_FORBIDDEN or not no.tells or recovery.suppressed_since is None:
        return False
    same = recovery.reason == REMEDY_FORBIDDEN and recovery.cause == _cause(situation, recovery)
    return same and situation.now - recovery.suppressed_since >= no.tells_after


def _cause(situation: Situation, recovery: Recovery) -> str:
    return situation.finding.what if situation.finding else recovery.cause


def remediate(situation: Situation, policy: Policy, recovery: Recovery, step: Step) -> Decision:
    """Do the step that the recovery's newest record claims."""
    about = situation.about
    if not recovery.evidence:
        seen = about.resources if isinstance(about, Application) else 0
        recovery = structs.replace(
            recovery,
            evidence=notifications.evidence(about, situation.finding),
            initial_resources=seen,
        )
    named = any(action.kind.name == step.kind.name for action in policy.actions)
    why = (
        f"{policy.sentence} (attempt {recovery.attempt} of {recovery.max_attempts})"
        if named
        else f"{about.key} is healthy again"
    )
    message = f"{step}: {why}"
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Remediating,
        cause=situation.finding.what if situation.finding else recovery.cause,
        reason="StepStarted",
        message=message,
        suppressed_since=None,
        suppression_told=False,
        awaiting="",
    )
    return Decision(
        Kind.Remediate,
        policy.name,
        "StepStarted",
        message,
        situation.now + step.settle,
        recovery=recovery,
        step=step,
    )


def suppress(situation: Situation, policy: Policy, recovery: Recovery, no: Refusal) -> Decision:
    """A guard said no; ask again later, and tell people once if it takes long."""
    now = situation.now
    since = recovery.suppressed_since or now
    again = now + no.again
    # What it was opened for stays, whatever a guard holds back meanwhile: our own terminate shows
    # as another cause.
    cause = (
        _cause(situation, recovery)
        if no.by == REMEDY_FORBIDDEN or not recovery.cause
        else recovery.cause
    )
    if no.by == REMEDY_FORBIDDEN and (
        cause != recovery.cause or recovery.reason != REMEDY_FORBIDDEN
    ):
        since = now  # another cause is other news, once it has stood for a moment
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Suppressed,
        cause=cause,
        reason=no.by,
        message=f"suppressed by {no.by}: {no.message}",
        suppressed_since=since,
        awaiting=no.awaiting,
    )
    if no.by in (OBSERVE_ONLY, CIRCUIT_OPEN):
        recovery = structs.replace(recovery, observe_only=True)
    if no.tells and now - since < no.tells_after:
        again = min(again, since + no.tells_after)
    elif no.tells and no.by != REMEDY_FORBIDDEN and not recovery.suppression_told:
        note = notifications.held_back(situation, recovery, no.by, no.message, policy.channels)
        recovery = structs.replace(called(recovery, note), suppression_told=True)
    for late in expired(recovery, no.awaiting, now) if no.by == "ApprovalRequired" else ():
        recovery = _expired(situation, policy, recovery, late)
    kept = recovery if no.keeps or recovery.version else None
    return Decision(
        Kind.Suppress, policy.name, "Suppressed", no.message, again, by=no.by, recovery=kept
    )


def _expired(
    situation: Situation, policy: Policy, recovery: Recovery, late: UserRequest
) -> Recovery:
    """An approval came too late, or what it was for could not be done in time: whoever gave it
    believes it is done."""
    requests = tuple(
        structs.replace(w, type=EXPIRED) if w == late else w for w in recovery.requests
    )
    return called(
        structs.replace(recovery, requests=requests),
        notifications.approval_expired(situation, recovery, late, policy.channels),
    )


def _attempt_over(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    if recovery.owed and isinstance(situation.about, Cluster):
        return away(situation, policy, recovery)
    if not policy.actions:
        message = f"policy {policy.name} is no longer in force; nothing is left to undo"
        return supersede(recovery, "PolicyRemoved", message, situation.now)
    if (recovery.escalated or _given_up(recovery)) and not remedy_left(situation, policy, recovery):
        return _no_remedy(situation, policy, recovery)
    if recovery.attempt >= recovery.max_attempts:
        last = GuardRequest(situation, policy, policy.actions[-1], recovery)
        if no := barred(last) or silenced(last):
            return suppress(situation, policy, recovery, no)
        return _stall(situation, policy, recovery)
    pause = policy.backoff.pause(recovery.attempt)
    next_attempt_at = situation.now + pause
    message = (
        f"attempt {recovery.attempt} of {recovery.max_attempts} failed"
        f" ({notifications.done(recovery)}); the next one in {spell(pause)}"
    )
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.BackingOff,
        reason="AttemptFailed",
        message=message,
        next_attempt_at=next_attempt_at,
    )
    return Decision(
        Kind.Wait, policy.name, "AttemptFailed", message, next_attempt_at, recovery=recovery
    )


def _no_remedy(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    """The cause leaves nothing that the policy could do: it is a person's, however many attempts
    are left. Each cause is told once."""
    last = GuardRequest(situation, policy, policy.actions[-1], recovery)
    if no := barred(last) or silenced(last):
        return suppress(situation, policy, recovery, no)
    cause = _cause(situation, recovery)
    forbidden = (
        s.message
        for s in recovery.in_attempt()
        if s.outcome is StepOutcome.Skipped and s.reason == REMEDY_FORBIDDEN
    )
    why = next(forbidden, notifications.done(recovery))
    told = tuple(dict.fromkeys((*recovery.notified_causes, cause.partition("/")[0])))
    evidence = recovery.evidence or notifications.evidence(situation.about, situation.finding)
    by_step = any(
        s.action == "escalate" and s.outcome is StepOutcome.Succeeded for s in recovery.in_attempt()
    )
    if told != recovery.notified_causes:
        recovery = structs.replace(
            recovery, cause=cause, evidence=evidence, escalated=True, notified_causes=told
        )
        if not by_step and not called_for_it(situation.past, situation.now):
            recovery = called(recovery, notifications.incurable(situation, recovery, why, policy))
    message = f"no remedy left; manual intervention required: {why}"
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        cause=cause,
        reason=NO_REMEDY,
        message=message,
        suppressed_since=None,
        stalled_times=(*recovery.stalled_times, situation.now)[-10:],
        fingerprint=fingerprint(situation.about),
    )
    return Decision(
        Kind.Stall,
        policy.name,
        NO_REMEDY,
        message,
        situation.now + NO_REMEDY_AGAIN,
        recovery=recovery,
    )


def _stall(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    message = (
        f"no remedy left after {recovery.attempt} attempts ({notifications.done(recovery)}); "
        "manual intervention required"
    )
    if not recovery.escalated:
        channels = policy.channels
        note = notifications.escalated(
            situation, recovery, severity=Severity.critical.value, channels=channels
        )
        recovery = structs.replace(called(recovery, note), escalated=True)
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        reason="RetriesExceeded",
        message=message,
        stalled_times=(*recovery.stalled_times, situation.now)[-10:],
        fingerprint=fingerprint(situation.about),
    )
    return Decision(Kind.Stall, policy.name, "RetriesExceeded", message, recovery=recovery)


def resolve(
    situation: Situation, policy: Policy, recovery: Recovery, actions: tuple[Step, ...]
) -> Decision:
    """Cured for long enough: skip the remaining remedies, run the reports, tell whoever was
    told."""
    now = situation.now
    reported: tuple[str, ...] = ()
    for index in range(len(recovery.in_attempt()), len(actions)):
        step = actions[index]
        if (
            step.kind.reports
            and getattr(step.parameters, "when", "always") != "failure"
            and _may_speak(situation, policy, step, recovery)
        ):
            reported += (
                tuple(step.parameters.channels)
                or policy.channels
                or (notifications.DEFAULT_CHANNELS,)
            )
            record = StepRecord(recovery.attempt, index, step.kind.name, now, sent=True)
            recovery = recovery.with_step(
                ended(record, StepOutcome.Succeeded, "Notified", "recovery notified", now)
            )
    if reported or recovery.told:
        # Whoever heard of it hears of the end; the policy's reports go out in any case.
        recovery = recovery.with_notes(
            notifications.resolved(situation, recovery, tuple(dict.fromkeys(reported)))
        )
    took = spell(now - (recovery.unhealthy_since or recovery.opened_at))
    lasted = f"{notifications.standing(situation)} for {spell(policy.healthy_delay)}"
    message = f"{lasted}; it was unhealthy for {took}"
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Resolved,
        reason="Recovered",
        message=message,
        resolved_at=now,
        next_attempt_at=None,
    )
    return Decision(Kind.Resolve, policy.name, "Recovered", message, recovery=recovery)


def supersede(recovery: Recovery, reason: str, message: str, now: datetime) -> Decision:
    """Overtaken by events: close it. Who was told of it is told that nothing more is done."""
    record = recovery.running
    if record is not None:
        recovery = recovery.with_last(ended(record, StepOutcome.Skipped, reason, message, now))
    if recovery.told or recovery.talk.heard:
        note = PendingNotification(
            f"{recovery.name}/resolve",
            f"{recovery.subject}: {message}"[:250],
            message,
            "info",
            resolves=True,
        )
        recovery = recovery.with_notes(note)
    recovery = structs.replace(
        recovery, phase=RecoveryPhase.Superseded, reason=reason, message=message, resolved_at=now
    )
    return Decision(Kind.Resolve, recovery.policy, reason, message, recovery=recovery)


def _may_speak(situation: Situation, policy: Policy, step: Step, recovery: Recovery) -> bool:
    return refusal(GuardRequest(situation, policy, step, recovery)) is None


def called(recovery: Recovery, note: PendingNotification) -> Recovery:
    """With this message to send, and its channels owed the resolve."""
    return recovery.with_notes(note).heard_by(*(note.channels or (notifications.DEFAULT_CHANNELS,)))


def away(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    """Failed over, and the cluster is still down: nothing more to do here, and a person has to
    repair it."""
    cluster = cluster_of(situation)
    _, words = connection(cluster, situation.now)
    message = (
        f"failed over ({summary(recovery.relocations)}); {cluster.name} is still down and must"
        f" be repaired: {words}"
    )
    reason = (
        "FailedOver"
        if any(m.phase is RelocationPhase.Moved for m in recovery.relocations)
        else "FailoverFailed"
    )
    news = recovery.reason != reason
    if news:
        recovery = called(
            recovery, notifications.failed_over(situation, recovery, message, policy.channels)
        )
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        reason=reason,
        message=message if news else recovery.message,
        healthy_since=None,
        next_attempt_at=None,
        fingerprint=fingerprint(cluster),
    )
    return Decision(Kind.Stall, policy.name, reason, message, recovery=recovery)


def undertake(situation: Situation, policy: Policy, recovery: Recovery, step: Step) -> Decision:
    """Do a step that is no action of the policy, in the place of the next one: those come after
    it."""
    index = len(recovery.in_attempt())
    actions = (*recovery.actions[:index], step.written, *recovery.actions[index:])
    record = StepRecord(
        recovery.attempt,
        index,
        step.kind.name,
        situation.now,
        claim_on(situation.about),
        claimed_at=situation.now,
    )
    return remediate(
        situation, policy, structs.replace(recovery, actions=actions).with_step(record), step
    )
