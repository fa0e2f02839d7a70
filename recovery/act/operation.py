"""Writing an operation to an Application: at most once, and never over another one."""

from __future__ import annotations

from typing import Any

from recovery.act.action import CHANGED, ActionRequest, Clients, unchanged
from recovery.decide.operations import WITHDRAW
from recovery.kube.client import APPLICATIONS
from recovery.model.decision import Outcome, Result
from recovery.model.names import INFO, USERNAME

_OVER = ("Succeeded", "Failed", "Error")


def token_of(operation: dict[str, Any] | None) -> str:
    """Which of our steps wrote this operation; empty when it is not ours."""
    for entry in (operation or {}).get("info") or ():
        if entry.get("name") == INFO:
            return str(entry.get("value", ""))
    return ""


def plain(
    fresh: dict[str, Any], revisions: tuple[str, ...], options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """``operation.sync`` as Argo CD's API would write it (server/application/application.go:Sync):
    the application's own source and syncOptions, pinned to these revisions; hooks run, nothing is
    pruned."""
    policy = fresh["spec"].get("syncPolicy") or {}
    sync: dict[str, Any] = {"prune": False, "syncStrategy": {"hook": {}}}
    if "sources" in fresh["spec"]:
        sync["sources"] = fresh["spec"]["sources"]
        if revisions:
            sync["revisions"] = list(revisions)
    else:
        sync["source"] = fresh["spec"].get("source")
        if revisions:
            sync["revision"] = revisions[0]
    if wanted := [*(policy.get("syncOptions") or ()), *options]:
        sync["syncOptions"] = list(dict.fromkeys(wanted))
    return sync


def operation(token: str, sync: dict[str, Any], retry: dict[str, Any] | None) -> dict[str, Any]:
    """``.operation``, with what it is found again by."""
    written: dict[str, Any] = {
        "initiatedBy": {"username": USERNAME},
        "info": [{"name": INFO, "value": token}],
        "sync": sync,
    }
    return {**written, "retry": retry} if retry else written


async def write(
    order: ActionRequest,
    doors: Clients,
    fresh: dict[str, Any],
    sync: dict[str, Any],
    retry: dict[str, Any] | None,
) -> Outcome:
    """Write ``operation.sync``, fenced by the claimed resourceVersion.

    One merge patch sets the operation and clears the last one's state, as Argo CD's own API does
    (util/argo/argo.go:SetAppOperation): a left-over Running state would be resumed in its place.
    Ours, found already there after a crash, is adopted.
    """
    state = (fresh.get("status") or {}).get("operationState") or {}
    if order.token in (token_of(fresh.get("operation")), token_of(state.get("operation"))):
        return Outcome(Result.Sent, "Adopted", "found already written")
    if (
        fresh.get("operation")
        or (state.get("phase") and state["phase"] not in _OVER)
        or not unchanged(order, fresh)
    ):
        return CHANGED
    body = {
        "metadata": {"resourceVersion": order.record.claim.resource_version},
        "operation": operation(order.token, sync, retry),
        "status": {"operationState": None},
    }
    await doors.kube.patch(APPLICATIONS, order.app.namespace, order.app.name, body)
    return Outcome(Result.Sent)


async def withdraw(order: ActionRequest, doors: Clients, fresh: dict[str, Any]) -> Outcome:
    """Take an operation of ours back that Argo CD has not taken up."""
    state = (fresh.get("status") or {}).get("operationState") or {}
    if token_of(state.get("operation")) == order.token:
        return Outcome(Result.Sent, "PickedUp", "Argo CD has started it after all")
    if token_of(fresh.get("operation")) != order.token:
        return Outcome(Result.Sent, "Withdrawn", "it is gone already")
    version = fresh["metadata"]["resourceVersion"]
    await doors.kube.patch(
        APPLICATIONS,
        order.app.namespace,
        order.app.name,
        {"metadata": {"resourceVersion": version}, "operation": None},
    )
    return Outcome(Result.Sent, "Withdrawn", "not taken up in time")


def withdrawing(order: ActionRequest) -> bool:
    """Is this the stage in which the operation is taken back?"""
    return order.record.stage == WITHDRAW
