"""The judgement: one situation in, one decision for each policy out.

Read ``decide`` first: it is the whole rule of precedence. An open recovery is continued; else the
first policy in file order whose condition has lasted opens one; the others wait behind it. What is
the case with one policy is told by ``state.determine``, and what is done then by
``transitions.TRANSITIONS``: the life of a recovery::

    Remediating -> Verifying -> Resolved          a step, its effect, the cure lasting
        |  ^          |
        |  '----------'  relapse: the next step
        |--> BackingOff -> Remediating            an attempt failed: pause, next attempt
        |--> Suppressed -> Remediating            a guard said no: ask again
        '--> Stalled                              out of attempts: manual intervention required
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from recovery.decide.attempt import NO_REMEDY, supersede
from recovery.decide.circuit_breaker import acted
from recovery.decide.conditions import in_force
from recovery.decide.evaluation import Evaluation
from recovery.decide.failover_progress import reconciled
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.holds import settle_hold
from recovery.decide.state import ENDS_THE_PASS, determine
from recovery.decide.transitions import answer
from recovery.model.application import Application
from recovery.model.connection import Cluster, Connection
from recovery.model.decision import Decision, Kind
from recovery.model.policy import Condition, Policy, SubjectType
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.model.situation import Situation

NO_POLICY = "(none)"
"""Stands in the place of a policy's name where none was asked."""
YIELDING = ("ManualSync", REMEDY_FORBIDDEN, "ApprovalRequired", "ObserveOnly")
"""Guards behind which a recovery that has done nothing yet gives way to another policy that may
act."""
SOON = timedelta(seconds=1)


def decide(situation: Situation) -> tuple[Decision, ...]:
    """Judge one subject. Pure: no clock, no I/O; at most one of the decisions is Remediate.

    Policies that are not for this subject, or whose condition does not hold, are left out; no
    decision at all means rest. The order is the file's, a decision on a hold or on a recovery
    without a policy first.
    """
    if isinstance(situation.about, Cluster) and situation.recovery:
        situation = structs.replace(situation, recovery=reconciled(situation.recovery, situation))
    decisions: list[Decision] = []
    if isinstance(situation.about, Application) and (released := settle_hold(situation)):
        decisions.append(released)
    policies = tuple(
        p for p in situation.policies.policies if in_force(p, situation.about.key.kind)
    )
    owner = _owner(situation, policies)
    state = determine(owner) if owner else None
    if owner and state in ENDS_THE_PASS:
        return (*decisions, *filter(None, (answer(owner, state),)))
    if owner and owner.recovery and not owner.in_force:
        policies = (*policies, owner.policy)
    recovered_by = situation.recovery.policy if situation.recovery else None
    for policy in policies:
        if owner and policy.name == recovered_by:
            decision = answer(owner, state)
        else:
            decision = answer(Evaluation(situation, policy, recovered_by=recovered_by))
        if decision is None:
            continue
        if recovered_by is None and _holds_the_subject(decision):
            recovered_by = policy.name
        decisions.append(_in_turn(decision, decisions, situation.now))
    return tuple(decisions) if situation.recovery else _one_record(tuple(decisions))


def _owner(situation: Situation, policies: tuple[Policy, ...]) -> Evaluation | None:
    """The policy whose recovery is open; a placeholder where that policy is gone, for what is owed
    is brought to an end. Without a recovery: whoever takes on what nobody answers for."""
    recovery = situation.recovery
    if recovery is None:
        if situation.unreconciled:
            return Evaluation(situation, _placeholder(NO_POLICY, situation))
        selecting = (p for p in policies if p.selector.selects(situation.about))
        adopter = next(selecting, None) if situation.orphans else None
        return Evaluation(situation, adopter) if adopter else None
    policy = next((p for p in policies if p.name == recovery.policy), None)
    return Evaluation(
        situation,
        policy or _placeholder(recovery.policy, situation),
        recovery,
        in_force=policy is not None,
        preempted_by=_preempted_by(situation, policies, recovery),
    )


def _placeholder(name: str, situation: Situation) -> Policy:
    """A policy without actions, which only a connection that works satisfies."""
    kind = SubjectType(situation.about.key.kind)
    return Policy(name, Condition(kind, timedelta(), connection_state=(Connection.Failed,)), ())


def _holds_the_subject(answer: Decision) -> bool:
    """Do the policies behind this one have to wait for it?"""
    return answer.kind is Kind.Remediate or (
        answer.kind is Kind.Suppress and answer.by not in YIELDING
    )


def _preempted_by(situation: Situation, policies: tuple[Policy, ...], recovery: Recovery) -> str:
    """The policy that may act while this recovery is held back for as long as its owner wants and
    has done nothing: it must not keep a second illness from being cured."""
    waiting = recovery.phase is RecoveryPhase.Suppressed and recovery.reason in YIELDING
    waiting = waiting or (recovery.phase is RecoveryPhase.Stalled and recovery.reason == NO_REMEDY)
    if not waiting or any(acted(step) for step in recovery.steps):
        return ""
    for policy in policies:
        if policy.name != recovery.policy:
            other = answer(Evaluation(situation, policy))
            if other and other.kind is Kind.Remediate:
                return policy.name
    return ""


def _in_turn(decision: Decision, earlier: list[Decision], now: datetime) -> Decision:
    """One write to a subject at a time; the other comes with the next look."""
    if decision.kind is not Kind.Remediate or all(d.kind is not Kind.Remediate for d in earlier):
        return decision
    message = "after the hold is released"
    return Decision(Kind.Wait, decision.policy, "WriteInProgress", message, now + SOON)


def _one_record(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """A subject has at most one open recovery: that of the policy that acts, else the first that
    was held back."""
    keeper = next((d for d in decisions if d.kind is Kind.Remediate and d.recovery), None)
    keeper = keeper or next((d for d in decisions if d.recovery), None)
    return tuple(
        d if d is keeper or not d.recovery else structs.replace(d, recovery=None) for d in decisions
    )


def bereft(recovery: Recovery, now: datetime) -> Decision:
    """The decision on an open recovery whose subject is no longer there."""
    return supersede(recovery, "SubjectDeleted", f"the {recovery.subject.key.kind} is gone", now)
