"""Carry out one claimed step: start it, and turn what the doors say into an Outcome."""

from __future__ import annotations

from collections.abc import Mapping

from recovery.act.order import Action, Doors, Order
from recovery.kube.errors import Busy, Conflict, KubeError
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.recovery import Recovery
from recovery.model.redact import redact
from recovery.model.situation import Situation

NOTHING = Outcome(Result.Done)


class Executor:
    """Starts actions; never waits for their effect."""

    def __init__(self, actions: Mapping[str, Action], doors: Doors) -> None:
        self._actions = actions
        self._doors = doors

    async def carry_out(self, situation: Situation, decision: Decision, recovery: Recovery | None) -> Outcome:
        """Start the decision's step; the recovery is the claim as it was saved. Raises nothing a door can say."""
        if decision.kind is not Kind.Remediate or decision.step is None:
            return NOTHING
        order = Order(situation, decision.step, recovery)
        try:
            return await self._actions[decision.step.traits.name].start(order, self._doors)
        except (Conflict, Busy) as error:
            # Nothing was written. Busy waits like a change does; both are judged anew.
            return Outcome(Result.Conflict, type(error).__name__, redact(str(error), 500))
        except KubeError as error:
            result = Result.InDoubt if error.in_doubt else Result.Failed
            return Outcome(result, type(error).__name__, redact(str(error), 500))
