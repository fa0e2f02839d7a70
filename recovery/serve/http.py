"""Look, don't touch: health, readiness, metrics, the page and a read-only API on one port."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qs

import structlog
from aiohttp import web

from recovery.kube.errors import KubeError
from recovery.serve import render
from recovery.serve.auth import COOKIE, EVERYBODY, LONGEST_TOKEN, Authenticator, Viewer, token_of
from recovery.serve.doorkeeper import Doorkeeper
from recovery.serve.handlers import Site
from recovery.serve.protocols import PageQueries, Starting, Views
from recovery.serve.responses import RESPONSE_HEADERS, json

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Show = Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]
LISTENERS, LISTENERS_EACH = 200, 20
"""Open event streams, in all and of one person."""
_BACK = re.compile(
    r"recoveries/[A-Za-z0-9.-]+|history|applications|connections|subject\?name=[A-Za-z0-9%._/-]+"
)
"""Where one may be sent after saying who one is."""
BACKLOG = 128
READ_TIMEOUT = 10.0
"""Seconds for a form to arrive, and for an event to be taken."""
_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
TICK, BEAT = 1.0, 15.0
"""Seconds between two looks for changes, and between two signs of life."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound; without a host to every address of both families, of IPv4 alone where
    the machine has no IPv6. OSError when the address is taken or none of ours."""
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.getaddrinfo(
        host,
        port,
        family if not host or ":" in host else 0,
        socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    return socket.create_server(found[0][4][:2], family=found[0][0])


class Server:
    """Serves from the first moment on; ``views`` is exchanged when there is something to see,
    ``gate`` when somebody can be asked."""

    def __init__(
        self, host: str, port: int, *, guarded: bool = False, namespace: str = "gitops-system"
    ) -> None:
        """``guarded``: who looks has to say who they are."""
        self._host, self._port = host, port
        self._guarded = guarded
        self._site = Site(lambda: self.views, namespace)
        self._here_only = host in ("127.0.0.1", "::1", "localhost")
        self._keeper = Doorkeeper()
        self._listening: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._listeners: Counter[str] = Counter()
        self._looked_at, self._known_version = float("-inf"), ""
        self.views: Views = Starting()
        self.gate: Authenticator | None = None

    @property
    def port(self) -> int:
        """The port in use (another than asked for only when 0 was)."""
        sockets = self._listening.sockets if self._listening else ()
        return int(sockets[0].getsockname()[1]) if sockets else self._port

    async def start(self) -> None:
        """Listen; OSError when the address is taken."""
        app = web.Application(
            client_max_size=64 * 1024, middlewares=[self._ours, self._keeper.counted]
        )
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/", self._seen(self._site.now))
        app.router.add_get("/history", self._seen(self._site.history))
        app.router.add_get("/applications", self._seen(self._site.applications))
        app.router.add_get("/connections", self._seen(self._site.connections))
        app.router.add_get("/places", _renamed)  # until v1alpha1 goes: a bookmark of before
        app.router.add_get("/recoveries/{name}", self._seen(self._site.recovery))
        app.router.add_get("/subject", self._seen(self._site.subject))
        app.router.add_get("/events", self._seen(self._events))
        app.router.add_get("/static/{name}", self._static)
        app.router.add_post("/login", self._login)
        app.router.add_get("/logout", self._logout)
        app.router.add_get("/api/v1/recoveries", self._seen(self._recoveries))
        # The last one may be a URL: a repository is called by it.
        app.router.add_get("/api/v1/explain/{place}/{name:.+}", self._seen(self._explain))
        app.router.add_get("/api/v1/explain", self._seen(self._explain))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 (setup has made it)
        loop = asyncio.get_running_loop()
        factory = self._keeper.guard(cast("Callable[[], asyncio.Protocol]", self._runner.server))
        sock = listening(self._host, self._port)
        self._listening = await loop.create_server(factory, sock=sock, backlog=BACKLOG)
        self._sweeping = asyncio.create_task(self._keeper.run())

    async def stop(self) -> None:
        """Stop listening, and end what is being answered."""
        if self._listening is not None:
            self._listening.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _ours(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Where only this machine is listened to, a page of elsewhere that has made its name mean
        this machine is not answered."""
        if self._here_only and not _LOOPBACK.fullmatch(request.headers.get("Host", "")):
            return json(
                {"message": "Host has to be localhost: this address is for this machine only"}, 421
            )
        return await handler(request)

    def _seen(self, show: Show) -> Handler:
        """Shown to whoever may look; a browser is asked for a token, a program is told 401."""

        async def seen(request: web.Request) -> web.StreamResponse:
            if not self._guarded:
                return await show(request, EVERYBODY)
            token = token_of(request)
            if not token:
                return self._site.who_are_you(request, "")
            if self.gate is None:
                return self._site.no(
                    request,
                    503,
                    "Starting",
                    "The controller is starting; authentication is not available yet.",
                )
            browsing = self.views.browsing
            try:
                viewer = await self.gate.viewer(
                    token, browsing.projects() if browsing else (), request.remote or ""
                )
            except KubeError as error:
                log.warning("authentication unavailable", why=str(error))
                return self._site.no(
                    request,
                    503,
                    "Not now",
                    "Authentication is unavailable: the API server does not answer. Nothing is"
                    " shown until it does.",
                )
            if viewer is None:
                return self._site.who_are_you(
                    request, "Kubernetes does not know this token; it may have expired."
                )
            return await show(request, viewer)

        return seen

    async def _events(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """Server-sent events: that something changed. What it is, the page fetches itself."""
        if self._listeners.total() >= LISTENERS or (
            viewer.name and self._listeners[viewer.name] >= LISTENERS_EACH
        ):
            return self._site.no(
                request,
                503,
                "Too many",
                "Too many pages are open; this one does not update itself.",
            )
        response = web.StreamResponse(
            headers={
                **RESPONSE_HEADERS,
                "Content-Type": "text/event-stream",
                "X-Accel-Buffering": "no",
            }
        )
        self._keeper.lasts(request)
        await response.prepare(request)
        self._listeners[viewer.name] += 1
        loop = asyncio.get_running_loop()
        seen, beat = "", loop.time()
        try:
            await _sent(response, b"retry: 3000\n\n")
            while request.transport is not None and not request.transport.is_closing():
                browsing = self.views.browsing
                version = self._version(browsing)
                if seen and version != seen:
                    await _sent(
                        response, b"event: changed\ndata: changed\n\n"
                    )  # how much is not for everybody
                    beat = loop.time()
                elif loop.time() - beat > BEAT:
                    await _sent(response, b": still here\n\n")
                    beat = loop.time()
                seen = version
                await asyncio.sleep(TICK)
        except (ConnectionError, RuntimeError, TimeoutError):
            pass  # gone, or it reads nothing
        finally:
            self._listeners[viewer.name] -= 1
            self._listeners += Counter()  # who listens no longer is forgotten
        return response

    def _version(self, browsing: PageQueries | None) -> str:
        """Worked out once a second, however many listen."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= TICK or browsing is None:
            told = self.views.details()
            about = [
                self.views.ready(),
                told.get("pauses"),
                told.get("policies"),
                told.get("policies_error"),
                told.get("channels"),
            ]
            self._known_version = f"{browsing.version if browsing else ''} {hash(repr(about))}"
            self._looked_at = now
        return self._known_version

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in render.STATIC:
            return json({"message": "not found"}, 404)
        headers = {
            **RESPONSE_HEADERS,
            "Cache-Control": "max-age=300",
            "Content-Type": f"{render.STATIC[name]}; charset=utf-8",
        }
        return web.Response(body=render.static(name), headers=headers)

    async def _login(self, request: web.Request) -> web.Response:
        """A token into a cookie that scripts cannot read and that no other site's request
        carries."""
        if _foreign(request):
            return self._site.no(
                request,
                403,
                "Cross-site request refused",
                "This form is sent from its own page only.",
            )
        try:
            plain = request.content_type == "application/x-www-form-urlencoded"
            async with asyncio.timeout(READ_TIMEOUT):
                form = parse_qs((await request.read()).decode("ascii")) if plain else {}
        except (ValueError, web.HTTPException, TimeoutError):
            form = {}
        token = (form.get("token") or [""])[0].strip()
        if len(token) > LONGEST_TOKEN:
            words = (
                f"That token has {len(token)} characters; a cookie holds {LONGEST_TOKEN}. Show it"
                " in a header."
            )
            return self._site.who_are_you(request, words)
        if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
            return self._site.who_are_you(request, "That is no token.")
        back = (form.get("next") or [""])[0]
        where = (
            back
            if re.fullmatch(
                r"(recoveries/[A-Za-z0-9.-]+|history|applications|connections|subject\?name=[A-Za-z0-9%._/-]+)",
                back,
            )
            else "./"
        )
        secure = (
            "; Secure"
            if request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
            else ""
        )
        headers = {
            **RESPONSE_HEADERS,
            "Location": where,
            "Set-Cookie": f"{COOKIE}={token}; HttpOnly; SameSite=Lax{secure}",
        }
        return web.Response(status=303, headers=headers)

    async def _logout(self, _: web.Request) -> web.Response:
        headers = {
            **RESPONSE_HEADERS,
            "Location": "./",
            "Set-Cookie": f"{COOKIE}=; HttpOnly; SameSite=Lax; Max-Age=0",
        }
        return web.Response(status=303, headers=headers)

    async def _health(self, _: web.Request) -> web.Response:
        # That this answers at all says that the event loop turns. An API server outage must not
        # restart us.
        return web.Response(text="ok\n", headers=RESPONSE_HEADERS)

    async def _ready(self, _: web.Request) -> web.Response:
        # Asked by the kubelet, who has no token: nothing that names a subject where others have to
        # show one.
        reasons = self.views.ready()
        if self._guarded:
            short = [reason.partition(": ")[0] for reason in reasons]
            return json({"ready": not reasons, "reasons": short}, 503 if reasons else 200)
        details = self.views.details()
        return json({"ready": not reasons, "reasons": reasons, **details}, 503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self.views.metrics(),
            headers={
                **RESPONSE_HEADERS,
                "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
            },
        )

    async def _recoveries(self, _: web.Request, viewer: Viewer) -> web.Response:
        return json(self.views.recoveries(viewer.sees))

    async def _explain(self, request: web.Request, viewer: Viewer) -> web.Response:
        # As a query, too: proxies fold the two slashes of a URL in a path.
        place, _, name = request.query.get("subject", "").partition("/")
        place, name = request.match_info.get("place", place), request.match_info.get("name", name)
        found = self._site.found(f"{place}/{name}", viewer)
        if found is None:
            return json({"message": f"{place}/{name} is not known here"}, HTTPStatus.NOT_FOUND)
        return json(found)


async def _sent(response: web.StreamResponse, data: bytes) -> None:
    """Written, and taken in time: who reads nothing is let go."""
    async with asyncio.timeout(READ_TIMEOUT):
        await response.write(data)


def _foreign(request: web.Request) -> bool:
    """Was the form on another site's page? Browsers say so; over plain http, the Origin does."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin", "")
    return bool(origin) and origin.partition("://")[2] not in (
        request.headers.get("X-Forwarded-Host", ""),
        request.host,
    )


async def _renamed(request: web.Request) -> web.StreamResponse:
    """The old address of the page of repositories and clusters; relative, for proxies."""
    raise web.HTTPPermanentRedirect(f"connections?{request.query_string}".rstrip("?"))
