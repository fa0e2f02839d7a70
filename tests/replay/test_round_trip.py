"""What a controller did on a simulated Argo CD, and what a replay of the metric says that it would
have done, are the same: the first step of every incident, and when. Steps that hang on a cause are
left out: the metric has none."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest

from recovery.act.registry import POLICY_ACTIONS
from recovery.policies import parse
from recovery.policytest.observation import Observation, Of
from recovery.policytest.reading import read
from recovery.policytest.stage import play
from recovery.replay.prometheus import Prometheus
from recovery.replay.replaying import replay
from tests.replay.made_up import MadeUp, Was
from tests.replay.test_replay import Hurried

APPS, HOURS, STEP = 12, 6, 30
POLICIES = """
recovery_policies:
- name: drift
  condition: {type: application, status: OutOfSync, duration: 10m}
  attempts: 1
  actions: [{type: notify, parameters: {channels: [slack]}}]
- name: broken
  condition: {type: application, health: Degraded, duration: 5m}
  attempts: 1
  actions: [{type: notify, parameters: {channels: [slack]}}]
"""
START = 1_780_000_020.0


def a_day(seed: int) -> str:
    """Applications that are not well for a while, some of them together."""
    chance, events = random.Random(seed), []  # noqa: S311 (made-up incidents)
    free = [0.0] * APPS
    for _ in range(30):
        app, at = chance.randrange(APPS), chance.uniform(5, HOURS * 60 - 100)
        many = [app] if chance.random() < 0.8 else chance.sample(range(APPS), 7)
        lasts = chance.choice([2, 4, 8, 20, 45, 80])
        state = chance.choice(["sync: OutOfSync", "health: Degraded"])
        for each in many:
            if at < free[each]:
                continue
            free[each] = at + lasts + 15
            events.append(f"  - {{at: {at * 60:.0f}s, set: {{app: app-{each}, {state}}}}}")
            events.append(f"  - {{at: {(at + lasts) * 60:.0f}s, follow: {{app: app-{each}}}}}")
    return (
        "policies: policies.yaml\ntests:\n- name: one\n  applications:\n"
        + "".join(f"  - {{name: app-{n}, self_heal: true}}\n" for n in range(APPS))
        + f"  run: {HOURS}h\n  events:\n"
        + "\n".join(events)
        + "\n"
    )


def scraped(observation: Observation) -> list[Was]:
    """The states that were seen, as the metric has them."""
    end = timedelta(hours=HOURS)
    found = []
    for seen in observation.seen:
        if seen.of is Of.state and len(seen.what.split()) == 2:
            sync, health = seen.what.split()
            until = end if seen.until is None else seen.until
            first, last = (START + t.total_seconds() for t in (seen.at, until))
            found.append(Was(seen.name, max(first, START - 60), last, sync, health))
    return found


def steps(observation: Observation) -> set[tuple[str, str, float]]:
    """The first step after the application was well: who, which, and when in minutes."""
    found, done = set(), set()
    for seen in observation.seen:
        if seen.of is Of.state and seen.what == "Synced Healthy":
            done.discard(seen.name)
        if seen.of is Of.action and seen.kind == "app" and seen.name not in done:
            done.add(seen.name)
            found.add((seen.name, seen.what, round(seen.at.total_seconds() / 60)))
    return found


def unlike(observation: Observation) -> set[str]:
    """Those that were held by a storm of which the metric has nothing: one after the other, each
    with a revision that was proven good."""
    return {
        seen.name
        for seen in observation.seen
        if seen.of is Of.refused and "one after the other" in seen.message
    }


@pytest.mark.parametrize("seed", [2, 3])
def test_a_replay_says_what_was_done(tmp_path: Path, seed: int) -> None:
    (tmp_path / "policies.yaml").write_text(POLICIES)
    file = tmp_path / "some.test.yaml"
    file.write_text(a_day(seed))
    observation = play(read(file, drafting=True), 0)

    async def work() -> set[tuple[str, str, float]]:
        made_up = MadeUp(*scraped(observation))
        async with made_up.serving() as url, Prometheus(url, step=STEP, clock=Hurried()) as source:
            end = START + HOURS * 3600
            came = await replay(source, [parse(POLICIES, POLICY_ACTIONS)], START, end, STEP)
        acted = [(i.name[1], i.acted) for i in came.pasts[0].incidents if i.acted]
        return {(n, a.action, round((a.at.timestamp() - START) / 60)) for n, a in acted}

    apart = unlike(observation)
    done = {one for one in steps(observation) if one[0] not in apart}
    said = {one for one in asyncio.run(work()) if one[0] not in apart}
    assert len(done) >= 5, "something was done"

    def near(one: tuple[str, str, float], others: set[tuple[str, str, float]]) -> bool:
        return any(one[:2] == other[:2] and abs(one[2] - other[2]) <= 2 for other in others)

    assert [one for one in sorted(done) if not near(one, said)] == [], "was done and is not said"
    assert [one for one in sorted(said) if not near(one, done)] == [], "is said and was not done"
