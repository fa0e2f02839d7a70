"""Values for tests, each a good one to begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from recovery.act.all_actions import KINDS
from recovery.model.application import Application, Deploy, Destination, Health, Operation, Phase, Sync
from recovery.model.policy import Policies
from recovery.model.recovery import Recovery, RecoveryPhase, Subject
from recovery.model.situation import Good, Sight, Situation
from recovery.policies import parse

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GOOD, BAD = "a" * 40, "b" * 40


def an_application(**changes: Any) -> Application:
    """Synced and Healthy, auto-sync and self-heal on, deployed ten minutes ago."""
    app = Application(
        namespace="argocd",
        name="cart",
        uid="uid-cart",
        resource_version="10",
        project="shop",
        destination=Destination(server="https://kubernetes.default.svc", namespace="shop"),
        repositories=("https://git.example/cart.git",),
        auto_sync=True,
        self_heal=True,
        sync=Sync.Synced,
        revisions=(GOOD,),
        health=Health.Healthy,
        health_since=NOW - timedelta(minutes=10),
        operation=Operation(
            Phase.Succeeded,
            started_at=NOW - timedelta(minutes=10),
            finished_at=NOW - timedelta(minutes=10),
            revisions=(GOOD,),
            automated=True,
        ),
        deploy=Deploy(3, (GOOD,), NOW - timedelta(minutes=10)),
        history=(1, 2, 3),
        resources=4,
        reconciled_at=NOW - timedelta(minutes=1),
    )
    return structs.replace(app, **changes)


def gave_up(**changes: Any) -> Application:
    """OutOfSync because the sync of the newest revision failed."""
    failed = Operation(
        Phase.Failed,
        "one or more synchronization tasks are not valid",
        started_at=NOW - timedelta(minutes=20),
        finished_at=NOW - timedelta(minutes=20),
        revisions=(BAD,),
        automated=True,
    )
    return an_application(**{"sync": Sync.OutOfSync, "revisions": (BAD,), "operation": failed, **changes})


def degraded(**changes: Any) -> Application:
    """Synced to a bad revision and Degraded since, an older good one in the history."""
    at = NOW - timedelta(minutes=10)
    broken = {
        "health": Health.Degraded,
        "health_since": NOW - timedelta(minutes=9),
        "revisions": (BAD,),
        "operation": Operation(Phase.Succeeded, started_at=at, finished_at=at, revisions=(BAD,), automated=True),
        "deploy": Deploy(4, (BAD,), at),
        "history": (1, 2, 3, 4),
    }
    return an_application(**{**broken, **changes})


def the_policies(text: str = "") -> Policies:
    """The shipped policies, or those of a text."""
    from pathlib import Path

    raw = text.encode() if text else (Path(__file__).parent.parent / "config" / "policies.yaml").read_bytes()
    return parse(raw, KINDS)


def a_situation(app: Application | None = None, *, ill_for: timedelta = timedelta(hours=1), **changes: Any) -> Situation:
    """The shipped policies over one application whose symptoms have lasted."""
    subject = app or an_application()
    policies = changes.pop("policies", None) or the_policies()
    now = changes.pop("now", NOW)
    since = now - ill_for
    clocks = {}
    from recovery.decide.symptoms import holds, in_force

    for policy in policies.policies:
        if in_force(policy) and holds(policy.condition, subject):
            clocks[policy.condition.symptom] = since
    ledger = (Good(3, (GOOD,), NOW - timedelta(hours=2)),)
    sight = changes.pop("sight", None) or Sight(subject.uid, NOW - timedelta(days=1), clocks, ledger=ledger)
    return Situation(now=now, about=subject, sight=sight, policies=policies, **changes)


def a_recovery(name: str, at: datetime, **changes: Any) -> Recovery:
    """A resolved one."""
    subject = Subject("Application", "argocd", name, f"uid-{name}", "default", "in-cluster")
    recovery = Recovery(name, "application-sync-failure", "hash", subject, at, RecoveryPhase.Resolved, reason="Cured", resolved_at=at)
    return structs.replace(recovery, **changes)
