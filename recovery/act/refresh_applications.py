"""refresh_applications: their repository is back; have Argo CD look at them again, a handful at a
time. Not for policies."""

from __future__ import annotations

from contextlib import suppress

from recovery.act.action import Action, ActionRequest, Clients
from recovery.decide.failover_followups import REFRESH_APPLICATIONS, REFRESHED_AT_ONCE, affected
from recovery.kube.client import APPLICATIONS
from recovery.kube.errors import Conflict, NotFound
from recovery.model.decision import Outcome, Result
from recovery.model.names import REFRESH


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """The annotation on the next few; asking twice is harmless."""
    asked = list(order.record.targets)
    wanted = [app for app in affected(order.situation) if str(app.key) not in asked][
        :REFRESHED_AT_ONCE
    ]
    for app in wanted:
        body = {"metadata": {"uid": app.uid, "annotations": {REFRESH: "normal"}}}
        with suppress(NotFound, Conflict):  # gone, or another one of its name by now
            await doors.kube.patch(APPLICATIONS, app.namespace, app.name, body)
        asked.append(str(app.key))
    return Outcome(
        Result.Sent, "Refreshing", f"asked for {len(asked)} applications", targets=tuple(asked)
    )


REFRESH_APPLICATIONS_ACTION = Action(REFRESH_APPLICATIONS, start)
