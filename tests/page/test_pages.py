"""The page without a browser: what is on it, who may see it, what it costs."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import aiohttp
import msgspec
import pytest

from recovery.clock import SystemClock
from recovery.kube.client import ACCESS_REVIEWS, TOKEN_REVIEWS
from recovery.kube.errors import Unavailable
from recovery.model.recovery import RecoveryPhase
from recovery.serve.gate import Gate
from tests.page.scene import HOSTILE, Scene

HTML = {"Accept": "text/html"}


async def got(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(url, headers={**HTML, **headers}, allow_redirects=False) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


async def test_the_front_page_tells_what_is_wrong_and_what_is_done() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        status, html, headers = await got(f"{url}/")

    assert status == 200
    for words in ("argocd/app-00000", "Stalled", "recovery reset", "restart for", "Pending", "acts at", "CrashLoop", "Not ready"):
        assert words in html, words
    assert html.index("app-00000") < html.index("app-00001"), "who needs a person comes first"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(r"\sstyle=|<style|<script>|\son[a-z]+=", html)
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "").replace(url, "")


@pytest.mark.parametrize("path", ["/", "/history", "/applications", "/places", "/recoveries/app-00005-abc", "/subject?name=argocd/late"])
async def test_every_page_renders(path: str) -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        status, html, _ = await got(url + path)

    assert status == 200
    assert html.count("<h1>") == 1


async def test_what_others_wrote_is_text() -> None:
    scene = Scene()
    held = scene.hostile()
    async with scene.served() as url:
        pages = [(await got(url + path))[1] for path in ("/", f"/recoveries/{held.name}", "/history", "/?q=%3Cscript%3Ealert(1)")]

    for html in pages:
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "49" not in re.findall(r"\{\{7\*7\}\}|>49<", html)
    assert HOSTILE.replace("<", "&lt;").split('"', maxsplit=1)[0].replace(">", "&gt;") in pages[0]


async def test_search_and_filter_are_in_the_url() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        _, stalled, _ = await got(f"{url}/?phase=Stalled&q=app-00005")
        _, nothing, _ = await got(f"{url}/?q=nowhere&page=99")

    assert "app-00005" in stalled
    assert "app-00000" not in stalled
    assert "Nothing matches" in nothing


async def test_links_are_relative_so_that_any_path_may_stand_before_them() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        pages = [(await got(url + path))[1] for path in ("/", "/recoveries/app-00005-abc", "/applications?page=2")]

    for html in pages:
        links = re.findall(r'(?:href|src|action)="([^"]*)"', html)
        assert links
        assert not [link for link in links if link.startswith("/") or "://" in link]


async def test_ten_thousand_applications_are_paged_here() -> None:
    scene = Scene()
    scene.applications(10_000)
    for number in range(5_000):
        scene.recovery(number, RecoveryPhase.Stalled if number % 2 else RecoveryPhase.Resolved)
    async with scene.served() as url:
        await got(f"{url}/")  # the templates are read
        began = time.perf_counter()
        _, last, _ = await got(f"{url}/applications?page=200")
        _, front, _ = await got(f"{url}/?page=3")
        _, ill, _ = await got(f"{url}/applications?phase=ill&q=team-0")
        print(f"three pages of 10,000 applications and 5,000 recoveries: {(time.perf_counter() - began) * 1000:.0f} ms")

    assert "app-09999" in last
    assert "Page 200 of 200" in last
    assert "Page 3 of 50, 2500 in all" in front
    assert "1000 applications" in ill
    assert all(len(html) < 120_000 for html in (last, front, ill))


class Kube:
    """Answers reviews: who a token is, and which projects they may get."""

    def __init__(self) -> None:
        self.users = {"all": "admin", "some": "ada", "none": "eve"}
        self.may = {("admin", ""), ("ada", "team-1")}
        self.asked: list[str] = []
        self.broken = False

    async def create(self, what: Any, namespace: str, body: dict[str, Any]) -> bytes:
        if self.broken:
            raise Unavailable("no answer")
        spec = body["spec"]
        if what == TOKEN_REVIEWS:
            name = self.users.get(spec["token"])
            self.asked.append("who")
            return msgspec.json.encode({"status": {"authenticated": bool(name), "user": {"username": name, "groups": ["g"]}}})
        assert what == ACCESS_REVIEWS
        wanted = spec["resourceAttributes"]
        assert (wanted["verb"], wanted["resource"], wanted["namespace"]) == ("get", "appprojects", "argocd")
        self.asked.append(f"may {spec['user']} {wanted['name']}")
        return msgspec.json.encode({"status": {"allowed": (spec["user"], wanted["name"]) in self.may}})


async def test_who_looks_sees_their_own_projects_and_nobody_else_sees_anything() -> None:
    scene, kube = Scene(), Kube()
    scene.fill()
    async with scene.served(Gate(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        anonymous = await got(f"{url}/")
        unknown = await got(f"{url}/", Authorization="Bearer nobody")
        everything = await got(f"{url}/", Authorization="Bearer all")
        own = await got(f"{url}/", **{"X-Forwarded-Access-Token": "some"})
        other = await got(f"{url}/recoveries/app-00002-abc", **{"X-Recovery-Token": "some"})
        mine = await got(f"{url}/recoveries/app-00001-abc", Cookie="recovery_token=some")
        apps = await got(f"{url}/applications", Authorization="Bearer some")
        nothing = await got(f"{url}/applications", Authorization="Bearer none")
        api = [await got(url + path, Accept="*/*") for path in ("/api/v1/recoveries", "/api/v1/explain/argocd/late", "/events")]
        listed = await got(f"{url}/api/v1/recoveries", Authorization="Bearer some")
        open_to_all = [await got(url + path) for path in ("/healthz", "/ready", "/metrics", "/static/style.css")]

    assert (anonymous[0], "kubectl -n gitops-system create token" in anonymous[1], "app-000" in anonymous[1]) == (401, True, False)
    assert (unknown[0], "does not know this token" in unknown[1]) == (401, True)
    assert "app-00002" in everything[1]
    assert ("app-00001" in own[1], "app-00002" in own[1], "primary" in own[1]) == (True, False, False)
    assert (other[0], mine[0]) == (404, 200)
    assert ("app-00001" in apps[1], "app-00002" in apps[1]) == (True, False)
    assert "app-0" not in nothing[1]
    assert [status for status, _, _ in api] == [401, 401, 401]
    assert {r["subject"] for r in msgspec.json.decode(listed[1])["recoveries"]} == {f"argocd/app-{n:05}" for n in (1, 11, 21)}
    assert [status for status, _, _ in open_to_all] == [200, 503, 200, 200]
    assert "app-0" not in open_to_all[1][1] + open_to_all[2][1]
    assert kube.asked.count("who") == 4, "an answer is good for a minute"


async def test_when_it_cannot_be_asked_nothing_is_shown() -> None:
    scene, kube = Scene(), Kube()
    scene.fill()
    kube.broken = True
    async with scene.served(Gate(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        status, html, _ = await got(f"{url}/", Authorization="Bearer all")

    assert (status, "app-000" in html) == (503, False)


async def test_a_token_is_kept_in_a_cookie_that_scripts_cannot_read() -> None:
    scene = Scene()
    async with scene.served(Gate(Kube(), "argocd", SystemClock())) as url, aiohttp.ClientSession() as session:  # type: ignore[arg-type]
        answer = await session.post(f"{url}/login", data={"token": "all"}, headers={"X-Forwarded-Proto": "https"}, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "./")
        assert answer.headers["Set-Cookie"] == "recovery_token=all; HttpOnly; SameSite=Strict; Secure"
        elsewhere = await session.post(
            f"{url}/login", data={"token": "all"}, headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False
        )
        assert (elsewhere.status, "Set-Cookie" in elsewhere.headers) == (403, False)
        nonsense = await session.post(f"{url}/login", data={"token": "a;b\nc"}, allow_redirects=False)
        assert (nonsense.status, "Set-Cookie" in nonsense.headers) == (401, False)


async def test_a_change_is_told_to_whoever_listens() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url, aiohttp.ClientSession() as session, session.get(f"{url}/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"retry: 3000\n"
        await answer.content.readline()
        await asyncio.sleep(0.1)  # it has seen how things stand
        scene.recovery(7, RecoveryPhase.Stalled, message="again", version="2")
        async with asyncio.timeout(10):
            assert await answer.content.readline() == b"event: changed\n"
