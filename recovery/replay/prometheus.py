"""Argo CD's own metric ``argocd_app_info`` in the past, from Prometheus and what speaks as it does
(Thanos, Mimir, VictoriaMetrics).

Its labels, of Argo CD 2.14 to 3.6 (controller/metrics/metrics.go): namespace, name, project,
autosync_enabled, repo, dest_server, dest_namespace, sync_status, health_status, operation. Where
Prometheus has a label ``namespace`` of its own, Argo CD's is ``exported_namespace``.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct, field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from recovery.clock import Clock, SystemClock
from recovery.model.recorded import RecordedState
from recovery.model.redact import redact
from recovery.replay.timeline import Gap, Interval, Name

POINTS = 10_000
"""Points of a series that one answer has; Prometheus refuses more than 11,000."""
SLICE = 12 * 3600.0
"""Seconds of one query: what it answers is held in memory."""
SHORTEST_SLICE = 900.0
ATTEMPTS = 4
METRIC = "argocd_app_info"
PATIENCE = 120.0
"""Seconds for one answer."""


class Unanswered(Exception):
    """Prometheus did not answer, or not usefully; the message says what would be right."""


class TooMuch(Unanswered):
    """Refusal of so long a time at once."""


class _Series(Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(Struct):
    result: list[_Series] = []


class _Answer(Struct):
    status: str
    data: _Data = field(default_factory=_Data)
    error: str = ""
    warnings: list[str] = []


_answer = msgspec.json.Decoder(_Answer)


class Slice(Struct):
    """One slice of the past."""

    intervals: dict[Name, list[Interval]] = {}
    """Times in which applications were not Synced and Healthy."""
    present: dict[Name, RecordedState] = {}
    """All applications that were there, with one of their states."""
    gaps: list[Gap] = []


class Prometheus:
    """A Prometheus API. ``url`` is without /api; ``match`` narrows the metric by label matchers."""

    def __init__(
        self,
        url: str,
        match: str = "",
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
        step: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._shown = redact(self._url, 200)
        """Without a password that stands in it."""
        self._match = match.strip().strip("{}")
        self._headers = dict(headers or {})
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._step = step
        self._clock = clock or SystemClock()
        self.warnings: dict[str, None] = {}
        """What Prometheus said about its answers, each once: a partial answer is no whole one."""
        self.unread: list[Gap] = []
        """Times of which it gave no answer."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Prometheus:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=PATIENCE)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _select(self, *matchers: str) -> str:
        return f"{METRIC}{{{','.join(filter(None, (*matchers, self._match)))}}}"

    def _seen(self, *matchers: str) -> str:
        """Samples of the last step and a half: by itself Prometheus shows what is gone for five
        minutes more, unless a scrape has marked it so."""
        return f"last_over_time({self._select(*matchers)}[{self._step * 1.5:.0f}s])"

    async def known(self, start: float, end: float) -> int:
        """How many applications the metric has at the end of this time. Unanswered where it has
        none, with how to get it."""
        window = f"{max(end - start, 60.0):.0f}s"
        query = {"query": f"count(last_over_time({self._select()}[{window}]))", "time": end}
        found = await self._ask("query", query, attempts=1)  # a wrong address is told at once
        count = int(float(found[0].value[1])) if found and found[0].value else 0
        if not count:
            raise Unanswered(
                f"{self._shown} has no series {self._select()} in the time that is asked for.\n"
                "It comes from Argo CD's application controller, port 8082, path /metrics: let"
                " Prometheus scrape the Service argocd-metrics (a ServiceMonitor, or Argo CD's"
                " Helm chart with controller.metrics.enabled=true)."
            )
        return count

    async def slice(self, start: float, end: float) -> Slice:
        """Read this time. A part that is refused for its size is asked for in
        halves; one that is not answered is told in ``unread``."""
        found = Slice()
        try:
            await self._read(found, start, end)
        except TooMuch:
            if end - start <= SHORTEST_SLICE:
                self.unread.append(Gap(start, end))
                return found
            middle = start + (end - start) // (2 * self._step) * self._step
            for first, last in ((start, middle), (middle, end)):
                part = await self.slice(first, last)
                for name, intervals in part.intervals.items():
                    found.intervals.setdefault(name, []).extend(intervals)
                found.present |= part.present
                found.gaps += part.gaps
        except Unanswered:
            self.unread.append(Gap(start, end))
        return found

    async def _read(self, found: Slice, start: float, end: float) -> None:
        when = {"start": start, "end": end, "step": self._step}
        unsynced, unhealthy = 'sync_status!="Synced"', 'health_status!="Healthy"'
        ill = f"{self._seen(unsynced)} or {self._seen(unhealthy)}"
        for series in await self._ask("query_range", {"query": ill, **when}):
            name, state = _read_labels(series.metric)
            found.intervals.setdefault(name, []).extend(
                _intervals([at for at, _ in series.values], state, self._step)
            )
        window = f"{max(end - start, self._step):.0f}s"
        present = f"last_over_time({self._select()}[{window}])"
        for series in await self._ask("query", {"query": present, "time": end}):
            name, state = _read_labels(series.metric)
            found.present[name] = state
        counted = await self._ask("query_range", {"query": f"count({self._seen()})", **when})
        moments = [at for series in counted for at, _ in series.values]
        found.gaps += _gaps(sorted(moments), start, end, self._step)

    async def _ask(
        self, path: str, query: Mapping[str, Any], attempts: int = ATTEMPTS
    ) -> list[_Series]:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((aiohttp.ClientError, TimeoutError, _Busy)),
            stop=stop_after_attempt(attempts),
            wait=wait_exponential(0.5, max=8),
            reraise=True,
            sleep=self._clock.sleep,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._once(path, query)
        except (aiohttp.ClientError, TimeoutError, _Busy) as error:
            said = redact(str(error) or type(error).__name__, 300)
            raise Unanswered(f"{self._shown}: {said}") from error
        return []

    async def _once(self, path: str, query: Mapping[str, Any]) -> list[_Series]:
        if self._session is None:
            raise Unanswered("not connected")
        address = f"{self._url}/api/v1/{path}"
        body = {name: str(value) for name, value in query.items()}
        # A redirect would take the headers along to whoever it names.
        posted = self._session.post(address, data=body, ssl=self._tls, allow_redirects=False)
        async with posted as response:
            raw = await response.read()
            if response.status in (429, 502, 503, 504):
                raise _Busy(f"answered {response.status}")
            if response.status in (401, 403):
                raise Unanswered(
                    f"{self._shown} answered {response.status}: give a token"
                    " (--bearer-token-file) or --header"
                )
        try:
            answer = _answer.decode(raw)
        except msgspec.DecodeError as error:
            raise Unanswered(
                f"{self._shown} answered {response.status} and no Prometheus API's JSON: {error}"
            ) from error
        if answer.status != "success":
            if response.status in (413, 422) or "exceeded maximum" in answer.error:
                raise TooMuch(redact(answer.error, 300))
            raise Unanswered(f"{self._shown}: {redact(answer.error, 300)}")
        self.warnings |= dict.fromkeys(redact(warning, 200) for warning in answer.warnings)
        return answer.data.result


