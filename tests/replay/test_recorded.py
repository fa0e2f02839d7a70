"""What the controller records of a played test, and what a replay of the recording says: the same
first steps, by the shipped policies, causes and rollbacks included."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from recovery.act.registry import POLICY_ACTIONS
from recovery.cli import app
from recovery.commands.errors import Refused
from recovery.commands.plan import shipped
from recovery.kube.lease import shard_of
from recovery.policies import parse
from recovery.replay.past import Incident
from recovery.replay.recorded import (
    LARGEST_READ,
    LONGEST_LINE,
    RESTATED_WITHIN,
    Unreadable,
    read_files,
)
from recovery.replay.replaying import Replayed, replay_recording
from recovery.replay.report import report
from tests.replay.recorder import BEGIN, recorded

APPS, HOURS = 10, 8


def a_shift(seed: int) -> str:
    """Bad deploys, images that are not there, drift and commits that end them."""
    chance = random.Random(seed)  # noqa: S311 (made-up incidents)
    events: list[tuple[float, str]] = []
    for number in range(APPS):
        at = chance.uniform(5, 150)
        while at < HOURS * 60 - 60:
            ill, until = chance.choice(["crash", "missing", "drift"]), at + chance.uniform(3, 50)
            name = f"app-{number}"
            if ill == "drift":
                events += [
                    (at, f"set: {{app: {name}, sync: OutOfSync}}"),
                    (until, f"follow: {{app: {name}}}"),
                ]
            else:
                events += [
                    (at, f"commit: {{app: {name}, image: {ill}}}"),
                    (until, f"commit: {{app: {name}, image: ready}}"),
                ]
            at = until + chance.uniform(60, 150)
    listed = "".join(f"  - {{at: {at * 60:.0f}s, {what}}}\n" for at, what in sorted(events))
    apps = "".join(
        f"  - {{name: app-{n}, self_heal: {str(n % 2 == 0).lower()}}}\n" for n in range(APPS)
    )
    return (
        f"policies: policies.yaml\ntests:\n- name: one\n  applications:\n{apps}"
        f"  run: {HOURS}h\n  events:\n{listed}"
    )


def played(
    path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[dict[str, Any]]]:
    (path / "policies.yaml").write_bytes(shipped())
    test, log = path / "some.test.yaml", path / "log"
    test.write_text(text)
    return log, recorded(test, log, monkeypatch)


def replayed(*paths: Path, policies: str | bytes = b"", since: float | None = None) -> Replayed:
    recording = read_files([str(p) for p in paths], since)
    return replay_recording(recording, [parse(policies or shipped(), POLICY_ACTIONS)])


def minutes(at: timedelta) -> int:
    return round(at.total_seconds() / 60)


def done(lines: list[dict[str, Any]]) -> set[tuple[str, str, int]]:
    """The first step after the application was well: who, which, and at which minute."""
    found, busy = set(), set()
    for line in lines:
        name = line.get("subject", "").partition("/")[2]
        if line["event"] == "state":
            state = line["state"]
            if state["health"] == "Healthy" and (state["sync"] == "Synced" or state.get("held")):
                busy.discard(name)
        elif line["event"] == "effect" and line["action"] != "release" and name not in busy:
            busy.add(name)
            at = datetime.fromisoformat(line["timestamp"]) - BEGIN
            found.add((name, line["action"], minutes(at)))
    return found


def said(incidents: list[Incident]) -> set[tuple[str, str, int]]:
    acted = [(i.name[1], i.acted) for i in incidents if i.acted]
    return {(name, a.action, minutes(a.at - BEGIN)) for name, a in acted}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replay_of_the_recording_says_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    log, lines = played(tmp_path, a_shift(seed), monkeypatch)
    incidents = replayed(log).pasts[0].incidents
    assert len(done(lines)) >= 5
    assert said(incidents) == done(lines)


def state_line(minute: float, name: str, **state: Any) -> str:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    shown = {"sync": "Synced", "health": "Healthy", "auto_sync": True, "self_heal": True, **state}
    line = {"kind": "state", "namespace": "argocd", "name": name, "state": shown, "timestamp": at}
    return json.dumps(line)


def fleet_line(minute: float, count: int, project: str = "default") -> str:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    group = [count, project, "", "", [], ""]
    return json.dumps({"kind": "fleet", "part": 0, "groups": [group], "timestamp": at})


ILL = {"health": "Degraded", "cause": "RolloutFailed"}
POLICY = """
recovery_policies:
- name: broken
  condition: {type: application, health: Degraded, duration: 5m}
  channels: [slack]
  actions: [{type: notify, parameters: {channels: [slack]}}]
