"""A Prometheus that answers from a list of incidents."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiohttp import web
from msgspec import Struct


class Was(Struct, frozen=True):
    """An application was so for a time; seconds, the end excluded."""

    name: str
    start: float
    end: float
    sync: str = "Synced"
    health: str = "Healthy"
    project: str = "shop"
    labels: dict[str, str] = {}

    def metric(self) -> dict[str, str]:
        return {
            "namespace": "argocd",
            "name": self.name,
            "project": self.project,
            "autosync_enabled": "true",
            "repo": f"https://git.example/{self.name}",
            "dest_server": "https://kubernetes.default.svc",
            "dest_namespace": "shop",
            "sync_status": self.sync,
            "health_status": self.health,
            "operation": "",
            **self.labels,
        }


class MadeUp:
    """Query and query_range for what ``recovery replay`` asks."""

    def __init__(self, *states: Was, gap: tuple[float, float] | None = None) -> None:
        self.states = states
        self.gap = gap
        self.refuse: list[tuple[int, dict[str, Any]]] = []
        """Answers that come first."""
        self.refuse_later: list[tuple[int, dict[str, Any]]] = []
        """Answers that come after the first one."""
        self.most_points = 11_000
        self.asked: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}
        self.warnings: list[str] = []

    def _there(self, at: float) -> bool:
        return self.gap is None or not self.gap[0] <= at < self.gap[1]

    def _moments(self, was: Was, query: dict[str, str]) -> Iterator[float]:
        at, step = float(query["start"]), float(query["step"])
        while at <= float(query["end"]):
            if was.start <= at < was.end and self._there(at):
                yield at
            at += step

    def _wanted(self, was: Was, expression: str) -> bool:
        words = {"sync_status": was.sync, "health_status": was.health}
        unlike = re.findall(r'(\w+_status)!="(\w+)"', expression)
        return not unlike or any(words[label] != value for label, value in unlike)

    async def answer(self, request: web.Request) -> web.Response:
        query = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(query)
        self.headers = dict(request.headers)
        if self.refuse or (self.refuse_later and len(self.asked) > 1):
            status, body = (self.refuse or self.refuse_later).pop(0)
            return web.json_response(body, status=status)
        expression = query["query"]
        if "step" in query:
            points = (float(query["end"]) - float(query["start"])) / float(query["step"])
            if points > self.most_points:
                error = "exceeded maximum resolution of 11,000 points per timeseries"
                return web.json_response({"status": "error", "error": error}, status=400)
            result = self._range(expression, query)
        else:
            result = self._instant(expression, float(query["time"]))
        body = {"status": "success", "data": {"result": result}, "warnings": self.warnings}
        return web.json_response(body)

    def _range(self, expression: str, query: dict[str, str]) -> list[dict[str, Any]]:
        if expression.startswith("count("):
            every = sorted({at for was in self.states for at in self._moments(was, query)})
            return [{"metric": {}, "values": [[at, "1"] for at in every]}] if every else []
        found = []
        for was in self.states:
            if self._wanted(was, expression):
                values = [[at, "1"] for at in self._moments(was, query)]
                found += [{"metric": was.metric(), "values": values}] if values else []
        return found

    def _instant(self, expression: str, at: float) -> list[dict[str, Any]]:
        window = re.search(r"\[(\d+)s\]", expression)
        assert window
        since = at - float(window[1])
        there = [was for was in self.states if was.start <= at and was.end > since]
        if expression.startswith("count("):
            return [{"metric": {}, "value": [at, str(len(there))]}] if there else []
        return [{"metric": was.metric(), "value": [at, "1"]} for was in there]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/api/v1/{what}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def well(
    name: str, start: float, end: float, *without: tuple[float, float], **more: Any
) -> Iterator[Was]:
    """Synced and Healthy but for these times."""
    at = start
    for first, last in without:
        yield Was(name, at, first, **more)
        at = last
    yield Was(name, at, end, **more)