class _Busy(Exception):
    """Answer after which it is asked again."""


def _read_labels(metric: Mapping[str, str]) -> tuple[Name, RecordedState]:
    namespace = metric.get("exported_namespace") or metric.get("namespace", "")
    repository = metric.get("repo", "")
    state = RecordedState(
        sync=metric.get("sync_status", "Unknown"),
        health=metric.get("health_status", "Unknown"),
        auto_sync=metric.get("autosync_enabled") == "true",
        project=metric.get("project", "default"),
        server=metric.get("dest_server", ""),
        repositories=(repository,) if repository else (),
        namespace=metric.get("dest_namespace", ""),
    )
    return (namespace, metric.get("exported_name") or metric.get("name", "")), state


def _intervals(moments: list[float], state: RecordedState, step: float) -> list[Interval]:
    """Moments in a row are one interval."""
    if not moments:
        return []
    if moments[-1] - moments[0] <= (len(moments) - 1) * step * 1.01:
        return [Interval(moments[0], moments[-1], state)]
    found: list[Interval] = []
    first = last = moments[0]
    for at in moments[1:]:
        if at - last > step * 1.5:
            found.append(Interval(first, last, state))
            first = at
        last = at
    return [*found, Interval(first, last, state)]


def _gaps(moments: list[float], start: float, end: float, step: float) -> list[Gap]:
    """Times without any sample."""
    edges = [start - step, *moments, end + step]
    return [Gap(before, after) for before, after in pairwise(edges) if after - before > 2 * step]


def slices(start: float, end: float, step: float) -> list[tuple[float, float]]:
    """The time in parts that one query each is for; they meet, and share no moment."""
    longest = min(SLICE, POINTS * step)
    longest -= longest % step
    parts = []
    at = start
    while at < end:
        parts.append((at, min(at + longest - step, end)))
        at += longest
    return parts
