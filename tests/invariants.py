"""What is true at every moment, whoever acts between two of our writes. In plain words, each with
the function that looks.

1. Auto-sync is never off on our account without a debt on record.
2. No operation of ours deploys what we called bad: a revision, with the sources it had then.
3. Nothing that runs is replaced without a look that is newer than the application's last change.
4. No more steps in a row are without use than the policy has attempts.
5. What was taken is given back within a bound once its reason is gone.
"""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any

import msgspec

from recovery.act.workloads import RESTARTED_AT
from recovery.app import App
from recovery.decide.circuit_breaker import fruitless
from recovery.kube.client import APPLICATIONS, Body, Resource
from recovery.model.recovery import Debt, Recovery
from recovery.simulate.environment import EmbeddedEnvironment

BOUND = timedelta(hours=1)
"""Within so long everything is given back."""
OWNED = "gitops-recovery-controller"


class Auditor:
    """Hears of each of our writes before it is made; ``broken`` says what was not true."""

    def __init__(self, world: EmbeddedEnvironment) -> None:
        self.world = world
        self.app: App | None = None
        self.broken: list[str] = []

    def hears(self, verb: str, what: Resource, args: tuple[Any, ...]) -> None:
        """One write of the controller's."""
        body: Body = args[-1] if args and isinstance(args[-1], dict) else {}
        if verb != "patch":
            return
        if what == APPLICATIONS:
            self.never_off_without_a_debt(args[1], body)
            self.never_a_revision_that_was_called_bad(args[1], body)
        if RESTARTED_AT in str(body) or (what == APPLICATIONS and _suspends(body)):
            self.never_without_a_newer_look(args[1], what)

    def never_off_without_a_debt(self, name: str, body: Body) -> None:
        """1. The record says what is owed before auto-sync is switched off."""
        if _suspends(body) and not any(
            s.debt is Debt.open for r in self._of(name) for s in r.steps
        ):
            self.broken.append(f"auto-sync of {name} is switched off, and no record owes it")

    def never_a_revision_that_was_called_bad(self, name: str, body: Body) -> None:
        """2. Not while the debt stands: what ends it is a person, or the application's own
        change."""
        sync = (body.get("operation") or {}).get("sync") or {}
        revision = sync.get("revision", "")
        made_from = zlib.crc32(
            msgspec.json.encode(sync.get("source") or self.world.raw(name)["spec"]["source"])
        )
        for owed in (r.debt.owes for r in self._of(name) if r.debt is not None and r.debt.owes):
            if revision in owed.bad and owed.source in (0, made_from):
                self.broken.append(f"{name}: {revision[:7]} was called bad, and is deployed by us")

    def never_without_a_newer_look(self, name: str, what: Resource) -> None:
        """3. A restart and the first write of a rollback: by our own clock, the look is newer than
        the last change that was seen."""
        store = self.app.store if self.app is not None else None
        if store is None:
            return
        owner = name if what == APPLICATIONS else name.partition("--")[0]
        uid = self.world.raw(owner)["metadata"]["uid"]
        signs, turned = store.signs.get(uid), store.turned.get(uid)
        if signs is None or (turned is not None and signs.at < turned):
            self.broken.append(
                f"{owner} is touched on a look of {signs.at if signs else 'nobody'}, and it changed at {turned}"
            )

    def _of(self, name: str) -> list[Recovery]:
        return [r for r in self.world.recoveries() if r.subject.name == name]

    def at_the_end(self, names: tuple[str, ...], attempts: int) -> list[str]:
        """4 and 5, when all reasons are gone for longer than the bound."""
        found = list(self.broken)
        for recovery in self.world.recoveries():
            row = longest = 0
            for step in recovery.steps:
                row = (
                    row + 1
                    if fruitless(step)
                    else 0
                    if step.sent and step.outcome and step.outcome.value == "Succeeded"
                    else row
                )
                longest = max(longest, row)
            # A restart and the rollback after it are one attempt; what has stalled begins anew for
            # another failure, hours later.
            if longest > 2 * attempts * (1 + len(recovery.stalled_times)):
                found.append(f"{recovery.name}: {longest} steps in a row were without use")
            if recovery.debt is not None and recovery.subject.name in names:
                found.append(
                    f"{recovery.name} still owes {recovery.subject.name} what it took ({recovery.debt.debt.value})"
                )
        for name in names:
            automated = (self.world.raw(name)["spec"].get("syncPolicy") or {}).get(
                "automated"
            ) or {}
            if automated.get("enabled") is False:
                found.append(f"auto-sync of {name} is still off")
        return found


def _suspends(body: Body) -> bool:
    automated = ((body.get("spec") or {}).get("syncPolicy") or {}).get("automated")
    return (
        isinstance(automated, dict)
        and automated.get("enabled") is False
        and OWNED not in msgspec.json.encode(body).decode()
    )
