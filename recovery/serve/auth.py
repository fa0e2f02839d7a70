"""Authentication and authorisation by Kubernetes: TokenReview for who, SubjectAccessReview
for what."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from recovery.clock import Clock
from recovery.kube.client import ACCESS_REVIEWS, TOKEN_HEADER, TOKEN_REVIEWS, Client
from recovery.kube.errors import KubeError
from recovery.kube.reading import decoded
from recovery.model.text import plain

COOKIE = "recovery_token"
TOKEN_HEADERS = (TOKEN_HEADER, "X-Forwarded-Access-Token")
"""The first is ours: the API server's service proxy takes Authorization away. The second is
oauth2-proxy's."""
REVIEW_TTL, KEPT_NO = 60.0, 10.0
"""Seconds an answer of the API server is good for."""
LONGEST_TOKEN = 3900
"""Characters of a token: a cookie may not be larger."""
MAX_REMEMBERED_USERS = 1000
RIGHTS_AT_ONCE, TOKENS_AT_ONCE = 8, 4
"""Questions to the API server at the same time: of rights, and of tokens. Its own work comes
first."""
MAX_WAITING_TOKENS, WAITING_EACH = 1000, 200
"""Tokens that wait for their answer, in all and from one address; beyond them nobody is asked for,
and 503 is the answer."""
REVIEW_TIMEOUT = 10.0
"""Seconds that somebody waits for their turn."""


class Viewer(Struct, frozen=True):
    """An authenticated user, and the projects they may see."""

    name: str
    everything: bool = True
    projects: frozenset[str] = frozenset()

    def sees(self, project: str) -> bool:
        """May they see what belongs to this project? What belongs to none is for those who see
        everything."""
        return self.everything or (bool(project) and project in self.projects)


EVERYBODY = Viewer("")
"""Where nobody is asked who they are: on loopback, or when it is switched off."""