"""


def incidents_of(path: Path, *lines: str, policies: str = POLICY) -> list[Incident]:
    path.write_text("\n".join(lines) + "\n")
    return replayed(path, policies=policies).pasts[0].incidents


def test_lines_of_others_and_prefixes_are_passed_over(tmp_path: Path) -> None:
    lines = [state_line(0, "a", **ILL), state_line(30, "a")]
    noise = ["", "ready", '{"event": "state of things"', "[pod/x] " + lines[1], "x" * 100]
    found = incidents_of(tmp_path / "log", *noise, f"2026-03-02T00:00:00Z stdout F {lines[0]}")
    assert [(i.name[1], minutes(i.lasted)) for i in found if i.lasted] == [("a", 30)]


def test_a_line_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    broken = '{"kind": "state", "namespace": 5}'
    path.write_text(f"{broken}\n{state_line(0, 'a')}\n")
    assert read_files([str(path)]).warnings == ("1 lines cannot be read, and are left out",)


def test_what_is_not_written_again_has_ended(tmp_path: Path) -> None:
    """The controller writes again what is not well; where it does not, nobody knows."""
    later = RESTATED_WITHIN / 60 + 100
    found = incidents_of(
        tmp_path / "log",
        state_line(0, "a", **ILL),
        state_line(60, "a", **ILL),
        state_line(0, "b", **ILL),
        state_line(300, "b", **ILL),
        state_line(later, "b"),
    )
    assert {i.name[1]: minutes(i.lasted) for i in found if i.lasted} == {"a": 60, "b": int(later)}


def test_a_storm_is_a_share_of_all_that_are_counted(tmp_path: Path) -> None:
    ill = [state_line(10 + n, f"app-{n}", **ILL) for n in range(4)]
    end = state_line(60, "app-0")
    few = incidents_of(tmp_path / "few", fleet_line(0, 5), *ill, end)
    many = incidents_of(tmp_path / "many", fleet_line(0, 500), *ill, end)
    assert [bool(i.acted) for i in few] == [False] * 4
    assert [bool(i.acted) for i in many] == [True] * 4


def test_since_begins_with_what_was_so_then(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\n".join([state_line(0, "a", **ILL), state_line(200, "a")]))
    since = (BEGIN + timedelta(minutes=120)).timestamp()
    (incident,) = replayed(path, since=since, policies=POLICY).pasts[0].incidents
    assert incident.began.timestamp() == since
    assert incident.lasted == timedelta(minutes=80)


def test_a_deleted_application_is_ill_no_more(tmp_path: Path) -> None:
    gone = json.dumps(
        {
            "kind": "state",
            "namespace": "argocd",
            "name": "a",
            "gone": True,
            "timestamp": (BEGIN + timedelta(minutes=7)).isoformat(),
        }
    )
    (incident,) = incidents_of(
        tmp_path / "log", state_line(0, "a", **ILL), gone, state_line(60, "b")
    )
    assert incident.lasted == timedelta(minutes=7)


def test_a_cause_selects_and_forbids(tmp_path: Path) -> None:
    policies = """
recovery_policies:
- name: image
  condition: {type: application, cause: ImageUnavailable, duration: 5m}
  actions: [{type: restart}]
- name: broken
  condition: {type: application, health: Degraded, duration: 5m}
  actions: [{type: restart}]
