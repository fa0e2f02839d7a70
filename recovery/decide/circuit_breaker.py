"""Has a policy done more harm than good lately, or no good at all? Of its last ten actions, two
that were undone or made it worse are too many, and so are three subjects of a project within an
hour that it did not help."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct, structs

from recovery.model.application import Application, Health
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord

LAST, TOO_MANY = 10, 2
WORSE = "Worsened"
REVERTED = "Reverted"
RESTART_UNDONE = "RestartReverted"
"""Why a restart is left out: a person took the last one back."""
BY_PEOPLE = frozenset({"OwnerReverted", "HoldReleased", RESTART_UNDONE})
"""Reasons of steps that say so themselves."""
_TALK = frozenset({"notify", "escalate"})
_REPLACES = frozenset({"restart", "rollback", "failover"})
_HARMLESS = frozenset({"refresh", "terminate"})
_NOT_DONE = frozenset({"NotExecuted", "NotStarted", "HoldReleased", "OwnerReverted"})
"""Reasons of steps whose effect was never tried."""
SUBJECTS, SUBJECTS_EVERYWHERE, OPENING_PROJECTS = 3, 5, 3
"""So many subjects of one project within an hour, or so many of so many projects, that it did not
help open the circuit."""
REPEATED = 3
"""From the next recovery of a day on, nothing is tried any more."""
TRUST_WINDOW, DAY = timedelta(hours=1), timedelta(days=1)
OPEN_FOR = timedelta(hours=4)
"""After its newest fruitless step an open circuit lets one try again."""
_RANK = {
    Health.Healthy: 0,
    Health.Suspended: 0,
    Health.Progressing: 1,
    Health.Unknown: 1,
    Health.Degraded: 2,
    Health.Missing: 3,
}


def compared(record: StepRecord, about: object) -> StepRecord:
    """An ended step, marked when the application is worse than when it began."""
    before = record.claim.health
    if (
        not isinstance(about, Application)
        or not before
        or not record.sent
        or record.outcome is StepOutcome.Skipped
    ):
        return record
    was, now = _RANK[Health(before)], _RANK[about.health]
    return (
        structs.replace(record, review=WORSE)
        if now > was and now >= _RANK[Health.Degraded]
        else record
    )


def undone(recovery: Recovery, why: str) -> Recovery:
    """Mark the newest effect of it: it was taken back by a person."""
    mine = next((s for s in reversed(recovery.steps) if acted(s)), None)
    steps = tuple(
        structs.replace(s, review=REVERTED, message=f"{s.message}; {why}"[:500]) if s is mine else s
        for s in recovery.steps
    )
    return structs.replace(recovery, steps=steps)


def acted(step: StepRecord) -> bool:
    """Did this step write more than a message?"""
    return step.sent and step.outcome is not StepOutcome.Skipped and step.action not in _TALK


def bearing(recovery: Recovery | None) -> tuple[object, ...]:
    """Everything about a recovery that circuits hang on; empty where nothing does."""
    if recovery is None:
        return ()
    steps = tuple(step for step in recovery.steps if step.ended_at is not None and acted(step))
    return (steps, recovery.phase, recovery.attempt) if steps else ()


def regretted(step: StepRecord) -> str:
    """``Reverted``, ``Worsened``, or empty for neither."""
    return step.review or (REVERTED if step.reason in BY_PEOPLE else "")


def taken_back(recoveries: Iterable[Recovery], deployed: str) -> tuple[StepRecord, Recovery] | None:
    """The newest action that was done to this application at this very revision and undone by a
    person since: the newest."""
    for recovery in reversed(tuple(recoveries)):
        for step in reversed(recovery.steps):
            at = (
                step.owes.bad[0] if step.owes is not None and step.owes.bad else step.claim.revision
            )
            if deployed and at == deployed and regretted(step) == REVERTED:
                return step, recovery
    return None


def trust_key(policy: str, policy_hash: str, project: str) -> str:
    """The key under which a policy's record in one project is kept under."""
    return f"{policy}/{policy_hash}/{project}"


def fruitless(step: StepRecord) -> bool:
    """Did it replace or move what runs, and not help? A refresh before a sync that helped is none
    of these."""
    useless = (
        step.outcome in (StepOutcome.Failed, StepOutcome.TimedOut) and step.reason not in _NOT_DONE
    )
    return acted(step) and step.action in _REPLACES and useless


