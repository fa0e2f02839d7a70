"""report, audit, history, status, release and notify against an API server: for people, for
scripts, when piped."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from msgspec import structs

from recovery.clock import SystemClock
from recovery.kube.client import SECRETS
from recovery.model.move import UserRequest
from recovery.model.recovery import (
    NotificationStatus,
    Recovery,
    RecoveryPhase,
    StepOutcome,
    StepRecord,
    Subject,
)
from recovery.simulate.environment import OURS, EmbeddedEnvironment
from recovery.simulate.http import APIServer
from tests.builders import a_recovery, plant
from tests.commands.test_commands import recovery

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
STEP = StepRecord(
    1,
    0,
    "restart",
    NOW,
    sent=True,
    ended_at=NOW + timedelta(seconds=90),
    outcome=StepOutcome.Succeeded,
    reason="Recovered",
)


def held(name: str, *steps: StepRecord, **fields: Any) -> Recovery:
    subject = Subject("Application", "argocd", name, f"uid-{name}", "shop", "prod")
    made = structs.replace(
        a_recovery(name, NOW, steps=steps),
        subject=subject,
        policy="web",
        unhealthy_since=NOW - timedelta(minutes=5),
    )
    return structs.replace(made, **{"resolved_at": NOW + timedelta(minutes=5), **fields})


FLEET = (
    held("cart", STEP, talk=NotificationStatus(("slack",))),
    held("api", observe_only=True),
    held(
        "pay",
        structs.replace(STEP, review="Reverted"),
        phase=RecoveryPhase.Stalled,
        resolved_at=None,
        requests=(UserRequest("approve", "ada", NOW, "1.0"),),
        talk=NotificationStatus(undelivered=("slack: dead: pay requires manual intervention",)),
    ),
)


class Cluster:
    """An embedded API server on a thread of its own, with a receiver for messages."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.received: list[Any] = []
        self.call(self._start())

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        self.world = EmbeddedEnvironment(SystemClock())
        self._face = APIServer(self.world.cluster)
        await self._face.start()
        self.kubeconfig.write_text(json.dumps(self._face.kubeconfig()))

        async def take(request: web.Request) -> web.Response:
            self.received.append(await request.json())
            return web.Response()

        app = web.Application()
        app.router.add_post("/", take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"webhook://127.0.0.1:{self._runner.addresses[0][1]}/"
        data = {"ops": base64.b64encode(url.encode()).decode()}
        await self.world.cluster.create(
            SECRETS, OURS, {"metadata": {"name": "recovery-channels"}, "data": data}
        )
        for one in FLEET:
            await plant(self.world.cluster, one, OURS)

    def stop(self) -> None:
        self.call(self._face.stop())
        self.call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def run(self, *words: str, **env: str) -> Any:
        return recovery(*words, KUBECONFIG=str(self.kubeconfig), RECOVERY_NAMESPACE=OURS, **env)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    there = Cluster(tmp_path_factory.mktemp("cluster"))
    yield there
    there.stop()


def test_the_report_for_people_and_for_scripts(cluster: Cluster) -> None:
    table, as_json, as_yaml = (
        cluster.run("report", "--since", "7d", "-o", shape) for shape in ("table", "json", "yaml")
    )

    assert table.returncode == 0, table.stderr
    web_line = next(line for line in table.stdout.splitlines() if line.startswith("web"))
    assert web_line.split() == ["web", "3", "1", "2", "1", "1", "1", "1", "1", "0", "10m", "10m"]
    body = json.loads(as_json.stdout)
    assert [p["policy"] for p in body["policies"]] == ["web", "(all)"]
    assert (body["policies"][0]["would_have"], body["policies"][0]["undone"]) == (1, 1)
    assert yaml.safe_load(as_yaml.stdout)["policies"] == body["policies"]
    assert "\x1b[" not in table.stdout, "piped, it has no colours"


def test_the_audit_tells_who_did_what_and_why(cluster: Cluster) -> None:
    done = cluster.run("audit", "--since", "24h")
    wide = cluster.run("audit", "--since", "24h", "-o", "wide", "--policy", "web")
    nothing = cluster.run("audit", "--since", "1m")

    rows = [line for line in done.stdout.splitlines() if line.startswith("20")]
    assert sorted(row.split()[2] for row in rows) == ["ada", "controller", "controller"]
    assert "Succeeded Recovered Reverted" in done.stdout
    assert "RECORD" in wide.stdout
    assert "Nothing was done since" in nothing.stdout


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_report_and_audit_are_one_line_a_row_at_any_width(cluster: Cluster, columns: int) -> None:
    report = cluster.run("report", COLUMNS=str(columns)).stdout.splitlines()
    audit = cluster.run("audit", COLUMNS=str(columns)).stdout.splitlines()

    assert len(report) == 4, "since when, the columns, a policy, all of them"
    assert len(audit) == 4, "the columns, and what was done three times"
    assert max(map(len, report + audit)) <= columns
    assert all(row.split()[0] in ("web", "(all)") for row in report[2:])
    assert any("argocd/pay" in row for row in audit)


def test_history_tells_step_by_step(cluster: Cluster) -> None:
    done = cluster.run("history", "argocd/cart")
    other = cluster.run("history", "nobody")

    assert "1.0 restart: Succeeded after 1m30s (Recovered)" in done.stdout
    assert "Resolved, healthy after 10m" in done.stdout
    assert "told: slack" in done.stdout
    assert (other.returncode, "Try: recovery explain nobody" in other.stderr) == (1, True)


def test_status_shows_what_nobody_took_and_says_who_answers(cluster: Cluster) -> None:
    done, wide = cluster.run("status"), cluster.run("status", "-o", "wide")

    assert "the controller does not answer" in done.stdout
    assert "! undelivered: pay: slack: dead: pay requires manual intervention" in done.stdout
    assert {"CAUSE", "TRIED", "NEXT", "TOLD"} <= set(wide.stdout.split())
    assert yaml.safe_load(cluster.run("status", "-o", "yaml").stdout)["source"] == "objects"


def test_a_test_message_arrives_and_an_unknown_channel_names_the_known(cluster: Cluster) -> None:
    done, other = cluster.run("notify", "--test", "ops"), cluster.run("notify", "--test", "nobody")

    assert done.stdout.strip() == "ops: taken (a trigger, and its resolve)", done.stderr
    assert [m["event"] for m in cluster.received] == ["trigger", "resolve"]
    assert cluster.received[0]["incident"] == cluster.received[1]["incident"]
    assert (other.returncode, "has no channel 'nobody'; it has ops" in other.stderr) == (1, True)


def test_a_preview_is_by_the_files_own_words(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    policy = "recovery_policies: [{name: web, condition: {type: application, status: OutOfSync}, actions: [{type: notify}]}]\n"
    file.write_text(
        policy
        + "messages: {title: '<{{ subject }}> {{ severity }}', links: {page: https://r.example}}\n"
    )

    done = recovery("notify", "--preview", "-f", str(file))
    shapes = json.loads(recovery("notify", "--preview", "-f", str(file), "-o", "json").stdout)

    assert done.stdout.startswith("<shop/cart> critical\n")
    assert "Page: https://r.example/recoveries/cart-" in done.stdout
    assert set(shapes) == {"text", "email", "slack", "pagerduty", "webhook"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("notify",), "say --preview, or --test CHANNEL"),
        (
            ("report", "--since", "yesterday"),
            "'yesterday' is no time span; write one such as 24h or 7d",
        ),
        (("audit", "--since", ""), "is no time span"),
        (("release", "--dry-run"), "name one application, or say --all"),
    ],
)
def test_bad_usage_says_what_would_be_right(words: tuple[str, ...], says: str) -> None:
    done = recovery(*words)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_a_mounted_secret_is_read_anew(tmp_path: Path) -> None:
    from recovery.notify.receiver_urls import Channels, mounted
    from recovery.simulate import virtual

    (tmp_path / "slack").write_text("slack://A/B/C\n")
    (tmp_path / "..data").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert mounted(tmp_path) == {"slack": "slack://A/B/C\n"}
    assert mounted(tmp_path / "none") == {}

    async def script() -> None:
        clock = virtual.VirtualClock()
        channels = Channels(
            EmbeddedEnvironment(clock).cluster, OURS, "recovery-channels", str(tmp_path), clock
        )
        assert await channels.url("slack") == "slack://A/B/C"
        (tmp_path / "slack").write_text("slack://D/E/F")
        assert await channels.url("slack") == "slack://A/B/C", "for as long as an answer is good"
        await clock.sleep(31)
        assert await channels.url("slack") == "slack://D/E/F"

    virtual.run(script())
