"""Who looks, and what may they see? Asked of Kubernetes: TokenReview for who, SubjectAccessReview for what."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from recovery.clock import Clock
from recovery.kube.client import ACCESS_REVIEWS, TOKEN_HEADER, TOKEN_REVIEWS, Client

COOKIE = "recovery_token"
HEADERS = (TOKEN_HEADER, "X-Forwarded-Access-Token")
"""The first is ours: the API server's service proxy takes Authorization away. The second is oauth2-proxy's."""
KEPT, KEPT_NO = 60.0, 10.0
"""Seconds an answer of the API server is good for."""
LONGEST = 8192
"""Characters of a token."""
REMEMBERED = 1000
AT_ONCE = 8


class Viewer(Struct, frozen=True):
    """Somebody who looks, and the projects they may see."""

    name: str
    everything: bool = True
    projects: frozenset[str] = frozenset()

    def sees(self, project: str) -> bool:
        """May they see what belongs to this project? What belongs to none is for those who see everything."""
        return self.everything or (bool(project) and project in self.projects)


EVERYBODY = Viewer("")
"""Where nobody is asked who they are: on loopback, or when it is switched off."""


class Gate:
    """Asks, and remembers the answers for a minute."""

    def __init__(self, client: Client, namespace: str, clock: Clock) -> None:
        """``namespace``: Argo CD's, where its AppProjects are."""
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._users: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._rights: dict[tuple[str, str], tuple[float, bool]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def viewer(self, token: str, projects: Iterable[str]) -> Viewer | None:
        """Whose token this is and which of these projects they may see; None for nobody's. KubeError when it cannot be asked."""
        user = await self._user(token)
        if user is None:
            return None
        name = str(user.get("username") or "")
        if await self._may(user, ""):
            return Viewer(name)
        wanted = sorted(set(projects))
        answers = await asyncio.gather(*(self._may(user, project) for project in wanted))
        return Viewer(name, everything=False, projects=frozenset(p for p, may in zip(wanted, answers, strict=True) if may))

    async def _user(self, token: str) -> dict[str, Any] | None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        now = self._clock.monotonic()
        kept = self._users.get(digest)
        if kept is not None and now < kept[0]:
            return kept[1]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = await self._asked(TOKEN_REVIEWS, body)
        user = status.get("user") if status.get("authenticated") and not status.get("error") else None
        _keep(self._users, digest, (now + (KEPT if user else KEPT_NO), user))
        return user

    async def _may(self, user: Mapping[str, Any], project: str) -> bool:
        """May they get this AppProject (empty: all of them)?"""
        who = hashlib.sha256(msgspec.json.encode(user)).hexdigest()
        now = self._clock.monotonic()
        kept = self._rights.get((who, project))
        if kept is not None and now < kept[0]:
            return kept[1]
        wanted = {"group": "argoproj.io", "resource": "appprojects", "verb": "get", "namespace": self._namespace, "name": project}
        spec = {"user": user.get("username"), "groups": user.get("groups") or [], "uid": user.get("uid") or ""}
        spec |= {"extra": user.get("extra") or {}, "resourceAttributes": wanted}
        async with self._places:
            body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
            status = await self._asked(ACCESS_REVIEWS, body)
        may = bool(status.get("allowed")) and not status.get("denied")
        _keep(self._rights, (who, project), (now + (KEPT if may else KEPT_NO), may))
        return may

    async def _asked(self, what: Any, body: dict[str, Any]) -> dict[str, Any]:
        raw = await self._client.create(what, "", body)
        status: dict[str, Any] = msgspec.json.decode(raw, type=dict).get("status") or {}
        return status


def token_of(request: web.Request) -> str:
    """What the request carries; empty for none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    found = token.strip() if kind.lower() == "bearer" else ""
    for header in HEADERS:
        found = found or request.headers.get(header, "").strip()
    found = found or request.cookies.get(COOKIE, "")
    return found if len(found) <= LONGEST and found.isascii() else ""


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > REMEMBERED:
        kept.pop(next(iter(kept)))
