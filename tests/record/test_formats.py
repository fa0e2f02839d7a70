"""What older versions wrote is read; a sample of each format is kept as it was written, and never
rewritten."""

from __future__ import annotations

import base64
import json
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recovery.kube.client import CONFIG_MAPS
from recovery.model.recovery import RecoveryPhase
from recovery.record import checkpoint, codec, v1alpha1
from recovery.record.checkpoint import Checkpoint
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)


def formats(what: str) -> list[int]:
    return sorted(int(re.findall(r"\d+", path.stem)[0]) for path in SAMPLES.glob(f"{what}-*.json"))


def test_there_is_a_sample_of_every_format_up_to_today() -> None:
    assert formats("recovery") == list(range(1, codec.RECORD_FORMAT + 1))
    assert formats("checkpoint") == list(range(1, checkpoint.CHECKPOINT_FORMAT + 1))


@pytest.mark.parametrize("number", formats("recovery"))
def test_a_recovery_of_each_format_is_read_and_goes_on(number: int) -> None:
    read = v1alpha1.upgraded if number == v1alpha1.OLD_FORMAT else codec.decode
    recovery = read((SAMPLES / f"recovery-{number}.json").read_bytes())

    assert (recovery.name, recovery.phase, recovery.attempt, recovery.max_attempts) == (
        "cart-27af9188a8",
        RecoveryPhase.Remediating,
        1,
        3,
    )
    assert str(recovery.subject) == "argocd/cart"
    running = recovery.running
    assert running is not None
    assert (running.action, running.sent, running.claim.resource_version) == ("sync", True, "4712")
    assert recovery.token(running) == "cart-27af9188a8/1.1/1795317120", (
        "what its operation carries is found again"
    )
    assert [(w.type, w.by, w.step) for w in recovery.requests] == [("approve", "ada", "1.1")]
    assert [str(m.target) for m in recovery.owed] == ["secondary"]
    assert [n.key for n in recovery.notes] == ["cart-27af9188a8/notify"]


@pytest.mark.parametrize("number", formats("checkpoint"))
def test_a_checkpoint_of_each_format_is_read(number: int) -> None:
    async def inside() -> dict[str, Any]:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        content = zlib.compress((SAMPLES / f"checkpoint-{number}.json").read_bytes())
        meta = {
            "name": "recovery-checkpoint-0",
            "labels": {checkpoint.CHECKPOINT_LABEL: "true"},
            "annotations": {checkpoint.CHECKPOINT_LABEL: codec.stamp(clock.now())},
        }
        await cluster.create(
            CONFIG_MAPS,
            "gitops-system",
            {"metadata": meta, "binaryData": {"sights": base64.b64encode(content).decode()}},
        )
        return await Checkpoint(cluster, "gitops-system", clock).load()

    (sight,) = virtual.run(inside()).values()

    assert sight.first_seen == NOW - timedelta(days=3)
    assert set(sight.clocks) == {"status=OutOfSync"}
    assert [good.revisions for good in sight.ledger] == [("41c0ffee",)]
    assert sight.reached


def test_what_is_unknown_in_a_recovery_of_today_does_not_stop_it() -> None:
    raw = json.loads((SAMPLES / f"recovery-{codec.RECORD_FORMAT}.json").read_bytes())
    raw["status"]["somethingNew"] = {"of": "a later patch release"}

    assert codec.decode(json.dumps(raw).encode()).attempt == 1