"""
    found = incidents_of(
        tmp_path / "log",
        fleet_line(0, 100),
        state_line(0, "a", health="Degraded", cause="ImageUnavailable/NotFound"),
        state_line(0, "b", health="Degraded", cause="RolloutFailed"),
        state_line(0, "c", health="Degraded", cause="OfAnotherVersion"),
        state_line(30, "d"),
        policies=policies,
    )
    assert {i.name[1]: i.policies for i in found} == {
        "a": ("image", "broken"),
        "b": ("broken",),
        "c": ("broken",),
    }
    assert {i.name[1] for i in found if i.acted} == {"b"}
    assert [i.undecided for i in found] == [None] * 3


def audit_event(minute: float, name: str, verb: str = "patch", **more: Any) -> dict[str, Any]:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "stage": "ResponseComplete",
        "verb": verb,
        "objectRef": {
            "resource": "applications",
            "apiGroup": "argoproj.io",
            "namespace": "argocd",
            "name": name,
        },
        "responseStatus": {"code": 200},
        "stageTimestamp": at,
        **more,
    }


def an_application(name: str, health: str, **meta: Any) -> dict[str, Any]:
    return {
        "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd", "uid": name, **meta},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example/a"},
            "destination": {"name": "in-cluster", "namespace": "a"},
            "syncPolicy": {"automated": {}},
        },
        "status": {"sync": {"status": "Synced"}, "health": {"status": health}},
    }


def test_the_audit_log_of_an_api_server(tmp_path: Path) -> None:
    ill, well = an_application("a", "Degraded"), an_application("a", "Healthy")
    listed = {"kind": "ApplicationList", "metadata": {}, "items": [an_application("b", "Degraded")]}
    table = {"kind": "Table", "rows": []}
    events = [
        audit_event(0, "a", responseObject=ill),
        audit_event(1, "a", "get", responseObject=table),
        audit_event(2, "a", responseObject=well, responseStatus={"code": 409}),
        audit_event(20, "a", responseObject=well),
        audit_event(3, "", "list", responseObject=listed),
        audit_event(40, "b", "delete", responseObject={"kind": "Status"}),
        audit_event(50, "a", "watch"),
        {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "verb": "get", "objectRef": {}},
        {
            "kind": "EventList",
            "apiVersion": "audit.k8s.io/v1",
            "items": [audit_event(60, "c", responseObject=an_application("c", "Degraded"))],
        },
        audit_event(90, "c", responseObject=an_application("c", "Healthy")),
    ]
    found = incidents_of(tmp_path / "audit.log", *map(json.dumps, events))
    assert {i.name[1]: minutes(i.lasted) for i in found if i.lasted} == {"a": 20, "b": 37, "c": 30}


def test_an_application_is_gone_with_its_last_finalizer(tmp_path: Path) -> None:
    deleting = {"deletionTimestamp": "2026-03-02T00:10:00Z"}
    waits = an_application("a", "Degraded", finalizers=["x"], **deleting)
    events = [
        audit_event(0, "a", responseObject=an_application("a", "Degraded")),
        audit_event(10, "a", "delete", responseObject=waits),
        audit_event(12, "a", responseObject=an_application("a", "Degraded", **deleting)),
        audit_event(30, "b", responseObject=an_application("b", "Healthy")),
    ]
    (incident,) = incidents_of(tmp_path / "audit.log", *map(json.dumps, events))
    assert incident.lasted == timedelta(minutes=12)


def test_an_audit_log_without_objects_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(json.dumps(audit_event(0, "a")))
    with pytest.raises(Unreadable, match=r"1 events of Applications.*level RequestResponse"):
        read_files([str(path)])


def test_a_file_with_nothing_in_it_says_what_would_be(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("hello\n\n")
    with pytest.raises(Unreadable, match="no state in 2 lines; give the controller's log"):
        read_files([str(path)])
    with pytest.raises(Unreadable, match="No such file"):
        read_files([str(tmp_path / "absent")])


def test_zipped_logs_and_bundles(tmp_path: Path) -> None:
    text = "\n".join([state_line(0, "a", **ILL), state_line(30, "a")]).encode()
    zipped, bundle = tmp_path / "log.gz", tmp_path / "bundle.tgz"
    zipped.write_bytes(gzip.compress(text))
    with tarfile.open(bundle, "w:gz") as archive:
        for name in ("bundle/states/ours.jsonl", "bundle/report.json"):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    for path in (zipped, bundle):
        assert len(read_files([str(path)]).changes) == 2
    half = tmp_path / "half.gz"
    half.write_bytes(zipped.read_bytes()[:-20])
    with pytest.raises(Unreadable, match="half"):
        read_files([str(half)])


def test_the_report_says_what_was_carried_out_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _ = played(tmp_path, a_shift(1), monkeypatch)
    came = replayed(log)
    made = report(came.pasts[0].incidents, [], came)
    acted = [i for i in came.pasts[0].incidents if i.acted]
    assert made.carried_out == len(acted) > 5
    shown = CliRunner().invoke(app, ["replay", str(log)])
    assert shown.exit_code == 0
    assert f"the controller carried out {len(acted)} then" in shown.stdout
    assert "not judged, as the log lacks it: sync windows" in shown.stdout


def test_the_command_needs_one_source(tmp_path: Path) -> None:
    for more in ([str(tmp_path), "--prometheus", "http://x"], []):
        came = CliRunner().invoke(app, ["replay", *more])
        assert isinstance(came.exception, Refused)
        assert "either --prometheus URL or FILE" in str(came.exception)


@pytest.mark.parametrize(
    "at", ["9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]
)
def test_a_line_of_no_time_that_a_log_can_be_of_is_left_out(tmp_path: Path, at: str) -> None:
    path = tmp_path / "log"
    strange = json.loads(state_line(0, "a", **ILL)) | {"timestamp": at}
    path.write_text(f"{json.dumps(strange)}\n{state_line(0, 'b')}\n{state_line(9, 'b')}\n")
    recording = read_files([str(path)])
    assert [change.name[1] for change in recording.changes] == ["b", "b"]
    assert recording.warnings == ("1 lines cannot be read, and are left out",)


@pytest.mark.parametrize("count", [10**12, 0, -5])
def test_a_count_that_no_fleet_has_is_left_out(tmp_path: Path, count: int) -> None:
    path = tmp_path / "log"
    path.write_text(f"{fleet_line(0, count)}\n{state_line(0, 'b')}\n{state_line(9, 'b')}\n")
    recording = read_files([str(path)])
    assert (recording.counts, len(recording.warnings)) == ((), 1)


def test_what_a_tenant_calls_a_repository_makes_no_line_another_ones(tmp_path: Path) -> None:
    url = "https://git.example/audit.k8s.io/x"
    (incident,) = incidents_of(
        tmp_path / "log", state_line(0, "a", repositories=[url], **ILL), state_line(30, "a")
    )
    assert incident.lasted == timedelta(minutes=30)


def parts(minute: float, *numbers: int) -> list[str]:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    return [
        json.dumps(
            {"kind": "fleet", "part": n, "groups": [[10, f"p{n}", "", "", [], ""]], "timestamp": at}
        )
        for n in numbers
    ]


def test_a_count_is_taken_once_and_whole(tmp_path: Path) -> None:
    first, lost, last = parts(0, 0, 50), parts(1, 50, 100), parts(2, 0, 50, 100)
    log, bundle = tmp_path / "a", tmp_path / "b"
    log.write_text("\n".join([*first, *lost, *last]))
    bundle.write_text("\n".join(last))
    recording = read_files([str(log), str(bundle)])
    counts = [sum(group.count for group in groups) for _, groups in recording.counts]
    assert counts[-1] == 30
    assert counts[0] <= 40
    assert len(counts) == 2


def leads_line(minute: float, *shards: int, count: int = 1) -> str:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    return json.dumps({"kind": "leads", "shards": shards, "count": count, "timestamp": at})


def test_who_takes_over_ends_what_is_not_written_again(tmp_path: Path) -> None:
    """The controller was away for a while: `a` was well when it came back, `b` was not."""
    found = incidents_of(
        tmp_path / "log",
        leads_line(0, 0),
        state_line(1, "a", **ILL),
        state_line(1, "b", **ILL),
        leads_line(31, 0),
        state_line(32, "b", **ILL),
        state_line(200, "a", **ILL),
        state_line(210, "a"),
        state_line(220, "b"),
    )
    lasted = sorted((i.name[1], minutes(i.lasted)) for i in found if i.lasted)
    assert lasted == [("a", 10), ("a", 30), ("b", 219)]


def test_a_shard_of_another_replica_goes_on(tmp_path: Path) -> None:
    uids = {
        name: next(f"{n}" for n in range(99) if shard_of(f"{n}", 2) == s)
        for s, name in enumerate("ab")
    }
    lines = [json.loads(state_line(1, name, **ILL)) | {"uid": uids[name]} for name in "ab"]
    found = incidents_of(
        tmp_path / "log",
        *map(json.dumps, lines),
        leads_line(31, 0, count=2),
        state_line(60, "a"),
        state_line(60, "b"),
    )
    assert {i.name[1]: minutes(i.lasted) for i in found if i.lasted} == {"a": 30, "b": 59}


def test_what_is_deleted_counts_in_no_share(tmp_path: Path) -> None:
    """Previews that were ill and deleted long ago; then all that is left falls ill."""
    gone = [
        json.dumps(
            {
                "kind": "state",
                "namespace": "argocd",
                "name": f"preview-{n}",
                "gone": True,
                "timestamp": (BEGIN + timedelta(minutes=9)).isoformat(),
            }
        )
        for n in range(60)
    ]
    ill = [state_line(1, f"preview-{n}", **ILL) for n in range(60)]
    left = [state_line(100, f"app-{n}", **ILL) for n in range(5)]
    found = incidents_of(tmp_path / "log", *ill, *gone, *left, state_line(160, "app-0"))
    apps = [i for i in found if i.name[1].startswith("app-")]
    assert [bool(i.acted) for i in apps] == [False] * 5


def test_since_after_the_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(state_line(0, "a", **ILL))
    with pytest.raises(
        Unreadable, match="all of it is older; the newest line is of 2026-03-02 00:00"
    ):
        read_files([str(path)], (BEGIN + timedelta(days=1)).timestamp())


def test_a_line_without_end_costs_no_more_than_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(state_line(0, "a", **ILL).encode() + b"\n")
        for _ in range(4 * LONGEST_LINE // 2**20):
            file.write(b'{"state"' + b"x" * 2**20)
        file.write(b"\n" + state_line(30, "a").encode())
    recording = read_files([str(path)])
    assert (len(recording.changes), len(recording.warnings)) == (2, 1)


def test_a_bundle_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, LARGEST_READ * 4
        file.write(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(Unreadable, match="claims to have"):
        read_files([str(path)])
