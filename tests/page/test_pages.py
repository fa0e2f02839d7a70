"""The page without a browser: what is on it, who may see it, what it costs."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.causes.catalogue import BY_NAME
from recovery.clock import SystemClock
from recovery.kube.client import ACCESS_REVIEWS, TOKEN_REVIEWS
from recovery.kube.errors import Unavailable
from recovery.model.application import Health
from recovery.model.decision import Decision, Kind
from recovery.model.recovery import RecoveryPhase, Subject
from recovery.page_queries import brief
from recovery.policies import parse
from recovery.serve.auth import Authenticator
from tests.builders import an_application
from tests.page.scene import HOSTILE, Scene

HTML = {"Accept": "text/html"}


async def got(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={**HTML, **headers}, allow_redirects=False) as answer,
    ):
        return answer.status, await answer.text(), dict(answer.headers)


async def test_the_front_page_tells_what_is_wrong_and_what_is_done() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        status, html, headers = await got(f"{url}/")

    assert status == 200
    for words in (
        "argocd/app-00000",
        "Stalled",
        "recovery reset",
        "restart for",
        "Pending",
        "acts <time",
        "CrashLoop",
        "Not ready",
    ):
        assert words in html, words
    assert html.index("app-00000") < html.index("app-00001"), (
        "who requires manual intervention comes first"
    )
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(r"\sstyle=|<style|<script>|\son[a-z]+=", html)
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "").replace(url, "")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/history",
        "/applications",
        "/connections",
        "/recoveries/app-00005-abc",
        "/subject?name=argocd/late",
    ],
)
async def test_every_page_renders(path: str) -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        status, html, _ = await got(url + path)

    assert status == 200
    assert html.count("<h1>") == 1


async def test_the_history_begins_with_what_came_of_all_since_the_installation() -> None:
    scene = Scene()
    scene.fill()
    gone = scene.recovery(50, RecoveryPhase.Resolved)
    scene.app.recoveries.drop("gitops-system", gone.name)
    scene.app.checkpoint.totals.add([gone])
    async with scene.served() as url:
        _, html, _ = await got(url + "/history")
        _, searched, _ = await got(url + "/history?q=app-00024")

    assert "Since installation" in html
    assert '<td data-label="Incidents">31</td>' in html
    assert "(restart 25)" in html
    assert "Since installation" not in searched


async def test_the_old_address_of_the_connections_leads_to_the_new_one() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        status, _, headers = await got(url + "/places?q=git")
    assert (status, headers["Location"]) == (308, "connections?q=git")


async def test_what_others_wrote_is_text() -> None:
    scene = Scene()
    held = scene.hostile()
    async with scene.served() as url:
        pages = [
            (await got(url + path))[1]
            for path in ("/", f"/recoveries/{held.name}", "/history", "/?q=%3Cscript%3Ealert(1)")
        ]

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

    rows = stalled.partition("<tbody>")[
        2
    ]  # above them stands why a policy only watches, with whom it did not help
    assert "app-00005" in rows
    assert "app-00000" not in rows
    assert "No matches" in nothing


async def test_what_needs_a_person_is_first_with_what_to_do_in_full() -> None:
    scene = Scene()
    scene.recovery(3, RecoveryPhase.Remediating, cause="MissingCRD/Absent")
    words = "a word at the end of a long message"
    scene.recovery(
        4,
        RecoveryPhase.Stalled,
        cause="MissingCRD/Absent",
        message="so much was said before " * 20 + words,
    )
    async with scene.served() as url:
        _, front, _ = await got(f"{url}/")
        _, one, _ = await got(f"{url}/recoveries/app-00004-abc")

    advice = "Install the CRD (or the application that brings it)"
    assert front.index("app-00004") < front.index("app-00003")
    assert front.count(advice) == 1, "only for what requires manual intervention"
    assert words in front
    assert "requires manual intervention" in one
    assert one.index("What to do") < one.index(advice) < one.index("Timeline")


async def test_links_lead_to_argo_cd_and_the_runbook_of_the_cause() -> None:
    scene = Scene()
    links = "messages: {links: {argocd: 'https://argocd.example/', runbook: 'https://wiki.example/{cause}', page: 'https://recovery.example'}}"
    scene.app.source.policies = parse(f"recovery_policies: []\n{links}\n", POLICY_ACTIONS)
    scene.recovery(4, RecoveryPhase.Stalled, cause="MissingCRD/Absent")
    async with scene.served() as url:
        _, one, _ = await got(f"{url}/recoveries/app-00004-abc")

    assert (
        '<a href="https://argocd.example/applications/argocd/app-00004" rel="noreferrer">Argo CD</a>'
        in one
    )
    assert '<a href="https://wiki.example/MissingCRD%2FAbsent" rel="noreferrer">Runbook</a>' in one
    assert "recovery.example" not in one, "one is there"


async def test_what_reads_the_same_is_one_row() -> None:
    scene = Scene()
    scene.applications(300)
    for number in range(300):
        app = an_application(name=f"app-{number:05}", uid=f"uid-{number}", health=Health.Degraded)
        scene.put(app)
        held = Decision(
            Kind.Suppress,
            "application-health-degraded",
            "PreExisting",
            "unwell before",
            None,
            by="PreExisting",
        )
        scene.app.journal.note(app.key, (held,), ours=True)
    for number in range(200):
        scene.recovery(number, RecoveryPhase.Stalled, message="the same of all")
    scene.recovery(250, RecoveryPhase.Stalled, message="of its own")
    async with scene.served() as url:
        _, front, _ = await got(f"{url}/")

    recoveries, _, held_back = front.partition('id="waiting"')
    assert recoveries.count("the same of all") == 1
    assert "and 199 more" in recoveries
    assert recoveries.count("recoveries/app-") == 102, (
        "itself, one of its own, and a hundred by name"
    )
    assert held_back.count("unwell before") == 1
    assert "and 299 more" in held_back


async def test_lists_are_sorted_by_the_column_that_was_asked_for() -> None:
    scene = Scene()
    scene.applications(60)
    async with scene.served() as url:
        _, up, _ = await got(f"{url}/applications?sort=health")
        _, down, _ = await got(f"{url}/applications?sort=-health")
        _, unknown, _ = await got(f"{url}/applications?sort=nonsense")

    assert up.index("app-00000") < up.index("app-00001"), "Degraded before Healthy"
    assert down.index("app-00001") < down.index("app-00002")
    assert "app-00000" not in down, "it is on the second page"
    assert 'aria-sort="ascending"><a href="?sort=-health"' in up
    assert 'href="?sort=-health&amp;page=2"' in down
    assert unknown.index("app-00000") < unknown.index("app-00001")


async def test_the_front_page_says_where_the_unwell_are() -> None:
    scene = Scene()
    scene.applications(200)
    scene.app.store.causes["uid-0"] = "RolloutFailed"
    async with scene.served() as url:
        _, front, _ = await got(f"{url}/")
        _, those, _ = await got(f"{url}/applications?phase=ill&q=RolloutFailed")

    assert re.search(
        r"By cause</dt><dd><a [^>]*>no cause known</a> <b>19</b>, <a [^>]*q=RolloutFailed[^>]*>RolloutFailed</a> <b>1</b>",
        front,
    )
    assert re.search(r"By project</dt><dd><a [^>]*>team-0</a> <b>20</b>", front)
    assert "1 applications" in those


async def test_times_are_lengths_with_the_time_itself_beside_them() -> None:
    scene = Scene()
    at = scene.now - timedelta(minutes=26)
    scene.recovery(1, RecoveryPhase.Stalled, opened_at=at, unhealthy_since=at)
    async with scene.served() as url:
        _, front, _ = await got(f"{url}/")

    assert f'title="{at:%Y-%m-%d %H:%M:%S} UTC">26m ago</time>' in front


async def test_links_are_relative_so_that_any_path_may_stand_before_them() -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url:
        pages = [
            (await got(url + path))[1]
            for path in ("/", "/recoveries/app-00005-abc", "/applications?page=2")
        ]

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
        print(
            f"three pages of 10,000 applications and 5,000 recoveries: {(time.perf_counter() - began) * 1000:.0f} ms"
        )

    assert "app-09999" in last
    assert "Page 200 of 200" in last
    assert "Page 3 of 50, 2500 in total" in front
    assert "1000 applications" in ill
    assert all(len(html) < 120_000 for html in (last, front, ill))


class Kube:
    """Answers reviews: who a token is, and which projects they may get."""

    def __init__(self) -> None:
        self.users = {"all": "admin", "some": "ada", "none": "eve"}
        self.may = {("admin", ""), ("ada", "team-1")}
        self.asked: list[str] = []
        self.broken = False
        self.now = self.most = 0
        """Tokens asked about at this moment, and at most."""

    async def create(self, what: Any, namespace: str, body: dict[str, Any]) -> bytes:
        if self.broken:
            raise Unavailable("no answer")
        self.now += what == TOKEN_REVIEWS
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= what == TOKEN_REVIEWS
        spec = body["spec"]
        if what == TOKEN_REVIEWS:
            name = self.users.get(spec["token"])
            self.asked.append("who")
            return msgspec.json.encode(
                {
                    "status": {
                        "authenticated": bool(name),
                        "user": {"username": name, "groups": ["g"]},
                    }
                }
            )
        assert what == ACCESS_REVIEWS
        wanted = spec["resourceAttributes"]
        assert (wanted["verb"], wanted["resource"], wanted["namespace"]) == (
            "get",
            "appprojects",
            "argocd",
        )
        self.asked.append(f"may {spec['user']} {wanted['name']}")
        return msgspec.json.encode(
            {"status": {"allowed": (spec["user"], wanted["name"]) in self.may}}
        )


async def test_who_looks_sees_their_own_projects_and_nobody_else_sees_anything() -> None:
    scene, kube = Scene(), Kube()
    scene.fill()
    async with scene.served(Authenticator(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        anonymous = await got(f"{url}/")
        unknown = await got(f"{url}/", Authorization="Bearer nobody")
        everything = await got(f"{url}/", Authorization="Bearer all")
        own = await got(f"{url}/", **{"X-Forwarded-Access-Token": "some"})
        other = await got(f"{url}/recoveries/app-00002-abc", **{"X-Recovery-Token": "some"})
        mine = await got(f"{url}/recoveries/app-00001-abc", Cookie="recovery_token=some")
        apps = await got(f"{url}/applications", Authorization="Bearer some")
        nothing = await got(f"{url}/applications", Authorization="Bearer none")
        api = [
            await got(url + path, Accept="*/*")
            for path in ("/api/v1/recoveries", "/api/v1/explain/argocd/late", "/events")
        ]
        listed = await got(f"{url}/api/v1/recoveries", Authorization="Bearer some")
        open_to_all = [
            await got(url + path)
            for path in ("/healthz", "/ready", "/metrics", "/static/style.css")
        ]

    assert (
        anonymous[0],
        "kubectl -n gitops-system create token" in anonymous[1],
        "app-000" in anonymous[1],
    ) == (401, True, False)
    assert (unknown[0], "does not know this token" in unknown[1]) == (401, True)
    assert "app-00002" in everything[1]
    assert ("app-00001" in own[1], "app-00002" in own[1], "primary" in own[1]) == (
        True,
        False,
        False,
    )
    assert (other[0], mine[0]) == (404, 200)
    assert ("app-00001" in apps[1], "app-00002" in apps[1]) == (True, False)
    assert "app-0" not in nothing[1]
    assert [status for status, _, _ in api] == [401, 401, 401]
    assert {r["subject"] for r in msgspec.json.decode(listed[1])["recoveries"]} == {
        f"argocd/app-{n:05}" for n in (1, 11, 21)
    }
    assert [status for status, _, _ in open_to_all] == [200, 503, 200, 200]
    assert "app-0" not in open_to_all[1][1] + open_to_all[2][1]
    assert kube.asked.count("who") == 4, "an answer is good for a minute"


async def test_when_it_cannot_be_asked_nothing_is_shown() -> None:
    scene, kube = Scene(), Kube()
    scene.fill()
    kube.broken = True
    async with scene.served(Authenticator(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        status, html, _ = await got(f"{url}/", Authorization="Bearer all")

    assert (status, "app-000" in html) == (503, False)


async def test_a_token_is_kept_in_a_cookie_that_scripts_cannot_read() -> None:
    scene = Scene()
    async with (
        scene.served(Authenticator(Kube(), "argocd", SystemClock())) as url,
        aiohttp.ClientSession() as session,
    ):  # type: ignore[arg-type]
        answer = await session.post(
            f"{url}/login",
            data={"token": "all"},
            headers={"X-Forwarded-Proto": "https"},
            allow_redirects=False,
        )
        assert (answer.status, answer.headers["Location"]) == (303, "./")
        assert answer.headers["Set-Cookie"] == "recovery_token=all; HttpOnly; SameSite=Lax; Secure"
        elsewhere = await session.post(
            f"{url}/login",
            data={"token": "all"},
            headers={"Sec-Fetch-Site": "cross-site"},
            allow_redirects=False,
        )
        assert (elsewhere.status, "Set-Cookie" in elsewhere.headers) == (403, False)
        nonsense = await session.post(
            f"{url}/login", data={"token": "a;b\nc"}, allow_redirects=False
        )
        assert (nonsense.status, "Set-Cookie" in nonsense.headers) == (401, False)


async def test_a_change_is_told_to_whoever_listens() -> None:
    scene = Scene()
    scene.fill()
    async with (
        scene.served() as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/events") as answer,
    ):
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"retry: 3000\n"
        await answer.content.readline()
        await asyncio.sleep(0.1)  # it has seen how things stand
        scene.recovery(7, RecoveryPhase.Stalled, message="again", version="2")
        async with asyncio.timeout(10):
            assert await answer.content.readline() == b"event: changed\n"


async def test_a_flood_of_strangers_does_not_reach_the_api_server_all_at_once_nor_push_out_who_is_known() -> (
    None
):
    scene, kube = Scene(), Kube()
    async with scene.served(Authenticator(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        await got(f"{url}/", Authorization="Bearer all")
        many = await asyncio.gather(
            *(got(f"{url}/", Authorization=f"Bearer s{n}") for n in range(300))
        )
        assert {status for status, _, _ in many} <= {401, 503}
        assert kube.most <= 4
        before = len(kube.asked)
        await asyncio.gather(*(got(f"{url}/", Authorization="Bearer all") for _ in range(20)))
        assert len(kube.asked) == before, "known for a minute, whoever came since"


async def test_one_persons_many_pages_are_one_question() -> None:
    scene, kube = Scene(), Kube()
    scene.applications(1000)
    async with scene.served(Authenticator(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        for _ in range(3):
            await asyncio.gather(*(got(f"{url}/", Authorization="Bearer some") for _ in range(5)))
    assert (kube.asked.count("who"), len(kube.asked)) == (1, 12), (
        "one token, all projects, each of ten"
    )


async def test_what_was_another_projects_is_not_shown_with_it() -> None:
    scene, kube = Scene(), Kube()
    scene.applications(10)
    scene.recovery(
        1,
        RecoveryPhase.Resolved,
        subject=structs.replace(
            scene.recovery(1, RecoveryPhase.Resolved).subject, project="team-2"
        ),
        version="2",
    )
    async with scene.served(Authenticator(kube, "argocd", SystemClock())) as url:  # type: ignore[arg-type]
        own = await got(f"{url}/subject?name=argocd/app-00001", Authorization="Bearer some")
        everything = await got(f"{url}/subject?name=argocd/app-00001", Authorization="Bearer all")
    assert ("app-00001-abc" in own[1], "app-00001-abc" in everything[1]) == (False, True)


async def test_a_storm_says_how_it_is_let_go_and_links_to_nothing() -> None:
    scene = Scene()
    subject = Subject("Storm", "", "repository/https://git.example/all.git", "storm/x")
    scene.recovery(1, RecoveryPhase.Suppressed, subject=subject)
    async with scene.served() as url:
        _, html, _ = await got(f"{url}/recoveries/app-00001-abc")
        assert "recovery approve app-00001-abc" in html
        assert "recovery pause" not in html
        assert "subject?name=storm" not in html


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", "x"),
        ("application/x-www-form-urlencoded; charset=foo", "token=%zz"),
        ("text/plain", "token=all"),
        ("", ""),
    ],
)
async def test_a_form_that_is_none_is_answered_in_words(kind: str, body: str) -> None:
    scene = Scene()
    async with (
        scene.served(Authenticator(Kube(), "argocd", SystemClock())) as url,
        aiohttp.ClientSession() as session,
    ):  # type: ignore[arg-type]
        answer = await session.post(
            f"{url}/login", data=body, headers={"Content-Type": kind, **HTML} if kind else HTML
        )
        assert answer.status == 401
        assert "That is no token" in await answer.text()


async def test_after_the_login_one_is_where_one_wanted_to_be_and_nowhere_else() -> None:
    scene = Scene()
    async with (
        scene.served(Authenticator(Kube(), "argocd", SystemClock())) as url,
        aiohttp.ClientSession() as session,
    ):  # type: ignore[arg-type]
        _, html, _ = await got(f"{url}/recoveries/app-1")
        assert '<input type="hidden" name="next" value="recoveries/app-1">' in html
        for back, where in (
            ("recoveries/app-1", "recoveries/app-1"),
            ("https://evil.example", "./"),
            ("//evil", "./"),
            ("../x", "./"),
        ):
            answer = await session.post(
                f"{url}/login", data={"token": "all", "next": back}, allow_redirects=False
            )
            assert answer.headers["Location"] == where


@pytest.mark.parametrize("kept", [10_000, 330])
def test_a_row_says_each_thing_once(kept: int) -> None:
    """Cause and advice have columns of their own; a message is cut at 500 characters, often within
    the advice."""
    cause = BY_NAME["MissingCRD"]
    said = f"refresh would not fix C16 MissingCRD/Absent. {cause.title} The cluster does not serve it yet."
    message = f"{said} Seen: resource Widget/w: not found. {cause.advised('Absent')}"[:kept]

    short = "refresh would not fix C16 MissingCRD/Absent. The cluster does not serve it yet. Seen: resource Widget/w: not found."
    assert brief(message, "MissingCRD", "Absent") == short
    more = f"attempt 1 failed (sync Skipped ({message})); the next one in 5m"
    assert brief(more, "MissingCRD", "Absent") == more, "it says more than the row does"
    assert brief("OutOfSync for 10m", "MissingCRD", "Absent") == "OutOfSync for 10m"
    assert brief(message, "", "") == message
