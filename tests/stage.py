"""Where a story is played: on the embedded cluster in virtual time, or on the real bed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from recovery.model.application import Application
from recovery.model.recovery import Recovery

Manifests = tuple[dict[str, Any], ...]


class Stage(Protocol):
    """The verbs of a story; names of applications carry the story's own prefix."""

    prefix: str
    received: list[dict[str, str]]
    """Messages that arrived at the receiver: title, message, type."""

    async def policies(self, text: str) -> None: ...

    async def application(
        self,
        name: str,
        manifests: Manifests,
        *,
        auto_sync: bool = True,
        self_heal: bool = False,
        retry: int | None = None,
    ) -> None: ...

    async def commit(self, name: str, manifests: Manifests) -> str: ...

    async def install(self, kind: str) -> None: ...

    async def seen(self, name: str) -> Application: ...

    async def raw(self, name: str) -> dict[str, Any]: ...

    async def restarted(self, plural: str, name: str) -> bool: ...

    async def recoveries(self, name: str) -> list[Recovery]: ...

    async def old_recovery(self, name: str) -> None: ...

    async def until(
        self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float
    ) -> None: ...

    async def sleep(self, seconds: float) -> None: ...

    def transcript(self, name: str) -> list[str]: ...

    def controller(
        self, *, enabled: bool = True, killed_at: str = ""
    ) -> AbstractAsyncContextManager[Callable[[], bool]]:
        """Runs while inside; gives a question: has it been killed? ``killed_at`` is before or after
        the answer to its sync."""

    async def ready_details(self) -> dict[str, Any]: ...

    async def writes(self, name: str) -> int:
        """How often the controller wrote to this application so far."""

    async def events(self, reason: str) -> int:
        """How many Events of this reason are in the controller's own namespace."""


def policies(
    prefix: str,
    *,
    duration: str = "15s",
    manual_apps: bool = False,
    kinds: str = "[Deployment, StatefulSet]",
    attempts: int = 3,
    health: str = "Degraded",
    release: str = "revision",
) -> str:
    """The shipped application policies with short times, for one story's applications. ``release:
    own_change``, the default of a rollback, needs a token to tell whether a revision is the
    application's own."""
    return f"""
recovery_policies:
- name: application-sync-failure
  selector: {{names: ["{prefix}-*"]}}
  condition: {{type: application, status: OutOfSync, duration: {duration}}}
  actions:
  - {{type: refresh, parameters: {{hard: true}}, timeout: 30s}}
  - {{type: sync, parameters: {{prune: true, force: false, manual_apps: {str(manual_apps).lower()}}}, timeout: 60s}}
  - {{type: notify, parameters: {{channels: [receiver]}}}}
- name: application-health-degraded
  selector: {{names: ["{prefix}-*"]}}
  condition: {{type: application, health: {health}, duration: 10s}}
  actions:
  - {{type: restart, parameters: {{resources: {kinds}}}, timeout: 60s}}
  - {{type: rollback, parameters: {{if_restart_fails: true, release: {release}}}, timeout: 90s}}
  - {{type: escalate, parameters: {{after_attempts: 2}}}}
defaults: {{attempts: {attempts}, backoff: {{duration: 15s}}, healthy_delay: 3s, channels: [receiver]}}
channels: {{receiver: {{group_wait: 0s}}}}
ledger: {{soak: 10s}}
"""
