"""What a person asks of a recovery, as commands against an API server: what is written, what is
said, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from recovery.clock import SystemClock
from recovery.kube.client import RECOVERIES
from recovery.model.move import Place, Relocation, RelocationPhase
from recovery.model.recovery import Recovery, RecoveryPhase, StepRecord, Subject
from recovery.record.codec import decode
from recovery.simulate.cluster import Cluster
from recovery.simulate.http import APIServer
from tests.builders import NOW, a_recovery, plant
from tests.commands.forked import run


class There:
    """An API server with one recovery, and the command."""

    def __init__(self, cluster: Cluster, kubeconfig: Path) -> None:
        self.cluster, self._kubeconfig = cluster, kubeconfig

    async def keep(self, **changes: Any) -> None:
        move = Relocation(
            "argocd",
            "web",
            "u",
            Place(name="primary"),
            Place(name="secondary"),
            RelocationPhase.Moved,
        )
        step = StepRecord(1, 2, "failover", NOW, sent=True)
        subject = Subject("Cluster", "", "primary", "cluster-1")
        recovery = a_recovery(
            "primary-1",
            NOW,
            subject=subject,
            relocations=(move,),
            steps=(step,),
            attempt=1,
            resolved_at=None,
        )
        recovery = structs.replace(
            recovery, **{"phase": RecoveryPhase.Stalled, "reason": "SplitBrain", **changes}
        )
        await plant(self.cluster, recovery)

    async def held(self) -> Recovery:
        return decode(await self.cluster.get(RECOVERIES, "gitops-system", "primary-1"))

    async def run(self, *words: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run, *words, KUBECONFIG=str(self._kubeconfig))
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[There]:
    cluster = Cluster(SystemClock())
    face = APIServer(cluster)
    await face.start()
    (tmp_path / "kubeconfig").write_text(json.dumps(face.kubeconfig()))
    yield There(cluster, tmp_path / "kubeconfig")
    await face.stop()


async def test_failback_is_written_with_who_and_when(there: There) -> None:
    await there.keep()

    code, out, _ = await there.run("failback", "primary-1", "--cleanup")

    assert code == 0
    assert "argocd/web  secondary -> primary" in out
    requests = (await there.held()).requests
    assert [w.type for w in requests] == ["failback", "cleanup"]
    assert all(w.by and w.at.tzinfo for w in requests)


async def test_staying_is_said_and_waits_for_nothing(there: There) -> None:
    await there.keep(reason="FailedOver")

    code, out, _ = await there.run("failback", "primary-1", "--stay")

    assert (code, "stay where they are" in out, "not seen well yet" in out) == (0, True, False)
    assert [w.type for w in (await there.held()).requests] == ["stay"]


async def test_a_failback_says_when_it_has_to_wait(there: There) -> None:
    await there.keep(reason="FailedOver")

    assert (
        "primary is not seen healthy yet (FailedOver)"
        in (await there.run("failback", "primary-1"))[1]
    )


async def test_an_approval_names_the_step_that_waits(there: There) -> None:
    waits = "1.2 failover 0123456789"
    await there.keep(
        phase=RecoveryPhase.Suppressed,
        reason="ApprovalRequired",
        message="mode is approve",
        awaiting=waits,
    )

    code, out, _ = await there.run("approve", "primary-1")

    assert code == 0
    assert "step 1.2 failover approved by" in out
    assert [(w.type, w.step) for w in (await there.held()).requests] == [("approve", waits)]


@pytest.mark.parametrize(
    ("words", "changes", "told"),
    [
        (("approve", "primary-1"), {}, "is not waiting for approval: it is Stalled (SplitBrain)"),
        (("failback", "primary-1"), {"relocations": ()}, "has moved no application"),
        (("failback", "primary-1"), {"phase": RecoveryPhase.Resolved}, "is over (Resolved)"),
        (
            ("failback", "nobody"),
            {},
            "there is no recovery nobody in gitops-system\nTry: recovery status",
        ),
        (("explain", "cluster/unheard-of"), {}, "no recovery tells of cluster/unheard-of"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_the_next_thing_to_try(
    there: There, words: tuple[str, ...], changes: dict[str, Any], told: str
) -> None:
    await there.keep(**changes)

    code, _, err = await there.run(*words)

    assert code == 1
    assert told in err
    assert (await there.held()).requests == ()


async def test_explain_tells_the_plan_also_when_the_controller_is_down(there: There) -> None:
    await there.keep()

    code, out, _ = await there.run("explain", "cluster/primary")

    assert code == 0
    assert "the controller does not answer" in out
    assert "argocd/web  primary -> secondary  Moved" in out
