"""A sign of life goes out while all is well with us, and at no other time."""

from __future__ import annotations

import asyncio

import pytest

from recovery.kube.client import SECRETS
from recovery.kube.errors import Unavailable
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.heartbeat import CHANNEL, WATCHDOG, Heartbeat
from recovery.proxies import proxy_for
from recovery.simulate import virtual
from recovery.simulate.environment import OURS
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.stage import policies

URL = "https://hc.example/ping/1"


class Desk:
    def __init__(self, url: str = URL) -> None:
        self.address, self.why, self.away, self.unread = url, "", False, False
        self.got: list[tuple[str, object]] = []

    async def url(self, channel: str) -> str:
        assert channel == CHANNEL
        if self.unread:
            raise Unavailable("no answer")
        return self.address

    async def post(self, who: str, url: str, body: object) -> object:
        if self.away:
            raise Undelivered("the heartbeat's receiver answered 503")
        self.got.append((url, body))
        return b""


def minutes(desk: Desk, count: int) -> int:
    """How many signs of life went out within so many minutes."""

    async def inside() -> None:
        clock = virtual.VirtualClock()
        running = asyncio.create_task(Heartbeat(desk, clock, lambda: desk.why, desk.post).run())
        await clock.sleep(60 * count - 1)
        running.cancel()

    virtual.run(inside())
    return len(desk.got)


def test_one_a_minute_while_all_is_well() -> None:
    assert minutes(Desk(), 10) == 10


@pytest.mark.parametrize(
    "state",
    [
        {"why": "this replica holds no Lease"},
        {"address": ""},
        {"unread": True},
        {"away": True},
        {"address": "x"},
    ],
)
def test_none_while_it_is_not(state: dict[str, object]) -> None:
    desk = Desk()
    for name, value in state.items():
        setattr(desk, name, value)
    assert minutes(desk, 10) == 0


def test_an_alertmanager_is_told_by_an_alert_that_always_fires() -> None:
    desk = Desk("https://am.example/api/v2/alerts")
    minutes(desk, 1)

    assert desk.got == [("https://am.example/api/v2/alerts", WATCHDOG)]


def test_it_beats_with_a_controller_that_watches_and_is_no_channel_for_messages() -> None:
    async def script(p: Play) -> None:
        await p.world.cluster.create(
            SECRETS,
            OURS,
            {
                "metadata": {"name": "recovery-channels"},
                "data": {"pager": "anNvbjovL3g=", CHANNEL: "aHR0cHM6Ly94"},
            },
        )
        await p.world.policies(
            policies("web")
            .replace(", channels: [receiver]", "")
            .replace("channels: [receiver]", "")
        )
        async with p.controller() as app:
            await p.clock.sleep(30)
            assert app._not_well() == ""
            await p.world.application("web-1", (deployment("web-1", "crash", 5),))
            await p.clock.sleep(600)
            assert {url for url, _ in p.sent} == {"json://x"}

    play(script)


PROXIES = {"https_proxy": "http://proxy.example:3128", "no_proxy": "internal.example,10.0.0.1"}


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://hooks.slack.com/x", True),
        ("http://plain.example/x", False),
        ("https://x.internal.example/y", False),
        ("https://argocd-server.argocd.svc", False),
        ("https://10.0.0.1:6443", False),
        ("https://localhost:1", False),
        ("nonsense", False),
    ],
)
def test_the_way_out_is_the_one_that_every_tool_takes(
    monkeypatch: pytest.MonkeyPatch, url: str, through: bool
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(url) == (PROXIES["https_proxy"] if through else None)
