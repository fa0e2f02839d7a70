"""Real texts, each put where Argo CD shows it, and the cause that people found behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from recovery.causes.case import DiagnosisInput
from recovery.causes.catalogue import BY_NAME
from recovery.causes.diagnose import diagnose
from recovery.causes.remedy_matrix import verdict
from recovery.model.application import (
    Application,
    Condition,
    Health,
    Operation,
    Phase,
    Requested,
    Sync,
)
from recovery.model.cause import Diagnosis, Observations, Remedy, UnhealthyResource, Verdict
from tests.builders import BAD, NOW, an_application

HELD_OUT = Path(__file__).parent / "held_out.yaml"


class Sample(Struct, frozen=True):
    """One text, where it stands, and what it means."""

    id: str
    source: str
    cause: str
    where: str
    message: str
    type: str = ""
    phase: str = ""
    kind: str = ""
    reason: str = ""


def samples(path: Path = HELD_OUT) -> list[Sample]:
    import msgspec

    return msgspec.convert(yaml.safe_load(path.read_text()), list[Sample])


def patient(sample: Sample) -> DiagnosisInput:
    """An application that shows this text and nothing else."""
    ill: dict[str, Any] = {"sync": Sync.OutOfSync, "revisions": (BAD,)}
    signs = None
    if sample.where == "condition":
        unknown = sample.type in ("ComparisonError", "InvalidSpecError", "UnknownError")
        ill |= {
            "sync": Sync.Unknown if unknown else Sync.OutOfSync,
            "conditions": (Condition(sample.type, sample.message),),
            "operation": None,
        }
        if sample.type.endswith("Warning"):
            ill |= {"sync": Sync.OutOfSync if sample.cause == "DriftFight" else Sync.Synced}
    elif sample.where == "operation":
        ill["operation"] = _operation(sample, message=sample.message)
    elif sample.where == "resource":
        told = f"{sample.kind or 'Thing'}/x: {sample.message}"
        ill["operation"] = _operation(
            sample, message="one or more objects failed to apply", failures=(told,)
        )
    else:
        ill = {"health": Health.Degraded}
        signs = Observations(
            NOW,
            (
                UnhealthyResource(
                    sample.kind,
                    "x",
                    health="Degraded",
                    message=sample.message,
                    reason=sample.reason,
                ),
            ),
        )
    if sample.phase == "Running":
        ill["requested"] = Requested(automated=True)
    app: Application = an_application(**ill)
    return DiagnosisInput(app, signs=signs)


def _operation(sample: Sample, **more: Any) -> Operation:
    phase = Phase(sample.phase or "Failed")
    over = NOW if phase.over or "Retrying" in sample.message else None
    return Operation(
        phase, started_at=NOW, finished_at=over, revisions=(BAD,), automated=True, **more
    )


class Scored(Struct, frozen=True):
    """What was made of a sample."""

    sample: Sample
    finding: Diagnosis | None

    @property
    def right(self) -> bool:
        """Named as the cause, or as one of several."""
        named = (self.finding.cause, *self.finding.also) if self.finding else ()
        return self.sample.cause in named

    @property
    def wrong_cures(self) -> tuple[Remedy, ...]:
        """Cures that it would let pass and that the true cause forbids."""
        true = BY_NAME[self.sample.cause]
        # Whatever variant the text is of: what every one of them forbids.
        tables = [true.matrix | true.variants.get(v, {}) for v in ("", *true.variants)]
        forbidden = [cure for cure in Remedy if all(t[cure] is Verdict.forbidden for t in tables)]
        if self.finding is None:
            return ()
        passing = (Verdict.allowed, Verdict.once)
        return tuple(cure for cure in forbidden if verdict(self.finding, cure) in passing)


def score(found: list[Sample]) -> list[Scored]:
    return [Scored(sample, diagnose(patient(sample))) for sample in found]


def table(scored: list[Scored]) -> str:
    """The score, and what was missed."""
    right, wrong = sum(s.right for s in scored), sum(bool(s.wrong_cures) for s in scored)
    missed = [
        f"  {s.sample.id}: {s.sample.cause}, taken for {s.finding.what if s.finding else 'nothing'}"
        + (f"; would let pass {', '.join(c.value for c in s.wrong_cures)}" if s.wrong_cures else "")
        for s in scored
        if not s.right or s.wrong_cures
    ]
    return "\n".join(
        [
            f"classified right {right} of {len(scored)}; wrong actions let pass {wrong} of {len(scored)}",
            *missed,
        ]
    )
