"""The log of a controller that watched a made-up fleet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
PROJECTS = 100
CAUSES = ("RolloutFailed", "ImageUnavailable/NotFound", "")


def log_lines(applications: int, days: float, an_hour: float, seed: int = 1) -> Iterator[str]:
    """Lines of it, in order: so many incidents an hour, about an hour each, and the fleet's counts
    every six hours."""
    chance = random.Random(seed)  # noqa: S311 (made-up incidents)
    hours = days * 24
    rows = list(_counts(applications, hours))
    free = [0.0] * applications
    onsets = sorted(chance.uniform(0, hours - 2) for _ in range(int(hours * an_hour)))
    for at in onsets:
        number = chance.randrange(applications)
        if at < free[number]:
            continue
        free[number] = until = at + chance.uniform(0.1, 1.9)
        ill = _state(number, "Degraded", chance.choice(CAUSES))
        rows += [_line(at, number, ill), _line(until, number, _state(number, "Healthy", ""))]
    rows.sort(key=lambda row: row[0])
    return (json.dumps({**line, "audit": 1, "timestamp": _time(at)}) for at, line in rows)


def _time(at: float) -> str:
    return (BEGIN + timedelta(hours=at)).isoformat()


def _project(number: int) -> tuple[str, list[str]]:
    return f"p{number % PROJECTS}", [f"https://git.example/r{number % PROJECTS}"]


def _counts(applications: int, hours: float) -> Iterator[tuple[float, dict[str, Any]]]:
    server = "https://kubernetes.default.svc"
    groups = [
        [len(range(number, applications, PROJECTS)), project, server, "", repositories, ""]
        for number in range(min(PROJECTS, applications))
        for project, repositories in [_project(number)]
    ]
    for at in range(0, int(hours), 6):
        yield float(at), {"kind": "fleet", "event": "fleet", "part": 0, "groups": groups}


def _line(at: float, number: int, state: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    name = f"app-{number}"
    about = {"subject": f"argocd/{name}", "namespace": "argocd", "name": name, "uid": f"u{number}"}
    return at, {"kind": "state", "event": "state", **about, "state": state}


def _state(number: int, health: str, cause: str) -> dict[str, Any]:
    project, repositories = _project(number)
    return {
        "sync": "Synced",
        "health": health,
        "auto_sync": True,
        "project": project,
        "server": "https://kubernetes.default.svc",
        "namespace": "x",
        "repositories": repositories,
        "self_heal": True,
        "operation": "Succeeded",
        "deploy": 3,
        "deployed": ["a" * 40],
        "revisions": ["a" * 40],
        "good": 2,
        "good_revisions": ["b" * 40],
        "cause": cause,
    }
