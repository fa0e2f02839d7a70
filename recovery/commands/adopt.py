"""recovery adopt: take on what was unwell before the controller came."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from recovery.commands.reaching import reach
from recovery.commands.run import settings_from_environment
from recovery.kube.client import CONFIG_MAPS
from recovery.observe.policy_source import ADOPTED_AT


def adopt() -> None:
    """Let applications that were unwell before the controller came be recovered like all others."""
    settings = settings_from_environment()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    body = {"metadata": {"annotations": {ADOPTED_AT: now}}}
    reach(lambda client: client.patch(CONFIG_MAPS, settings.namespace, settings.policies, body))
    typer.echo(f"adopted: everything seen before {now} is recovered from now on, with rollback and prune as the policies say")
