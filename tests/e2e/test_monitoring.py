"""A real Prometheus reads a demo run: the rules pass promtool, and every expression of rules and
dashboard finds data."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from recovery.commands.demo import shipped
from recovery.record.metrics import Metrics
from recovery.simulate.demo import Demo
from tests.testbed.prometheus import installed, scraping

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "manifests/monitoring"
pytestmark = pytest.mark.e2e
EMPTY_WHEN_ALL_IS_WELL = {"RecoveryControllerDown"}
"""absent(): it finds something only when nobody is there."""


@pytest.fixture(scope="module", autouse=True)
def _debian() -> None:
    """Debian's Prometheus."""
    installed()


def test_the_rules_pass_promtool() -> None:
    for words in (("check", "rules", "rules.yaml"), ("test", "rules", "tests.yaml")):
        done = subprocess.run(["promtool", *words], cwd=MONITORING, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def expressions() -> dict[str, str]:
    """All there are: of alerts without their thresholds, for data has to be there also when nothing
    is wrong."""
    found = {}
    for rule in (
        r
        for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
        for r in group["rules"]
    ):
        name = rule.get("alert") or rule["record"]
        if name not in EMPTY_WHEN_ALL_IS_WELL:
            found[name] = re.sub(r"\s*(>=?|==)\s*\d+\s*$", "", rule["expr"])
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            found[f"dashboard: {panel['title']}"] = target["expr"]
    return found


def test_every_metric_is_shown_somewhere() -> None:
    text = " ".join(expressions().values())
    names = {family.name for family in Metrics().registry.collect()}

    assert {name for name in names if name not in text and not name.startswith("process_")} == set()


async def test_every_expression_finds_data_of_a_demo_run(tmp_path: Path) -> None:
    demo = Demo(shipped().decode(), lambda *_: None)
    async with demo.stage() as process:
        playing = asyncio.create_task(demo.play(process))
        await asyncio.wait_for(process.ready.wait(), 60)
        target = demo.url.removeprefix("http://")
        with contextlib.ExitStack() as stack:
            started = scraping(
                tmp_path, "gitops-recovery-controller", target, rules=(MONITORING / "rules.yaml",)
            )
            port = await asyncio.to_thread(stack.enter_context, started)
            await playing
            answers: dict[str, list[Any]] = {}
            for _ in range(30):
                # A rate takes two scrapes, and the machine may be busy with the other stories.
                await asyncio.sleep(2)
                answers = await asyncio.to_thread(
                    lambda: {name: _ask(port, words) for name, words in expressions().items()}
                )
                if all(answers.values()):
                    break
            up = _ask(port, 'up{job="gitops-recovery-controller"}')
    assert up
    # Guards and pending clocks are at rest when the play is over: that they were there is asked of
    # the hour.
    assert [name for name, found in answers.items() if not found] == []


def _ask(port: int, expression: str) -> list[Any]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode(
        {"query": f"last_over_time(({expression})[10m:1s])"}
    )
    answer: dict[str, Any] = json.load(urllib.request.urlopen(url, timeout=10))
    result: list[Any] = answer["data"]["result"]
    return result
