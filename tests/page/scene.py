"""A controller with something to show, without a cluster: its stages are filled by hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from recovery.app import App
from recovery.clock import SystemClock
from recovery.model.application import Application, Health, Sync
from recovery.model.decision import Decision, Kind
from recovery.model.message import Message
from recovery.model.move import UserRequest
from recovery.model.recovery import (
    NotificationStatus,
    PendingNotification,
    Recovery,
    RecoveryPhase,
    StepOutcome,
    StepRecord,
    Subject,
)
from recovery.serve.auth import Authenticator
from recovery.serve.http import Server
from recovery.settings import Settings
from recovery.simulate.environment import EmbeddedEnvironment
from tests.builders import a_cluster, an_application

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
PHASES = (
    RecoveryPhase.Stalled,
    RecoveryPhase.Remediating,
    RecoveryPhase.BackingOff,
    RecoveryPhase.Suppressed,
    RecoveryPhase.Verifying,
)


async def _nobody(url: str, message: Message) -> str:
    return ""


class Scene:
    """An App whose stages can be filled, and a server that shows it."""

    def __init__(self) -> None:
        self.world = EmbeddedEnvironment(SystemClock())
        self.app = App(Settings(), self.world.cluster, SystemClock(), _nobody)
        self.now = datetime.now(UTC).replace(microsecond=0)

    def applications(self, count: int) -> None:
        """So many, every tenth of them ill, in ten projects."""
        for n in range(count):
            ill = {"sync": Sync.OutOfSync, "health": Health.Degraded} if n % 10 == 0 else {}
            name = f"app-{n:05}"
            self.put(an_application(name=name, uid=f"uid-{n}", project=f"team-{n % 10}", **ill))

    def put(self, app: Application) -> None:
        """One as the watch would bring it."""
        self.app.store.put(app)

    def recovery(self, number: int, phase: RecoveryPhase, **fields: Any) -> Recovery:
        """One with a step, evidence and messages, some minutes old."""
        at = self.now - timedelta(minutes=number % 5000)
        step = StepRecord(
            1, 0, "restart", at, sent=True, targets=(f"apps/v1/Deployment/shop/web-{number}",)
        )
        done = StepOutcome.Succeeded if phase is RecoveryPhase.Resolved else StepOutcome.Failed
        ended = structs.replace(
            step,
            ended_at=at + timedelta(seconds=90),
            outcome=done,
            reason="Restarted",
            message="took 90s",
        )
        steps = (step,) if phase is RecoveryPhase.Remediating else (ended,)
        subject = Subject(
            "Application",
            "argocd",
            f"app-{number:05}",
            f"uid-{number}",
            f"team-{number % 10}",
            "prod-eu",
        )
        made = Recovery(
            f"app-{number:05}-abc",
            "application-health-degraded",
            "h",
            subject,
            at,
            phase,
            cause="CrashLoop",
            unhealthy_since=at - timedelta(minutes=5),
            reason="Because",
            message=f"Degraded for 5m (attempt 1 of 3), number {number}",
            attempt=1,
            max_attempts=3,
            steps=steps,
            evidence=("status: Synced and Degraded", "cause: CrashLoop (certain)"),
            talk=NotificationStatus(("slack",), first_at=at),
            resolved_at=at + timedelta(minutes=4) if phase.over else None,
            version="1",
        )
        made = structs.replace(made, **fields)
        self.app.recoveries.put(made)
        return made

    def fill(self) -> None:
        """Every state there is, once or more."""
        self.applications(40)
        for number, phase in enumerate(PHASES):
            self.recovery(number, phase)
        self.recovery(
            5,
            RecoveryPhase.Stalled,
            requests=(UserRequest("approve", "ada", self.now, "1.0"),),
            notes=(PendingNotification("k", "on its way", ""),),
        )
        for number in range(6, 30):
            at = self.now - timedelta(days=number % 6)
            phase = RecoveryPhase.Resolved if number % 3 else RecoveryPhase.Superseded
            steps: dict[str, Any] = {"steps": ()} if number % 4 == 0 else {}
            self.recovery(
                number,
                phase,
                opened_at=at,
                unhealthy_since=at,
                resolved_at=at + timedelta(minutes=number),
                **steps,
            )
        app = an_application(name="late", uid="uid-late", health=Health.Degraded)
        self.put(app)
        due = self.now + timedelta(minutes=3)
        pending = Decision(
            Kind.Wait,
            "application-health-degraded",
            "Pending",
            "Degraded since a moment; acts later if it lasts 5m",
            due,
        )
        self.app.journal.note(app.key, (pending,), ours=True)
        self.app.connections.clusters["https://primary.example:6443"] = a_cluster()

    def hostile(self) -> Recovery:
        """Names and messages such as an attacker would choose."""
        subject = Subject("Application", "argocd", HOSTILE, "uid-x", HOSTILE, HOSTILE)
        return self.recovery(
            99,
            RecoveryPhase.Stalled,
            subject=subject,
            message=HOSTILE,
            cause=HOSTILE,
            policy=HOSTILE,
            evidence=(HOSTILE,),
        )

    @contextlib.asynccontextmanager
    async def served(self, gate: Authenticator | None = None) -> AsyncIterator[str]:
        """The address of its page."""
        server = Server("127.0.0.1", 0, guarded=gate is not None)
        await server.start()
        server.views, server.gate = self.app.views, gate
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            await server.stop()
