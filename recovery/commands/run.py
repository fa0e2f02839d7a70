"""recovery run: the controller."""

from __future__ import annotations

import asyncio
import os
import sys

from recovery import logs
from recovery.commands.errors import UNREACHABLE, USAGE, Refused
from recovery.commands.target import environment
from recovery.settings import InvalidSettings, Settings, read_settings


def settings_from_environment() -> Settings:
    """The environment's settings; Refused names every variable that cannot be used."""
    try:
        return read_settings(environment())
    except InvalidSettings as error:
        raise Refused(f"the environment is not usable:\n{error}", USAGE) from error


def run() -> None:
    """Run the controller until it is stopped.

    By its ServiceAccount in the cluster, or from a kubeconfig."""
    settings = settings_from_environment()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    from recovery.kube.errors import Unavailable
    from recovery.process import CannotListen, serve
    from recovery.record.checkpoint import NewerCheckpoint

    try:
        try:
            await serve(settings, os.environ)
        except CannotListen as error:
            raise Refused(
                f"cannot listen on {settings.listen[0]}:{settings.listen[1]}: {error}", USAGE
            ) from error
        except Unavailable as error:
            raise Refused(str(error), UNREACHABLE) from error
    except* NewerCheckpoint as group:
        found = group.exceptions[0]
        raise Refused(
            f"{found}; run the newer controller, or delete the ConfigMaps recovery-checkpoint-* to"
            " start anew",
            USAGE,
        ) from None
    # Apprise sends in threads that nobody can cancel; waiting for one at the end would outlast the
    # grace of a Pod.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
