"""The promises of the controller, each judged by what a drill has seen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from msgspec import Struct

from recovery.drill.timeline import Timeline
from recovery.model.duration import spell
from recovery.model.policy import Policy
from recovery.model.recovery import Recovery, RecoveryPhase

NOTICED_WITHIN = timedelta(minutes=1)
"""Beyond the duration of its condition."""


class Promise(Struct, frozen=True):
    """One promise, whether it was kept, and what says so."""

    promise: str
    kept: bool
    evidence: str


class Ending(Struct, frozen=True):
    """How a drill ended."""

    running_images: tuple[str, ...]
    """When the recovery was over."""
    healthy: bool
    taken_away: str
    """Why something of the drill is left; empty when all is gone."""
    observed: bool = False
    """The controller only observes: it says what it would do."""


def judge(
    timeline: Timeline, policies: Iterable[Policy], channels: Iterable[str], ending: Ending
) -> list[Promise]:
    """Every promise in order. ``policies`` are those that select the Application, ``channels``
    those that have to be told."""
    recovery = timeline.recovery
    if recovery is None:
        return [
            Promise("noticed", kept=False, evidence="no recovery was opened for it"),
            _taken_away(ending),
        ]
    policy = next((each for each in policies if each.name == recovery.policy), None)
    return [
        _noticed(timeline, recovery, policy),
        _says_why(recovery),
        _by_policy(recovery, policy),
        _never_forgot(timeline, recovery),
        _ended(recovery, ending),
        _nothing_worse(timeline, recovery, ending),
        _told(recovery, channels, ending),
        _taken_away(ending),
    ]


def _noticed(timeline: Timeline, recovery: Recovery, policy: Policy | None) -> Promise:
    began = timeline.unhealthy_at or recovery.unhealthy_since or recovery.opened_at
    took = max(recovery.opened_at - began, timedelta())
    due = (policy.condition.duration if policy else timedelta()) + NOTICED_WITHIN
    return Promise(
        "noticed in time",
        kept=took <= due,
        evidence=f"{spell(took)} after it became Degraded (at most {spell(due)})",
    )


def _says_why(recovery: Recovery) -> Promise:
    silent = [s.action for s in recovery.steps if s.outcome and not (s.reason or s.message)]
    kept = bool(recovery.cause) and bool(recovery.message) and not silent
    evidence = f"cause {recovery.cause or 'unknown'}; {recovery.message}"
    if silent:
        evidence += f"; no reason for {', '.join(silent)}"
    return Promise("can say why", kept=kept, evidence=evidence)


def _by_policy(recovery: Recovery, policy: Policy | None) -> Promise:
    if policy is None:
        return Promise(
            "only what the policy says", kept=False, evidence=f"{recovery.policy} is not in force"
        )
    named = {step.kind.name for step in policy.actions}
    done = [step.action for step in recovery.steps]
    strange = [action for action in done if action not in named]
    attempts = f"attempt {recovery.attempt} of {recovery.max_attempts}"
    return Promise(
        "only what the policy says",
        kept=not strange and recovery.attempt <= recovery.max_attempts,
        evidence=f"{policy.name}: {', '.join(done) or 'nothing'}; {attempts}"
        + (f"; not in it: {', '.join(strange)}" if strange else ""),
    )


def _never_forgot(timeline: Timeline, recovery: Recovery) -> Promise:
    unclaimed = [s.action for s in recovery.steps if s.sent and s.claimed_at is None]
    strange = list(dict.fromkeys(timeline.strange_operations))
    evidence = f"every write is claimed in {recovery.name}"
    if unclaimed or strange:
        evidence = f"not claimed before it was written: {', '.join([*unclaimed, *strange])}"
    return Promise("knows what it is doing", kept=not unclaimed and not strange, evidence=evidence)


def _ended(recovery: Recovery, ending: Ending) -> Promise:
    if ending.observed:
        return Promise(
            "recovered, or called a person",
            kept=True,
            evidence=f"it only observes: {recovery.message}",
        )
    resolved = recovery.phase is RecoveryPhase.Resolved and ending.healthy
    asked = bool(recovery.awaiting) and recovery.talk.first_at is not None
    called = recovery.needs_person or asked
    evidence = f"{recovery.phase.value}: {recovery.message}"
    if asked:
        evidence = f"a person is asked to approve {recovery.awaiting}"
    return Promise("recovered, or called a person", kept=resolved or called, evidence=evidence)


def _nothing_worse(timeline: Timeline, recovery: Recovery, ending: Ending) -> Promise:
    regretted = [f"{s.action} {s.review}" for s in recovery.steps if s.review]
    back = not timeline.images or set(ending.running_images) == set(timeline.images)
    healthy = recovery.phase is not RecoveryPhase.Resolved or (back and ending.healthy)
    evidence = "what runs is what ran before" if back and ending.healthy else "it was left as it is"
    if regretted:
        evidence = ", ".join(regretted)
    elif not healthy:
        evidence = f"it runs {', '.join(ending.running_images)}, and it was"
        evidence += f" {', '.join(timeline.images)}"
    return Promise("made nothing worse", kept=healthy and not regretted, evidence=evidence)


def _told(recovery: Recovery, channels: Iterable[str], ending: Ending) -> Promise:
    heard = {each.partition("@")[0] for each in recovery.talk.heard}
    missing = [channel for channel in channels if channel not in heard]
    undelivered = "; ".join(recovery.talk.undelivered)
    evidence = f"told {', '.join(sorted(heard)) or 'nobody'}"
    if missing:
        evidence += f"; not {', '.join(missing)}"
    if undelivered:
        evidence += f"; undelivered: {undelivered}"
    kept = ending.observed or (bool(heard) and not missing and not undelivered)
    return Promise("told people", kept=kept, evidence=evidence)


def _taken_away(ending: Ending) -> Promise:
    return Promise(
        "left nothing behind",
        kept=not ending.taken_away,
        evidence=ending.taken_away or "the Application and all that it deployed are gone",
    )
