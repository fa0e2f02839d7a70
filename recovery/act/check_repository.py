"""test_connection: have Argo CD try this one repository (never all at once), or look at this
cluster's evidence again."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients
from recovery.decide.error_classification import of_repository
from recovery.kube.errors import KubeError
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.connection import ProbeResult, ProbeSource, Repository, Verdict
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.redact import redact
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be written under ``parameters``."""


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Argo CD has to be there to be asked."""
    about = situation.about
    if not situation.has_token:
        return Skip(
            "NoToken",
            "only Argo CD can test it with its own credentials, and no Argo CD token is configured",
        )
    if isinstance(about, Repository) and (about.trouble or not about.registered):
        return Skip(
            "NotRegistered",
            about.trouble or "Argo CD has no Secret for it: it reads it without credentials",
        )
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Done with the answer; asking twice is harmless."""
    return (
        StepStatus(Progress.Succeeded, "Reachable", record.message)
        if record.sent
        else StepStatus(Progress.Again)
    )


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """One ls-remote by Argo CD; its answer is the newest evidence there is."""
    about = order.situation.about
    if doors.argocd is None or not isinstance(about, Repository):
        return Outcome(Result.Skipped, "NoToken", "Argo CD cannot be asked")
    return await test(about, order, doors)


async def test(repository: Repository, order: ActionRequest, doors: Clients) -> Outcome:
    """The answer as an Outcome, with the evidence."""
    assert doors.argocd is not None  # noqa: S101 (both callers have looked)
    now = order.situation.now
    try:
        await doors.argocd.test_repository(repository.url, repository.project, repository.type)
    except KubeError as error:
        found = of_repository(error.told) if error.told else Verdict.no_evidence
        words = error.told or redact(str(error), 250)
        seen = ProbeResult(ProbeSource.list_refs, found, now, words)
        return Outcome(
            Result.Failed,
            "".join(part.capitalize() for part in found.value.split()),
            f"{found.value}: {words}",
            evidence=seen,
        )
    seen = ProbeResult(ProbeSource.list_refs, Verdict.reachable, now, "tested just now")
    return Outcome(Result.Done, "Reachable", "Argo CD lists its branches", evidence=seen)


TEST_CONNECTION = Action(
    ActionKind(
        name="test_connection",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        fits=fits,
        applies_to=frozenset({"repository"}),
    ),
    start,
)