def in_vain(step: StepRecord, recovery: Recovery) -> bool:
    """Was it all for nothing? Not while the attempt goes on, and not where a later step of it
    helped: a restart that fails before the rollback that cures is how a policy is meant."""
    if not fruitless(step):
        return False
    later = recovery.steps[recovery.steps.index(step) + 1 :]
    if any(acted(s) and s.outcome is StepOutcome.Succeeded for s in later):
        return False
    tried = (
        RecoveryPhase.BackingOff,
        RecoveryPhase.Stalled,
        RecoveryPhase.Resolved,
        RecoveryPhase.Superseded,
    )
    return step.attempt < recovery.attempt or recovery.phase in tried


class Circuit(Struct, frozen=True):
    """Why a policy only watches, in one project or (``*``) in all, since when, and until when by
    itself."""

    words: str
    since: datetime
    until: datetime | None = None
    """None: until the policy is edited."""


ALL_PROJECTS = "*"
"""Stands for every project in a circuit's key."""


def circuits(recoveries: Iterable[Recovery]) -> dict[str, Circuit]:
    """Policies that had better only watch, with the numbers that say so: by name, hash and project,
    as ``name/hash/project``.

    What a project's people took back, and what did not help there, counts in their project and
    nowhere else; what belongs to none (clusters) counts together. What did not help in several
    projects, on several subjects, is nobody's own: the policy watches in all of them. A policy that
    was edited since begins anew: its hash is another one.
    """
    by_policy: dict[str, list[tuple[StepRecord, Recovery]]] = {}
    for recovery in recoveries:
        for step in recovery.steps:
            if acted(step) and step.ended_at is not None:
                by_policy.setdefault(
                    trust_key(recovery.policy, recovery.policy_hash, recovery.subject.project), []
                ).append((step, recovery))
    found: dict[str, Circuit] = {}
    everywhere: dict[str, list[tuple[StepRecord, Recovery]]] = {}
    for key, steps in by_policy.items():
        last = sorted(steps, key=lambda each: each[0].started_at)[-LAST:]
        bad = [
            f"{s.action} of {r.subject} ({regretted(s)}, {r.name})" for s, r in last if regretted(s)
        ]
        if len(bad) >= TOO_MANY:
            newest = max(s.ended_at or s.started_at for s, _ in last if regretted(s))
            words = (
                f"{len(bad)} of its last {len(last)} actions were reverted by people or made it"
                f" worse: {', '.join(bad[-3:])}"
            )
            found[key] = Circuit(words, newest)
        elif circuit := _in_vain(steps, SUBJECTS, 1):
            found[key] = circuit
        everywhere.setdefault(key.rpartition("/")[0] + f"/{ALL_PROJECTS}", []).extend(steps)
    for key, steps in everywhere.items():
        if circuit := _in_vain(steps, SUBJECTS_EVERYWHERE, OPENING_PROJECTS):
            found[key] = circuit
    return found


def _in_vain(
    steps: list[tuple[StepRecord, Recovery]], subjects: int, projects: int
) -> Circuit | None:
    """Within an hour, so many subjects of so many projects that it did not help."""
    useless = sorted(
        ((s.ended_at, s, r) for s, r in steps if in_vain(s, r) and s.ended_at is not None),
        key=lambda each: each[0],
    )
    for newest, _, _ in reversed(useless):
        hour = [(s, r) for at, s, r in useless if newest - TRUST_WINDOW <= at <= newest]
        whom = {r.subject.uid: r.subject for _, r in hour}
        if (
            len(whom) >= subjects
            and len({subject.project for subject in whom.values()}) >= projects
        ):
            tried = ", ".join(sorted({s.action for s, _ in hour}))
            named = ", ".join(sorted(map(str, whom.values()))[:3])
            words = (
                f"{tried} did not help {len(whom)} subjects within an hour (limit"
                f" {subjects - 1}): {named}"
            )
            return Circuit(words, newest, newest + OPEN_FOR)
    return None


def repeated(past: Iterable[Recovery], now: datetime) -> str:
    """Why nothing is tried once more: a remedy that has to be repeated is none. Empty when it was
    not repeated too often."""
    lately = [
        r
        for r in past
        if now - r.opened_at <= DAY and any(acted(s) and s.action not in _HARMLESS for s in r.steps)
    ]
    if len(lately) < REPEATED:
        return ""
    done = ", ".join(
        sorted(
            {s.action for r in lately for s in r.steps if acted(s) and s.action not in _HARMLESS}
        )
    )
    return (
        f"{done} was done for it in {len(lately)} recoveries within a day ({lately[-1].name}), and"
        " it became unhealthy again each time"
    )


def called_for_it(past: Iterable[Recovery], now: datetime) -> bool:
    """Has a person been called today already because its remedy has to be repeated?"""
    known = tuple(past)
    return bool(repeated(known, now)) and any(
        r.escalated and any(now - at <= DAY for at in r.stalled_times) for r in known
    )
