"""Argo Rollouts decides by itself: what it is about is told, and nothing of it is restarted,
synced, taken back or promoted by us."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from recovery.act.registry import ALL_ACTIONS
from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.causes.remedy_matrix import cause_of, loudness, verdict
from recovery.model.application import Health, Sync
from recovery.model.cause import (
    Diagnosis,
    NotifyWhen,
    Observations,
    Remedy,
    UnhealthyResource,
    Verdict,
)
from tests.builders import NOW, an_application

FAILED = 'RolloutAborted: Rollout aborted update to revision 4: Metric "errors" assessed Failed due to failed (1) > failureLimit (0)'
ERROR = 'RolloutAborted: Rollout aborted update to revision 4: Metric "errors" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4)'
INVALID = 'InvalidSpec: The Rollout "cart" is invalid: spec.strategy.canary.steps[0].setWeight: Invalid value: 120'
CRASH = UnhealthyResource(
    "Pod",
    "cart-canary-1",
    "shop",
    "",
    "Degraded",
    "back-off 5m0s restarting failed container",
    "CrashLoopBackOff",
)
TOUCHING = (Remedy.restart, Remedy.sync, Remedy.forced_sync, Remedy.rollback, Remedy.failover)


def found(message: str, health: str, of: Health, *more: UnhealthyResource) -> Diagnosis:
    rollout = UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", health, message)
    app = an_application(health=of, health_since=NOW - timedelta(hours=3))
    finding = diagnose(DiagnosisInput(app, NOW, Observations(NOW, (rollout, *more))))
    assert finding is not None
    return finding


@pytest.mark.parametrize(
    ("message", "health", "of", "cause"),
    [
        (FAILED, "Degraded", Health.Degraded, "AnalysisFailed"),
        (
            "RolloutAborted: Rollout aborted update to revision 4",
            "Degraded",
            Health.Degraded,
            "RolloutAborted",
        ),
        (ERROR, "Degraded", Health.Degraded, "AnalysisError"),
        (INVALID, "Degraded", Health.Degraded, "RolloutInvalid"),
        (
            "more replicas need to be updated",
            "Progressing",
            Health.Progressing,
            "RolloutProgressing",
        ),
        (
            "waiting for all steps to complete",
            "Progressing",
            Health.Progressing,
            "RolloutProgressing",
        ),
        ("InconclusiveAnalysisRun", "Suspended", Health.Suspended, "AnalysisInconclusive"),
        ("CanaryPauseStep", "Suspended", Health.Suspended, "Suspended"),
    ],
)
@pytest.mark.parametrize("more", [(), (CRASH,)], ids=["alone", "with a pod that crashes"])
def test_nothing_that_touches_it_is_right_in_any_phase(
    message: str, health: str, of: Health, cause: str, more: tuple[UnhealthyResource, ...]
) -> None:
    finding = found(message, health, of, *more)

    assert cause in (finding.cause, *finding.also)
    assert [cure for cure in TOUCHING if verdict(finding, cure) is not Verdict.forbidden] == []


def test_a_rollout_that_missed_its_deadline_is_a_failed_rollout_like_any_other() -> None:
    finding = found(
        "ProgressDeadlineExceeded: ReplicaSet has timed out progressing",
        "Degraded",
        Health.Degraded,
    )

    assert finding.cause == "RolloutFailed"


OOM = UnhealthyResource("Pod", "db-0", "shop", "", "Degraded", "", "OOMKilled")
DATABASE = UnhealthyResource(
    "Cluster", "pg", "shop", "postgresql.cnpg.io", "Degraded", "Primary is not ready"
)


@pytest.mark.parametrize(
    ("beside", "named"),
    [(CRASH, "RolloutFailed"), (OOM, "OutOfMemory"), (DATABASE, "DependencyUnhealthy")],
)
@pytest.mark.parametrize(
    ("message", "health", "of"),
    [(FAILED, "Degraded", Health.Degraded), ("more replicas", "Progressing", Health.Progressing)],
)
def test_what_is_ill_beside_a_rollout_is_told_as_loudly_as_ever(
    message: str, health: str, of: Health, beside: UnhealthyResource, named: str
) -> None:
    finding = found(message, health, of, beside)

    assert finding.cause == named
    assert cause_of(finding).tells is NotifyWhen.at_once
    assert loudness(finding.cause, "critical") == "critical"


@pytest.mark.parametrize("health", [Health.Missing, Health.Degraded, Health.Unknown])
def test_a_rollout_on_its_way_hides_nothing_but_progressing(health: Health) -> None:
    decoy = UnhealthyResource(
        "Rollout", "decoy", "shop", "argoproj.io", "Progressing", "more replicas need to be updated"
    )
    foreign = structs.replace(decoy, group="tenant.example")
    app = an_application(health=health, sync=Sync.OutOfSync, operation=None)

    for signs in ((decoy,), (foreign,)):
        finding = diagnose(DiagnosisInput(app, NOW, Observations(NOW, signs)))
        assert finding is None or finding.cause != "RolloutProgressing"


def test_an_abort_after_which_users_are_served_is_told_quietly_and_one_on_its_way_in_passing() -> (
    None
):
    assert loudness("AnalysisFailed", "critical") == loudness("AnalysisError", "high") == "warning"
    assert loudness("AnalysisFailed", "info") == "info"
    assert loudness("RolloutFailed", "critical") == "critical"
    on_its_way = cause_of(
        found("more replicas need to be updated", "Progressing", Health.Progressing)
    )
    assert (on_its_way.tells, on_its_way.loudest) == (NotifyWhen.late, "info")


def test_nothing_here_promotes_resumes_skips_or_retries_a_rollout() -> None:
    assert not [
        name
        for name in ALL_ACTIONS
        if any(word in name for word in ("promote", "resume", "skip", "retry", "abort"))
    ]
