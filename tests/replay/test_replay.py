"""A past with known incidents, read from a Prometheus and judged."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs
from typer.testing import CliRunner

from recovery.act.registry import POLICY_ACTIONS
from recovery.cli import app
from recovery.clock import SystemClock
from recovery.commands.errors import Refused
from recovery.policies import parse
from recovery.replay.past import Incident
from recovery.replay.prometheus import Prometheus, Unanswered, slices
from recovery.replay.replaying import Replayed, replay
from recovery.replay.report import differences, report
from tests.builders import the_policies
from tests.replay.made_up import MadeUp, Was, well

START = 1_780_000_020.0
HOUR, DAY = 3600.0, 86_400.0
END = START + DAY
SYNC_TEXT = """
recovery_policies:
- name: drift
  condition: {type: application, status: OutOfSync, duration: 10m}
  channels: [slack]
  actions: [{type: refresh}]
- name: broken
  condition: {type: application, health: Degraded, duration: 5m}
  actions: [{type: restart}]
"""


class Hurried(SystemClock):
    """Nobody waits."""

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0


def read(made_up: MadeUp, *texts: str, **more: Any) -> Replayed:
    policies = [parse(t, POLICY_ACTIONS) for t in texts] or [the_policies(SYNC_TEXT)]

    async def work() -> Replayed:
        async with made_up.serving() as url, Prometheus(url, clock=Hurried(), **more) as source:
            return await replay(source, policies, START, END, 60)

    return asyncio.run(work())


def fleet(*bad: Was, total: int = 20, end: float = END) -> list[Was]:
    """So many applications that are well but for these times."""
    found = list(bad)
    for n in range(total):
        mine = sorted((w.start, w.end) for w in bad if w.name == f"app-{n}")
        found += well(f"app-{n}", START - HOUR, end, *mine)
    return found


def at(hours: float) -> float:
    return START + hours * HOUR


def minutes(incident: Incident) -> float:
    assert incident.lasted is not None
    return incident.lasted / timedelta(minutes=1)


def test_incidents_are_found_with_their_durations() -> None:
    bad = [
        Was("app-1", at(1), at(2), "OutOfSync"),
        Was("app-2", at(13), at(13.05), "OutOfSync"),
        Was("app-3", at(11.5), at(12.5), "OutOfSync"),  # over the edge of a slice
    ]
    came = read(MadeUp(*fleet(*bad)))
    found = {i.name[1]: i for i in came.pasts[0].incidents}
    assert {name: round(minutes(i)) for name, i in found.items()} == {
        "app-1": 60,
        "app-2": 3,
        "app-3": 60,
    }
    acted = found["app-1"].acted
    assert acted is not None
    assert (acted.policy, acted.action) == ("drift", "refresh")
    assert abs((acted.at - found["app-1"].began) - timedelta(minutes=10)) <= timedelta(minutes=1)
    assert found["app-2"].acted is None
    assert came.applications == 20


def test_after_the_first_action_it_is_not_judged_until_it_was_well() -> None:
    bad = [Was("app-1", at(1), at(9), "OutOfSync"), Was("app-1", at(10), at(11), "OutOfSync")]
    incidents = read(MadeUp(*fleet(*bad))).pasts[0].incidents
    assert [i.acted.action for i in incidents if i.acted] == ["refresh", "refresh"]
    assert len(incidents) == 2


def test_what_hangs_on_the_cause_is_told_as_that() -> None:
    incidents = (
        read(MadeUp(*fleet(Was("app-1", at(1), at(2), health="Degraded")))).pasts[0].incidents
    )
    (incident,) = incidents
    assert incident.acted is None
    assert incident.undecided is not None
    assert incident.undecided.action == "restart"


def test_many_at_once_are_a_storm_and_nothing_is_done() -> None:
    bad = [Was(f"app-{n}", at(1), at(2), "OutOfSync") for n in range(12)]
    came = read(MadeUp(*fleet(*bad)))
    incidents = came.pasts[0].incidents
    assert all(set(i.held_by) == {"Storm"} and i.acted is None for i in incidents)
    made = report(incidents, ["drift"], came)
    assert (made.storms, made.in_storms, made.policies[0].held) == (1, 12, {"Storm": 12})


def test_shares_are_of_the_whole_fleet() -> None:
    """Five of 300 are no storm, though only those five were ever ill."""
    bad = [Was(f"app-{n}", at(1), at(2), "OutOfSync") for n in range(5)]
    incidents = read(MadeUp(*fleet(*bad, total=300))).pasts[0].incidents
    assert [i.storm for i in incidents] == [""] * 5
    assert {g for i in incidents for g in i.held_by} == {"InFlightLimit"}, "three a project"


def test_two_replicas_of_prometheus_are_one() -> None:
    bad = [Was("app-1", at(1), at(2), "OutOfSync", labels={"replica": r}) for r in ("a", "b")]
    assert len(read(MadeUp(*fleet(*bad))).pasts[0].incidents) == 1


def test_argo_cds_namespace_is_the_exported_one() -> None:
    labels = {"namespace": "monitoring", "exported_namespace": "team-a"}
    bad = Was("other", at(1), at(2), "OutOfSync", labels=labels)
    (incident,) = read(MadeUp(*fleet(), bad)).pasts[0].incidents
    assert incident.name == ("team-a", "other")


def test_a_gap_is_bridged_and_told() -> None:
    bad = Was("app-1", at(1), at(3), "OutOfSync")
    came = read(MadeUp(*fleet(bad), gap=(at(1.5), at(2))))
    (incident,) = came.pasts[0].incidents
    assert round(minutes(incident)) == 120
    assert len(came.gaps) == 1
    assert report([incident], ["drift"], came).gap_seconds == pytest.approx(1800, abs=120)


def test_one_that_is_gone_is_no_incident_that_lasts() -> None:
    bad = Was("gone", at(1), at(2), "OutOfSync")
    (incident,) = read(MadeUp(*fleet(), bad)).pasts[0].incidents
    assert round(minutes(incident)) == 60


def test_what_is_too_much_at_once_is_asked_for_in_halves() -> None:
    made_up = MadeUp(*fleet(Was("app-1", at(1), at(2), "OutOfSync")))
    made_up.most_points = 100
    (incident,) = read(made_up).pasts[0].incidents
    assert round(minutes(incident)) == 60


def test_a_server_that_is_busy_is_asked_again() -> None:
    made_up = MadeUp(*fleet(Was("app-1", at(1), at(2), "OutOfSync")))
    made_up.refuse_later = [(503, {}), (429, {})]
    assert len(read(made_up).pasts[0].incidents) == 1


def test_a_slice_that_is_not_answered_is_told_and_the_others_count() -> None:
    made_up = MadeUp(*fleet(Was("app-1", at(13), at(14), "OutOfSync")))
    error = {"status": "error", "error": "query processing would load too much: https://u:pw@x"}
    made_up.refuse = []

    original = made_up.answer

    async def answer(request: Any) -> Any:
        query = await request.post()
        if "start" in query and float(str(query["start"])) < at(11):
            return web.json_response(error, status=500)
        return await original(request)

    made_up.answer = answer  # type: ignore[method-assign]
    came = read(made_up)
    assert len(came.unread) == 1
    assert len(came.pasts[0].incidents) == 1


def test_partial_answers_are_told() -> None:
    made_up = MadeUp(*fleet())
    made_up.warnings = ["partial response: store gateway is down"]
    assert read(made_up).warnings == ("partial response: store gateway is down",)


def test_without_the_metric_it_says_how_to_get_it() -> None:
    with pytest.raises(Unanswered, match="argocd-metrics"):
        read(MadeUp())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {}), "give a token"),
        ((400, {"status": "error", "error": "parse error"}), "parse error"),
        ((200, ["no API"]), "no Prometheus API"),
    ],
)
def test_what_is_no_answer_is_told(answer: tuple[int, Any], said: str) -> None:
    made_up = MadeUp(*fleet())
    made_up.refuse = [answer]
    with pytest.raises(Unanswered, match=said):
        read(made_up)


def test_matchers_and_headers_go_along() -> None:
    made_up = MadeUp(*fleet())
    read(made_up, match='{cluster="eu"}', headers={"X-Scope-OrgID": "team-a"})
    assert all(
        "argocd_app_info{" in q["query"] and 'cluster="eu"' in q["query"] for q in made_up.asked
    )
    assert made_up.headers["X-Scope-OrgID"] == "team-a"


def test_slices_meet_and_stay_below_prometheus_points() -> None:
    parts = slices(START, START + 30 * DAY, 60)
    assert parts[0][0] == START
    assert 0 <= START + 30 * DAY - parts[-1][1] <= 60
    assert all(after[0] - before[1] == 60 for before, after in pairwise(parts))
    assert all((last - first) / 60 < 11_000 for first, last in parts)


def test_two_policy_files_are_compared() -> None:
    bad = [
        Was("app-1", at(1), at(2), "OutOfSync"),
        Was("app-2", at(3), at(3.4), health="Degraded"),
    ]
    slower = SYNC_TEXT.replace("duration: 10m", "duration: 2h").replace(
        "duration: 5m", "duration: 1m"
    )
    old, new = read(MadeUp(*fleet(*bad)), SYNC_TEXT, slower).pasts
    found = differences(old.incidents, new.incidents)
    assert {(d.subject, d.after.partition(" ")[0]) for d in found} == {
        ("argocd/app-1", "nothing"),
        ("argocd/app-2", "restart"),
    }
    assert not any(d.more_destructive for d in found)
    never = SYNC_TEXT.replace("health: Degraded, duration: 5m", "health: Degraded, duration: 3h")
    old, new = read(MadeUp(*fleet(*bad)), never, SYNC_TEXT).pasts
    (only,) = differences(old.incidents, new.incidents)
    assert only.more_destructive


def test_messages_are_counted_by_channel_and_night() -> None:
    bad = [Was("app-1", at(1), at(2), "OutOfSync")]
    came = read(MadeUp(*fleet(*bad)), SYNC_TEXT.replace("{type: refresh}", "{type: notify}"))
    made = report(came.pasts[0].incidents, ["drift"], came)
    assert made.messages == {"slack": 1}
    assert sum(made.by_hour.values()) == 1


# The command


def command(made_up: MadeUp, *words: str) -> tuple[int, str]:
    async def work() -> tuple[int, str]:
        async with made_up.serving() as url:
            return await asyncio.to_thread(_call, "--prometheus", url, *words)

    return asyncio.run(work())


def _call(*words: str) -> tuple[int, str]:
    came = CliRunner().invoke(app, ["replay", *words])
    if isinstance(came.exception, Refused):
        return came.exception.code, str(came.exception)
    return came.exit_code, came.output


def lately(*bad: Was) -> MadeUp:
    """A fleet whose day ends now."""
    now = time.time() // 60 * 60
    moved = [
        structs.replace(w, start=w.start - END + now, end=w.end - END + now)
        for w in fleet(*bad, end=END + HOUR)
    ]
    return MadeUp(*moved)


def test_the_command_says_what_would_have_been_done_and_never_what_would_have_come_of_it() -> None:
    made_up = lately(Was("app-1", at(1), at(2), "OutOfSync"))
    code, output = command(made_up, "--since", "1d")
    assert code == 0
    assert "1 incident; half of them lasted 1h" in output
    assert "1 (refresh 1)" in output
    assert "not judged, as the metric lacks it: causes" in output
    assert "repository-connection-failure" in output, "policies that are not judged are named"
    assert "cured" not in output


def test_scripts_read_json() -> None:
    made_up = lately(Was("app-1", at(1), at(2), "OutOfSync"))
    body = json.loads(command(made_up, "--since", "1d", "-o", "json")[1])
    assert body["report"]["incidents"] == 1
    assert body["incidents"][0]["name"] == ["argocd", "app-1"]


def test_a_pull_request_that_acts_more_destructively_is_stopped(tmp_path: Path) -> None:
    slow, fast = tmp_path / "slow.yaml", tmp_path / "fast.yaml"
    slow.write_text(SYNC_TEXT.replace("duration: 5m", "duration: 3h"))
    fast.write_text(SYNC_TEXT)
    made_up = lately(Was("app-2", at(3), at(4), health="Degraded"))
    code, output = command(made_up, "--since", "1d", "--diff", str(slow), str(fast))
    assert code == 1
    assert "act destructively on 1 more" in output
    assert command(made_up, "--since", "1d", "--diff", str(fast), str(slow))[0] == 0
    assert "nothing differs" in command(made_up, "--since", "1d", "--diff", str(fast), str(fast))[1]


def test_a_token_goes_along_and_is_in_no_output(tmp_path: Path) -> None:
    made_up, token = lately(), tmp_path / "token"
    token.write_text("s3cr3t-t0ken\n")
    code, output = command(made_up, "--since", "1d", "--bearer-token-file", str(token))
    assert code == 0
    assert made_up.headers["Authorization"] == "Bearer s3cr3t-t0ken"
    assert "s3cr3t" not in output


def test_a_password_in_the_address_is_in_no_output() -> None:
    code, output = _call("--prometheus", "http://ann:s3cr3t@127.0.0.1:1", "--since", "1h")
    assert code == 3
    assert "127.0.0.1:1" in output
    assert "s3cr3t" not in output


def test_a_redirect_is_not_followed() -> None:
    made_up, elsewhere = MadeUp(*fleet()), MadeUp(*fleet())

    async def work() -> None:
        async with elsewhere.serving() as there:

            async def away(request: web.Request) -> web.Response:
                raise web.HTTPTemporaryRedirect(f"{there}{request.path}")

            made_up.answer = away  # type: ignore[method-assign]
            headers = {"X-Scope-OrgID": "team-a"}
            async with (
                made_up.serving() as url,
                Prometheus(url, headers=headers, clock=Hurried()) as source,
            ):
                await replay(source, [the_policies(SYNC_TEXT)], START, END, 60)

    with pytest.raises(Unanswered, match="answered 307"):
        asyncio.run(work())
    assert elsewhere.headers == {}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--prometheus", "prom:9090"), 2, "is no address"),
        (("--prometheus", "http://127.0.0.1:1", "--since", "1h"), 3, "http://127.0.0.1:1"),
        (("--prometheus", "http://x", "--since", "soon"), 2, "--since"),
        (("--prometheus", "http://x", "--since", "1s"), 2, "from 1m to 365d"),
        (("--prometheus", "http://x", "--header", "x"), 2, "NAME=VALUE"),
        (("--prometheus", "http://x", "--bearer-token-file", "/no"), 2, "--bearer-token-file"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_told(words: tuple[str, ...], code: int, said: str) -> None:
    came, output = _call(*words)
    assert came == code
    assert said in output
