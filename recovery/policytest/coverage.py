"""Coverage of a policy file by its tests."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from recovery.model.policy import Policies
from recovery.policytest.reading import REFUSALS
from recovery.policytest.runner import Reached


class Unreached(Struct, frozen=True):
    """One part of a policy file that no test reached."""

    kind: str
    """policy, condition, action, guard or route."""
    name: str


def unreached(policies: Policies, reached: Iterable[Reached]) -> list[Unreached]:
    """List what no test reached, in the order of the file; guards last."""
    seen = list(reached)
    missed: list[Unreached] = []
    for policy in policies.policies:
        if not any(policy.name in r.conditions for r in seen):
            missed.append(Unreached("condition", f"{policy.name}: {policy.condition}"))
        if not any(policy.name in r.policies for r in seen):
            missed.append(Unreached("policy", policy.name))
        names = dict.fromkeys(step.kind.name for step in policy.actions)
        missed += [
            Unreached("action", f"{policy.name}: {name}")
            for name in names
            if not any((policy.name, name) in r.actions for r in seen)
        ]
    missed += [
        Unreached("route", f"routes[{number}]")
        for number in range(len(policies.notices.routes))
        if not any(number in r.routes for r in seen)
    ]
    refused = {guard for r in seen for guard in r.guards}
    return missed + [Unreached("guard", name) for name in REFUSALS if name not in refused]
