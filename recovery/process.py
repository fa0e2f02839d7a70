"""The controller as a process: HTTP faces first, then the connection, then everything else; until
it is told to stop."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from recovery.app import App
from recovery.clock import Clock, SystemClock
from recovery.heap import give_back
from recovery.observe.reflector import HistoryRewound
from recovery.serve.auth import Authenticator
from recovery.serve.http import Server
from recovery.settings import Settings

if TYPE_CHECKING:
    from recovery.argocd.api import ArgoCDAPI

log = structlog.get_logger(__name__)
REPORT_INTERVAL = 60.0
"""Seconds between two reports of one kind."""
REPORTED_KINDS = 100
RESTART_AFTER = 5.0
"""Seconds before everything is read anew: two API servers of one address that count differently are
not asked in a hot loop."""
LAG_EVERY, LAG_KEPT = 0.5, 60.0
"""Seconds between two looks at the event loop, and for which its longest lag is told."""


class CannotListen(Exception):
    """The address of health and metrics is taken, or not ours."""


def raise_file_limit() -> None:
    """As many open files as we may have: the soft limit of a container is often 1,024, the hard one
    is not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.info("the limit of open files stays", soft=soft, hard=hard, why=str(error))


class Troubles:
    """Errors that the event loop has to report, each kind of it once a minute: a full table of
    files is reported with every try."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what = f"{context.get('message', '')} {type(context.get('exception')).__name__}"
        now = loop.time()
        if now - self._told.get(what, -REPORT_INTERVAL) < REPORT_INTERVAL:
            return
        if len(self._told) >= REPORTED_KINDS:
            self._told.clear()
        self._told[what] = now
        log.error(
            "event loop",
            what=str(context.get("message", "")),
            why=str(context.get("exception") or ""),
        )


def api_of(settings: Settings) -> ArgoCDAPI | None:
    """Argo CD's API as the settings say; None without a token."""
    if not settings.has_token:
        return None
    from recovery.argocd.api import ArgoCDAPI

    return ArgoCDAPI(
        settings.argocd_server,
        token=settings.argocd_token,
        token_file=settings.argocd_token_file,
        ca_file=settings.argocd_ca_file,
        insecure=settings.argocd_insecure,
    )


async def serve(settings: Settings, env: Mapping[str, str], clock: Clock | None = None) -> None:
    """Run in this process until SIGTERM or SIGINT; the HTTP faces first, everything slow
    afterwards."""
    raise_file_limit()
    server = Server(*settings.listen, guarded=settings.guarded, namespace=settings.namespace)
    try:
        await server.start()
    except OSError as error:
        raise CannotListen(error.strerror or str(error)) from error
    log.info("serving", port=server.port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(Troubles())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    clock = clock or SystemClock()
    try:
        await _controlled(settings, env, clock, server, stopped)
    finally:
        await server.stop()


async def _controlled(
    settings: Settings, env: Mapping[str, str], clock: Clock, server: Server, stopped: asyncio.Event
) -> None:
    from recovery.kube.asyncio_client import connect
    from recovery.notify.receivers import send

    connecting = asyncio.ensure_future(connect(env.get("KUBECONFIG", "")))
    stop = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({connecting, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not connecting.done():
        connecting.cancel()  # an exec plugin may hang
        return
    client = connecting.result()
    argocd = api_of(settings)
    if argocd is not None and settings.argocd_insecure:
        log.warning("ARGOCD_INSECURE: Argo CD's certificate is not verified")
    server.gate = Authenticator(client, settings.argocd_namespace, clock)

    def make() -> App:
        app = App(settings, client, clock, send, argocd)
        server.views = app.views
        return app

    try:
        await keep_running(make, stopped, clock)
    finally:
        await client.close()
        if argocd is not None:
            await argocd.close()


async def keep_running(make: Callable[[], App], stopped: asyncio.Event, clock: Clock) -> None:
    """Run a controller until ``stopped``; another one, which knows nothing, when the API server's
    etcd was restored from a backup: what the first one holds in memory is of a history that never
    was."""
    while not stopped.is_set():
        try:
            await _until_stopped(make(), stopped)
        except* HistoryRewound as group:
            log.error(
                "the API server's etcd was restored from a backup: everything is read anew",
                why=str(group.exceptions[0]),
            )
            await clock.sleep(RESTART_AFTER)


async def _until_stopped(app: App, stopped: asyncio.Event) -> None:
    ending = asyncio.ensure_future(stopped.wait())
    ending.add_done_callback(lambda _: app.stop())
    settling = asyncio.ensure_future(_settled(app))
    lagging = asyncio.ensure_future(measure_lag(app.metrics.lag.set))
    try:
        await app.run()
    finally:
        for task in (ending, settling, lagging):
            task.cancel()
        await app.looks.ways.close()


async def measure_lag(tell: Callable[[float], object]) -> None:
    """How late the event loop wakes us: whatever takes long without a pause keeps probes, the Lease
    and everybody waiting.

    ``tell`` hears the longest lag within the last minute, in seconds; until cancelled.
    """
    loop = asyncio.get_running_loop()
    seen: deque[tuple[float, float]] = deque()
    while True:
        begun = loop.time()
        await asyncio.sleep(LAG_EVERY)
        now = loop.time()
        lag = max(0.0, now - begun - LAG_EVERY)
        while seen and (seen[-1][1] <= lag or now - seen[0][0] > LAG_KEPT):
            (seen.pop if seen[-1][1] <= lag else seen.popleft)()
        seen.append((now, lag))
        tell(seen[0][1])


async def _settled(app: App) -> None:
    """Once the fleet is listed, what that took is given back."""
    while app.views.ready():  # noqa: ASYNC110 (readiness is a question, not an event)
        await asyncio.sleep(0.5)
    give_back()
