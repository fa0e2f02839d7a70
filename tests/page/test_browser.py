"""The page in a real Chromium: all states, live, by keyboard, dark, on a phone, for a screen
reader, without JavaScript."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs

from recovery.model.application import Health
from recovery.model.recovery import RecoveryPhase
from tests.builders import an_application
from tests.page.scene import Scene

CHROMIUM = shutil.which("chromium")
SHOTS = Path(__file__).parents[2] / "build/screenshots"
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ,
        reason="there is no Chromium: apt-get install chromium",
    ),
]
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


Browser = Callable[..., AbstractAsyncContextManager[Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Any]:
    """One Chromium for all tests of this file: it takes longer to start than to look at a page."""
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        started = await play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        await started.close()


@pytest.fixture
def browser(chromium: Any) -> Browser:
    """A page in a profile of its own, and what its console said that nobody should see."""

    @contextlib.asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Any]:
        context = await chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        try:
            page = await context.new_page()
            page.complaints = []
            page.on(
                "console",
                lambda m: (
                    page.complaints.append(m.text) if m.type in ("error", "warning") else None
                ),
            )
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            page.on(
                "requestfailed",
                lambda r: (
                    page.complaints.append(r.url) if r.failure != "net::ERR_ABORTED" else None
                ),
            )
            yield page
        finally:
            await context.close()

    return opened


async def shot(page: Any, name: str) -> None:
    """Kept for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


async def within_a_minute(page: Any, selector: str, state: str = "visible") -> None:
    """Wait for an element while the page's clock runs fast: a page updates itself every five
    seconds at most."""
    from playwright.async_api import TimeoutError as PageTimeout

    for _ in range(60):
        await page.clock.fast_forward(1000)
        with contextlib.suppress(PageTimeout):
            await page.wait_for_selector(selector, state=state, timeout=200)
            return
    raise AssertionError(f"{selector} never was {state}")


async def rules(page: Any) -> list[str]:
    """What axe finds against WCAG 2.1 A and AA and its own best practices."""
    from axe_playwright_python.base import AXE_FILE_PATH

    await page.add_script_tag(path=AXE_FILE_PATH)
    found: list[str] = await page.evaluate(
        """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations.map(
             rule => `${rule.id}: ${rule.nodes[0].html.slice(0, 160)}`))"""
    )
    return found


