"""The pages: what each shows, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from recovery.model.names import SubjectKey
from recovery.serve import render
from recovery.serve.auth import EVERYBODY, Viewer
from recovery.serve.pagination import query
from recovery.serve.protocols import PageQueries, Views
from recovery.serve.responses import RESPONSE_HEADERS, json, program

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Its own files and nothing else, no inline script, no inline style."""
_PHASES = ("Stalled", "Remediating", "Verifying", "BackingOff", "Suppressed")


class Site:
    """Pages for a viewer; renders, and decides nothing."""

    def __init__(self, views: Callable[[], Views], namespace: str) -> None:
        self._views = views
        self._namespace = namespace

    def who_are_you(self, request: web.Request, why: str) -> web.Response:
        if program(request):
            words = (
                why
                or "a token is needed: Authorization: Bearer TOKEN, or X-Recovery-Token through "
                "the API server's proxy"
            )
            return json({"message": words}, 401)
        back = request.path.strip("/") if request.method == "GET" else ""
        back += (
            f"?name={quote(request.query['name'])}"
            if back == "subject" and "name" in request.query
            else ""
        )
        return self._page(
            "login.html",
            request,
            EVERYBODY,
            401,
            why=why,
            back=back,
            namespace=self._namespace,
            live=False,
        )

    def no(
        self, request: web.Request, status: int, title: str, words: str, viewer: Viewer = EVERYBODY
    ) -> web.Response:
        if program(request):
            return json({"message": words}, status)
        return self._page(
            "absent.html", request, viewer, status, title=title, words=words, live=False
        )

    def _page(
        self,
        name: str,
        request: web.Request,
        viewer: Viewer,
        status: int = 200,
        *,
        live: bool = True,
        **known: Any,
    ) -> web.Response:
        depth = request.path.count("/") - 1
        root = "../" * depth or "./"
        here = request.path.strip("/")
        html = render.render(
            name, root=root, here=here, viewer=viewer, now=datetime.now(UTC), live=live, **known
        )
        headers = {
            **RESPONSE_HEADERS,
            "Content-Security-Policy": _POLICY,
            "Content-Type": "text/html; charset=utf-8",
        }
        return web.Response(body=html.encode(), status=status, headers=headers)

    async def now(self, request: web.Request, viewer: Viewer) -> web.Response:
        browsing, asked = self._views().browsing, query(request.query)
        if browsing is None:
            return self.no(
                request, 503, "Starting", "The controller is starting; try again in a moment."
            )
        days = browsing.days(viewer.sees)
        return self._page(
            "now.html",
            request,
            viewer,
            query=asked,
            banners=self._banners(browsing, viewer),
            counts=browsing.counts(viewer.sees),
            breakdown=browsing.breakdown(viewer.sees),
            open=browsing.open(viewer.sees, asked),
            waiting=browsing.waiting(viewer.sees, msgspec.structs.replace(asked, page=1)),
            phases=_PHASES,
            policies=browsing.policies(viewer.sees),
            days=days,
            charts=render.drawn(days),
        )

    def _banners(self, browsing: PageQueries, viewer: Viewer) -> list[tuple[bool, str]]:
        """Banners that concern everything: loud or not, and the words."""
        told = self._views().details()
        reasons = self._views().ready()
        words = "; ".join(
            reasons if viewer.everything else [reason.partition(": ")[0] for reason in reasons]
        )
        found = [(True, f"Not ready: {words}")] if reasons else []
        if told.get("policies_error") and told.get("policies") and viewer.everything:
            found.append(
                (
                    True,
                    (
                        "The newest policies are refused, the last good ones stay:"
                        f" {told['policies_error']}"
                    ),
                )
            )
        if told.get("enabled") is False:
            found.append(
                (
                    False,
                    ("RECOVERY_ENABLED is false: decisions are shown, nothing is changed."),
                )
            )
        found += [(True, f"Storm: {words}") for words in browsing.storms(viewer.sees)]
        for pause in told.get("pauses") or () if viewer.everything else ():
            until = f" until {pause['until']:%Y-%m-%d %H:%M} UTC" if pause["until"] else ""
            what = "Silenced" if pause["silences"] else "Paused"
            found.append(
                (
                    False,
                    (
                        f"{what}{until} by {pause['by'] or 'somebody'}: {pause['reason']}"
                        f" ({pause['name'] or 'policy file'})"
                    ),
                )
            )
        for policy, why in (told.get("distrusted") or {}).items() if viewer.everything else ():
            name, _, project = policy.split("/", 2)
            where = f" in project {project}" if project else ""
            found.append(
                (False, f"Policy {name} only observes{where}: {why}. Edit it to close the circuit.")
            )
        for channel in told.get("channels") or () if viewer.everything else ():
            if channel["why"]:
                wait = f"{channel['why']}; {channel['waiting']} messages queued"
                found.append((False, f"Channel {channel['channel']} does not answer: {wait}."))
        return found

    async def history(self, request: web.Request, viewer: Viewer) -> web.Response:
        browsing, asked = self._views().browsing, query(request.query)
        if browsing is None:
            return self.no(
                request, 503, "Starting", "The controller is starting; try again in a moment."
            )
        past = browsing.past(viewer.sees, asked)
        return self._page(
            "history.html",
            request,
            viewer,
            installed=browsing.since_installation(viewer.sees),
            query=asked,
            past=past,
            policies=browsing.policies(viewer.sees),
        )

    async def applications(self, request: web.Request, viewer: Viewer) -> web.Response:
        browsing, asked = self._views().browsing, query(request.query)
        if browsing is None:
            return self.no(
                request, 503, "Starting", "The controller is starting; try again in a moment."
            )
        projects = sorted(p for p in browsing.projects() if p and viewer.sees(p))
        found = browsing.applications(viewer.sees, asked)
        return self._page(
            "applications.html", request, viewer, query=asked, found=found, projects=projects
        )

    async def connections(self, request: web.Request, viewer: Viewer) -> web.Response:
        browsing, asked = self._views().browsing, query(request.query)
        if browsing is None:
            return self.no(
                request, 503, "Starting", "The controller is starting; try again in a moment."
            )
        return self._page(
            "connections.html",
            request,
            viewer,
            query=asked,
            found=browsing.connections(viewer.sees, asked),
        )

    async def recovery(self, request: web.Request, viewer: Viewer) -> web.Response:
        browsing = self._views().browsing
        found = browsing.timeline(request.match_info["name"], viewer.sees) if browsing else None
        if found is None:
            return self.no(
                request,
                404,
                "Not known",
                "There is no such recovery, or you may not see it. Recoveries are kept for seven"
                " days.",
                viewer,
            )
        return self._page("recovery.html", request, viewer, t=found)

    async def subject(self, request: web.Request, viewer: Viewer) -> web.Response:
        found = self.found(request.query.get("name", ""), viewer)
        if found is None:
            return self.no(
                request,
                404,
                "Not known",
                "There is no such subject, or you may not see it.",
                viewer,
            )
        shown = {
            "words": "",
            "depending": (),
            "ledger": (),
            "state": "",
            "diagnosis": None,
            **found,
        }
        return self._page("subject.html", request, viewer, s=shown)

    def found(self, name: str, viewer: Viewer) -> Mapping[str, Any] | None:
        """A subject by what people call it, if it is known and theirs to see."""
        place, _, rest = name.partition("/")
        # A namespace may be called cluster or repository, too: what is known by that name first is
        # meant.
        keys = [SubjectKey(place, "", rest)] if place in ("cluster", "repository") else []
        browsing = self._views().browsing
        for key in (*keys, SubjectKey("application", place, rest)):
            if (found := self._views().explain(key, viewer.sees)) is not None:
                project = browsing.subject(key)[0] if browsing else ""
                return found if viewer.sees(project) else None
        return None
