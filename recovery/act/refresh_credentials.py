"""refresh_credentials: have the ExternalSecret behind a Secret fetched anew, wait for it, and have
Argo CD try again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients
from recovery.act.check_repository import test
from recovery.decide.backoff import again_at
from recovery.decide.connections import worst
from recovery.decide.notifications import secret_of
from recovery.kube.client import EXTERNAL_SECRETS, EXTERNAL_SECRETS_BETA, Resource
from recovery.kube.errors import Forbidden, NotFound
from recovery.kube.reading import decoded
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.connection import Cluster, Repository, Verdict
from recovery.model.decision import Outcome, Result
from recovery.model.duration import spell
from recovery.model.names import PREFIX
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.redact import redact
from recovery.model.situation import Situation
from recovery.model.timestamps import utc

FORCE_SYNC = "force-sync"
"""Annotation that makes the External Secrets Operator fetch at once, whatever its value is changed
to."""
FOR = PREFIX + "for"
"""Annotation on an ExternalSecret: the repository's URL, or the cluster's name or server, where its
template does not say."""
LOOK_INTERVAL = timedelta(seconds=3)
_USELESS = (Verdict.unreachable, Verdict.dns, Verdict.rate_limited, Verdict.api_partial)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be written under ``parameters``."""


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """New credentials cure refused ones, and nothing else."""
    about = situation.about
    if (
        isinstance(about, Repository | Cluster)
        and (found := worst(about, situation.now)) in _USELESS
    ):
        return Skip("NotCredentials", f"it is {found.value}: new credentials would change nothing")
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:
    """First it is annotated, then looked at until the operator has fetched it."""
    if not record.sent:
        return StepStatus(Progress.Again)
    waited = situation.now - record.started_at
    if record.reason == "Waiting" and waited >= step.settle:
        return StepStatus(
            Progress.Failed,
            "NotRefreshed",
            f"{', '.join(record.targets)} was not refreshed within {spell(step.settle)}:"
            f" {record.message}",
        )
    due = again_at(record, LOOK_INTERVAL)
    if situation.now < due:
        return StepStatus(Progress.Running, message=record.message, soon=due - situation.now)
    number = record.stage.rpartition(" ")[2]
    return StepStatus(Progress.Next, stage=f"look {int(number) + 1 if number.isdecimal() else 1}")


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """Annotate; in the later stages, look."""
    about = order.situation.about
    if not isinstance(about, Repository | Cluster):
        return Outcome(Result.Failed, "NotConnected", "it is neither a repository nor a cluster")
    what, found = await _find(about, doors)
    if found is None:
        kind, where = (
            ("repository", about.url)
            if isinstance(about, Repository)
            else ("cluster", about.server)
        )
        return Outcome(
            Result.Skipped,
            "NoExternalSecret",
            f"no ExternalSecret is for it; a person has to change {secret_of(kind, where, about)}",
        )
    name = str(found["metadata"]["name"])
    if not order.record.stage:
        stamp = f"{order.situation.now:%Y-%m-%dT%H:%M:%S.%fZ}"
        await doors.kube.patch(
            what, doors.home, name, {"metadata": {"annotations": {FORCE_SYNC: stamp}}}
        )
        return Outcome(
            Result.Sent,
            "Waiting",
            f"refresh of ExternalSecret {name} requested",
            targets=(f"ExternalSecret/{name}",),
        )
    return await _look(order, doors, about, found)


async def _look(
    order: ActionRequest, doors: Clients, about: Repository | Cluster, found: dict[str, Any]
) -> Outcome:
    status = found.get("status") or {}
    fetched = utc(status.get("refreshTime"))
    ready: dict[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == "Ready"), {}
    )
    # Whole seconds: an operator's stamp of the same second may be of before.
    if (
        fetched is None
        or fetched <= order.record.started_at.replace(microsecond=0) - timedelta(seconds=1)
        or ready.get("status") != "True"
    ):
        return Outcome(
            Result.Sent,
            "Waiting",
            f"Ready is {ready.get('status', 'unknown')}:"
            f" {redact(str(ready.get('message', '')), 160)}",
        )
    if doors.argocd is None:
        return Outcome(
            Result.Done, "Refreshed", "the Secret is new; Argo CD reads it with its next comparison"
        )
    if isinstance(about, Repository):
        return await test(about, order, doors)
    doors.ways.forget()
    await doors.argocd.invalidate(about.server)
    return Outcome(
        Result.Done, "Refreshed", "the Secret is new, and Argo CD lists the cluster anew"
    )


async def _find(
    about: Repository | Cluster, doors: Clients
) -> tuple[Resource, dict[str, Any] | None]:
    """The ExternalSecret that makes its Secret: by our annotation, by the template's url or server,
    or by the longest credential template (repo-creds) that the URL begins with. No Secret is read
    for that."""
    for what in (EXTERNAL_SECRETS, EXTERNAL_SECRETS_BETA):
        try:
            items = decoded(await doors.kube.list(what, doors.home), dict).get("items") or []
        except NotFound:
            continue
        except Forbidden:
            return what, None
        fitting = sorted(((_fit(item, about), i) for i, item in enumerate(items)), reverse=True)
        return what, items[fitting[0][1]] if fitting and fitting[0][0] else None
    return EXTERNAL_SECRETS, None


def _fit(item: dict[str, Any], about: Repository | Cluster) -> int:
    meta = item.get("metadata") or {}
    words = {about.url, about.name} if isinstance(about, Repository) else {about.server, about.name}
    if (meta.get("annotations") or {}).get(FOR, "") in words:
        return 1_000_000
    template = ((item.get("spec") or {}).get("target") or {}).get("template") or {}
    data = template.get("data") or {}
    kind = ((template.get("metadata") or {}).get("labels") or {}).get(
        "argocd.argoproj.io/secret-type", ""
    )
    url = redact(str(data.get("url", "")), 300)
    if isinstance(about, Cluster):
        return (
            100_000 if kind == "cluster" and {data.get("server"), data.get("name")} & words else 0
        )
    if kind == "repository" and url == about.url:
        return 100_000
    return len(url) if kind == "repo-creds" and url and about.url.startswith(url) else 0


REFRESH_CREDENTIALS = Action(
    ActionKind(
        name="refresh_credentials",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        fits=fits,
        applies_to=frozenset({"repository", "cluster"}),
    ),
    start,
)