class _Rights:
    """Projects that one user may see, as far as it was asked, and until when that is good."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.yes: set[str] = set()
        self.no: set[str] = set()


class Busy(KubeError):
    """So many ask at once who they are that nobody more is asked for."""


class FairSemaphore:
    """A semaphore that is fair to peers: waiters are let in round robin by address, in order within
    one."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, peer: str) -> None:
        """Wait for a place; ``give`` it back."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(peer, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()  # it was our turn, and we have gone
            raise

    def give(self) -> None:
        """The place goes to the first of the address that has waited longest for a turn."""
        while self._queues:
            peer = next(iter(self._queues))
            queue = self._queues.pop(peer)
            turn = queue.popleft()
            if queue:
                self._queues[peer] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Authenticator:
    """Asks, and remembers the answers for a minute. One question a token at a time, however many
    pages it opens."""

    def __init__(self, client: Client, namespace: str, clock: Clock) -> None:
        """``namespace``: Argo CD's, where its AppProjects are."""
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._users: dict[str, tuple[float, dict[str, Any]]] = {}
        self._strangers: dict[str, float] = {}
        self._rights: dict[str, _Rights] = {}
        self._asking: dict[str, asyncio.Task[Viewer | None]] = {}
        self._peers: Counter[str] = Counter()
        self._places = asyncio.Semaphore(RIGHTS_AT_ONCE)
        self._tokens = FairSemaphore(TOKENS_AT_ONCE)

    async def viewer(self, token: str, projects: Iterable[str], peer: str = "") -> Viewer | None:
        """Whose token this is and which of these projects they may see; None for nobody's.
        KubeError when it cannot be asked.

        Addresses (``peer``) take turns: one that shows a thousand made-up tokens keeps nobody else
        from being asked for.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        if self._clock.monotonic() < self._strangers.get(digest, 0.0):
            return None
        task = self._asking.get(digest)
        if task is None:
            if len(self._asking) >= MAX_WAITING_TOKENS or self._peers[peer] >= WAITING_EACH:
                raise Busy(
                    f"{len(self._asking)} others ask who they are, {self._peers[peer]} of them from"
                    " the same address"
                )
            self._peers[peer] += 1
            task = self._asking[digest] = asyncio.create_task(
                self._viewer(digest, token, frozenset(projects), peer)
            )
            task.add_done_callback(lambda done: self._answered(digest, done, peer))
        return await asyncio.shield(task)

    def _answered(self, digest: str, done: asyncio.Task[Viewer | None], peer: str) -> None:
        self._asking.pop(digest, None)
        self._peers[peer] -= 1
        self._peers += Counter()  # who asks no longer is forgotten
        if not done.cancelled():
            done.exception()  # whoever asked has it; that all of them have gone is no error

    async def _viewer(
        self, digest: str, token: str, projects: frozenset[str], peer: str
    ) -> Viewer | None:
        user = await self._user(digest, token, peer)
        if user is None:
            return None
        name = plain(str(user.get("username") or ""), 253)
        who = hashlib.sha256(msgspec.json.encode(user)).hexdigest()
        rights = self._rights.get(who)
        if rights is None or self._clock.monotonic() >= rights.until:
            rights = _Rights(self._clock.monotonic() + REVIEW_TTL)
            _keep(self._rights, who, rights, MAX_REMEMBERED_USERS)
        await self._ask(user, rights, {""})
        if "" in rights.yes:
            return Viewer(name)
        await self._ask(user, rights, projects - {""})
        return Viewer(name, everything=False, projects=frozenset(rights.yes & projects))

    async def _user(self, digest: str, token: str, peer: str) -> dict[str, Any] | None:
        now = self._clock.monotonic()
        kept = self._users.get(digest)
        if kept is not None and now < kept[0]:
            return kept[1]
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        try:
            async with asyncio.timeout(REVIEW_TIMEOUT):
                await self._tokens.take(peer)
        except TimeoutError as error:
            raise Busy(f"no turn to ask who this is within {REVIEW_TIMEOUT:.0f}s") from error
        try:
            status = await self._asked(TOKEN_REVIEWS, body)
        finally:
            self._tokens.give()
        user: dict[str, Any] | None = (
            status.get("user") if status.get("authenticated") and not status.get("error") else None
        )
        if user is None:
            _keep(
                self._strangers, digest, now + KEPT_NO, MAX_REMEMBERED_USERS
            )  # beside the others: nobody is forgotten for them
        else:
            _keep(self._users, digest, (now + REVIEW_TTL, user), MAX_REMEMBERED_USERS)
        return user

    async def _ask(self, user: Mapping[str, Any], rights: _Rights, projects: Iterable[str]) -> None:
        """May they get these AppProjects (empty: all of them)? What is known already is not
        asked."""
        wanted = sorted(set(projects) - rights.yes - rights.no)
        answers = await asyncio.gather(*(self._may(user, project) for project in wanted))
        for project, may in zip(wanted, answers, strict=True):
            (rights.yes if may else rights.no).add(project)

    async def _may(self, user: Mapping[str, Any], project: str) -> bool:
        wanted = {
            "group": "argoproj.io",
            "resource": "appprojects",
            "verb": "get",
            "namespace": self._namespace,
            "name": project,
        }
        spec = {
            "user": user.get("username"),
            "groups": user.get("groups") or [],
            "uid": user.get("uid") or "",
        }
        spec |= {"extra": user.get("extra") or {}, "resourceAttributes": wanted}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        }
        async with self._places:
            status = await self._asked(ACCESS_REVIEWS, body)
        return bool(status.get("allowed")) and not status.get("denied")

    async def _asked(self, what: Any, body: dict[str, Any]) -> dict[str, Any]:
        raw = await self._client.create(what, "", body)
        status: dict[str, Any] = decoded(raw, dict).get("status") or {}
        return status


def token_of(request: web.Request) -> str:
    """Token that the request carries; empty for none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    found = token.strip() if kind.lower() == "bearer" else ""
    for header in TOKEN_HEADERS:
        found = found or request.headers.get(header, "").strip()
    found = found or request.cookies.get(COOKIE, "")
    return found if len(found) <= LONGEST_TOKEN and found.isascii() else ""


def _keep(kept: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        kept.pop(next(iter(kept)))