PAGES = {
    "now": "/",
    "history": "/history",
    "applications": "/applications",
    "connections": "/connections",
    "recovery": "/recoveries/app-00001-abc",
    "subject": "/subject?name=argocd/late",
    "nothing": "/?q=nowhere",
    "absent": "/recoveries/none",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_breaks_a_rule_of_accessibility(scheme: str, browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    broken = {}
    async with scene.served() as url, browser(color_scheme=scheme, bypass_csp=True) as page:
        for name, path in PAGES.items():
            await page.goto(url + path)
            broken[name] = await rules(page)
            await shot(page, f"{name}-{scheme}")
    assert broken == {name: [] for name in PAGES}


async def test_the_console_stays_silent_and_the_policy_holds(browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    held = scene.hostile()
    async with scene.served() as url, browser() as page:
        for path in (
            *PAGES.values(),
            f"/recoveries/{held.name}",
            "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
        ):
            await page.goto(url + path)
            assert await page.title()
        dialogs: list[str] = []
        page.on("dialog", lambda d: dialogs.append(d.message))
        await page.goto(f"{url}/recoveries/{held.name}")
        assert "<script>alert(1)</script>" in await page.inner_text("h1")
        assert dialogs == []
        await shot(page, "hostile")
        # Of what it was asked for, only the missing recovery is worth a word.
        assert [c for c in page.complaints if "404" not in c] == []


async def test_it_updates_itself_and_keeps_the_place_of_who_reads(browser: Browser) -> None:
    from playwright.async_api import expect

    scene = Scene()
    scene.fill()
    async with scene.served() as url, browser() as page:
        await page.clock.install()
        await page.goto(f"{url}/")
        await expect(page.locator("#live")).to_have_text(re.compile("^up to date"))
        await page.fill("#q", "half a wor")
        await page.click("#week-table summary")
        scene.recovery(33, RecoveryPhase.Stalled, message="all of a sudden")
        await within_a_minute(page, "text=all of a sudden")
        assert await page.input_value("#q") == "half a wor"
        assert await page.evaluate("document.getElementById('week-table').open"), (
            "what was opened stays open"
        )
        old = scene.app.recoveries.get("app-00033-abc")
        assert old is not None
        scene.app.recoveries.put(
            structs.replace(old, phase=RecoveryPhase.Resolved, resolved_at=scene.now, version="2")
        )
        await within_a_minute(page, "text=all of a sudden", "detached")
        assert page.complaints == []


async def test_a_command_is_copied_by_its_button(browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    async with (
        scene.served() as url,
        browser(permissions=["clipboard-read", "clipboard-write"]) as page,
    ):
        await page.goto(f"{url}/recoveries/app-00005-abc")
        await page.click("#command-1 button")
        await page.wait_for_selector("text=Copied")
        assert (
            await page.evaluate("navigator.clipboard.readText()")
            == "recovery explain argocd/app-00005"
        )
        assert page.complaints == []


async def test_it_says_so_when_it_is_no_longer_up_to_date(browser: Browser) -> None:
    from playwright.async_api import expect

    scene = Scene()
    scene.fill()
    async with browser() as page:
        async with scene.served() as url:
            await page.goto(f"{url}/")
            await expect(page.locator("#live")).to_have_text(re.compile("^up to date"))
        await expect(page.locator("#live")).to_have_text(
            re.compile("^not up to date"), timeout=10_000
        )


async def test_without_javascript_all_of_it_works(browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url, browser(java_script_enabled=False) as page:
        await page.goto(f"{url}/")
        await page.fill("#q", "app-00005")
        await page.select_option("#phase", "Stalled")
        await page.click("button")
        assert "q=app-00005&phase=Stalled" in page.url
        await page.click("#open a")
        assert page.url.endswith("/recoveries/app-00005-abc")
        await page.click("text=Applications")
        assert "41 applications" in await page.inner_text("caption")


async def test_it_is_used_by_keyboard_alone(browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    async with scene.served() as url, browser() as page:
        await page.goto(f"{url}/")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "content"
        for _ in range(20):  # past the figures, and where the unwell are
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.id") == "q":
                break
        await page.keyboard.type("app-00001")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?q=app-00001*")
        outline = await page.evaluate(
            "(document.querySelector('#open a').focus({focusVisible: true}), getComputedStyle(document.activeElement).outlineStyle)"
        )
        assert outline != "none"


async def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser) -> None:
    scene = Scene()
    scene.fill()
    async with (
        scene.served() as url,
        browser(viewport={"width": 360, "height": 740}, has_touch=True) as page,
    ):
        for name, path in PAGES.items():
            await page.goto(url + path)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            await shot(page, f"{name}-phone")
            assert wide <= 360, f"{name} is {wide} wide"


async def test_ten_thousand_applications_and_five_thousand_recoveries(browser: Browser) -> None:
    scene = Scene()
    scene.applications(10_000)
    for number in range(5_000):
        scene.recovery(number, RecoveryPhase.Stalled if number % 2 else RecoveryPhase.Resolved)
    async with scene.served() as url, browser() as page:
        await page.goto(f"{url}/")
        await page.click("a[rel=next]")
        assert "Page 2 of 50" in await page.inner_text("nav.pages")
        await page.goto(f"{url}/applications?q=app-09")
        assert "1000 applications" in await page.inner_text("caption")
        nodes = await page.evaluate("document.querySelectorAll('*').length")
        assert nodes < 2_000
        scene.put(
            an_application(
                name="app-09000", uid="uid-9000", project="team-0", health=Health.Missing
            )
        )
        timing = await page.evaluate("performance.getEntriesByType('navigation')[0].duration")
        print(f"a page of 10,000 applications: {timing:.0f} ms in the browser, {nodes} nodes")
        assert page.complaints == []


async def test_it_works_behind_a_proxys_path(browser: Browser) -> None:
    """As /tools/recovery/ of some other host: links, assets, searches, events."""
    import aiohttp
    from aiohttp import web
    from playwright.async_api import expect

    scene = Scene()
    scene.fill()
    async with scene.served() as url, aiohttp.ClientSession() as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            where = f"{url}/{request.match_info['rest']}"
            async with session.get(
                where, params=request.query, headers={"Accept": request.headers.get("Accept", "")}
            ) as answer:
                response = web.StreamResponse(
                    status=answer.status,
                    headers={k: v for k, v in answer.headers.items() if k != "Content-Length"},
                )
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                return response

        app = web.Application()
        app.router.add_get("/tools/recovery/{rest:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with browser() as page:
                await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/tools/recovery/")
                await expect(page.locator("#live")).to_have_text(re.compile("^up to date"))
                await page.click("#open a")
                assert "/tools/recovery/recoveries/" in page.url
                await page.click("text=History")
                assert page.url.endswith("/tools/recovery/history")
                await page.fill("#q", "app-00025")
                await page.click("button")
                assert "/tools/recovery/history?q=app-00025" in page.url
                assert page.complaints == []
        finally:
            await runner.cleanup()
