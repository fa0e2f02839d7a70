"""Carry out one claimed step: start it, and turn what the doors say into an Outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import structs

from recovery.act.action import Action, ActionRequest, Clients
from recovery.act.fence import fenced
from recovery.clock import Clock
from recovery.kube.errors import Busy, Conflict, KubeError
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.recovery import Recovery
from recovery.model.redact import redact
from recovery.model.situation import Situation
from recovery.model.text import plain

NOTHING = Outcome(Result.Done)
LONGEST_OUTCOME, MAX_TARGETS, LONGEST_TARGET = 1_000, 50, 300
"""Characters of an outcome's words; its targets, and the characters of one."""


class Executor:
    """Starts actions; never waits for their effect."""

    def __init__(
        self,
        actions: Mapping[str, Action],
        doors: Clients,
        barred: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """``barred`` says why nothing may be written for a subject (by UID) at this moment; empty
        when it may."""
        self._actions = actions
        self._doors = doors
        self._barred = barred
        self._clock = clock

    async def carry_out(
        self, situation: Situation, decision: Decision, recovery: Recovery | None
    ) -> Outcome:
        """Start the decision's step; the recovery is the claim as it was saved. Raises nothing a
        door can say."""
        if decision.kind is not Kind.Remediate or decision.step is None:
            return NOTHING
        order = ActionRequest(situation, decision.step, recovery)
        confirmed = self._clock.monotonic()

        def went() -> None:
            nonlocal confirmed
            confirmed = self._clock.monotonic()

        def why(within: float | None) -> str:
            if words := self._barred(situation.about.uid):
                return words
            late = self._clock.monotonic() - confirmed
            return (
                f"{late:.1f}s since it was claimed, and {within:g}s are allowed"
                if within is not None and late > within
                else ""
            )

        try:
            return _plain(
                await self._actions[decision.step.kind.name].start(
                    order, fenced(self._doors, why, went)
                )
            )
        except (Conflict, Busy) as error:
            # Nothing was written. Busy waits like a change does; both are judged anew.
            return Outcome(Result.Conflict, type(error).__name__, redact(str(error), 500))
        except KubeError as error:
            result = Result.InDoubt if error.in_doubt else Result.Failed
            return Outcome(result, type(error).__name__, redact(str(error), 500))


def _plain(outcome: Outcome) -> Outcome:
    """Actions quote what they read: here, whatever it was, it becomes one bounded line."""
    targets = tuple(plain(each, LONGEST_TARGET) for each in outcome.targets[:MAX_TARGETS])
    return structs.replace(
        outcome, message=plain(outcome.message, LONGEST_OUTCOME), targets=targets
    )
