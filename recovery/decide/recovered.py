"""Is the subject cured? Being ill in another way is not."""

from __future__ import annotations

from datetime import datetime

from recovery.decide.connections import connection
from recovery.model.application import Application, Health, Phase, Sync
from recovery.model.connection import Cluster, Connection, Repository
from recovery.model.policy import Condition
from recovery.model.recovery import Recovery


def ailment(
    condition: Condition,
    about: Application | Repository | Cluster,
    recovery: Recovery,
    now: datetime,
) -> str:
    """Reasons that still speak against a cure, in words; empty when it is cured. Only Successful
    answers a connection_state."""
    if isinstance(about, Application):
        return _ailment(condition, about, recovery)
    state, words = connection(about, now)
    return "" if state is Connection.Successful else f"it is {state.value}: {words}"


def _ailment(condition: Condition, app: Application, recovery: Recovery) -> str:
    """Reasons that still speak against a cure, in words; empty when it is cured.

    Only Healthy answers a health condition and only Synced a sync condition: Progressing, Unknown,
    Missing and Suspended do not, nor does a resource list that has become empty (an unreachable
    cluster looks Healthy that way: argo-cd controller/state.go:CompareAppState, seen on 3.2).
    """
    if recovery.initial_resources and not app.resources:
        return (
            f"its resource list is empty, and had {recovery.initial_resources} entries when it"
            " became unhealthy"
        )
    operation = app.operation
    if app.operating and operation and operation.recovery.startswith(recovery.name + "/"):
        return "our own operation is still running"
    # Gone back on purpose, it is OutOfSync with a revision known to be bad: then health is what
    # counts.
    if condition.status and app.sync is not Sync.Synced and not app.expected_out_of_sync:
        return f"it is {app.sync.value}"
    if (condition.health or app.expected_out_of_sync) and app.health is not Health.Healthy:
        return f"it is {app.health.value}"
    if (
        condition.cause
        and not condition.status
        and not condition.health
        and not app.expected_out_of_sync
    ):
        errors = [c.type for c in app.errors]
        failed = (
            app.sync is not Sync.Synced
            and operation is not None
            and operation.phase in (Phase.Failed, Phase.Error)
        )
        if (
            errors
            or app.operating
            or failed
            or app.health is not Health.Healthy
            or (app.auto_sync and app.sync is not Sync.Synced)
        ):
            return f"it is {app.sync.value} and {app.health.value}" + (
                f", with {', '.join(errors)}" if errors else ""
            )
    if condition.operation and not condition.status and not condition.health:
        in_order = (
            operation is not None
            and operation.phase.over
            and operation.phase not in condition.operation
        )
        if not in_order:
            return (
                f"its operation is {operation.phase.value}"
                if operation
                else "it has had no operation since"
            )
    return ""
