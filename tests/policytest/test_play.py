"""Tests of policies, played: the shipped ones, and what a policy's author would get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from recovery.cli import app
from recovery.commands.errors import Refused
from recovery.policytest import coverage, draft
from recovery.policytest.events import EVENT_TYPES
from recovery.policytest.grammar import ApplicationText
from recovery.policytest.reading import ALWAYS, EXPECTATION_KEYS, found, read
from recovery.policytest.runner import Verdict, played, run
from recovery.policytest.schema import schema
from recovery.policytest.stage import play
from recovery.simulate.pods import TAGS

ROOT = Path(__file__).parents[2]
SHIPPED = found([ROOT / "config" / "tests"])
HASTY = """
recovery_policies:
- name: hasty
  condition: {type: application, health: Degraded, duration: 10s}
  actions: [{type: restart}]
"""


def verdict(folder: Path, test: str, policies: str = "") -> Verdict:
    """Play a file with this one test."""
    text = policies or (ROOT / "config" / "policies.yaml").read_text()
    (folder / "policies.yaml").write_text(text)
    file = folder / "some.test.yaml"
    file.write_text(f"policies: policies.yaml\ntests:\n- name: one\n{test}")
    return played(file, 0)


SUITES = {path.stem: read(path) for path in SHIPPED}
TESTS = [(suite.path, n) for suite in SUITES.values() for n in range(len(suite.tests))]


def test_the_shipped_policies_do_what_their_tests_say_and_are_all_reached() -> None:
    verdicts = list(run(TESTS, jobs=2))
    assert [(v.name, v.error, v.failures) for v in verdicts if not v.passed] == []
    assert [v.name for v in verdicts] == [t.name for s in SUITES.values() for t in s.tests]
    missed = coverage.unreached(SUITES["connections.test"].policies, [v.reached for v in verdicts])
    assert [m for m in missed if m.kind != "guard"] == []


CRASH = """  applications: [{name: cart}]
  events: [{at: 5m, commit: {app: cart, image: crash-until-restart}}]
"""


def test_never_catches_what_was_only_for_a_moment(tmp_path: Path) -> None:
    """The restart cures at once: at the end nothing is to be seen of it."""
    came = verdict(tmp_path, CRASH + "  expect:\n  - {app: cart, never: restart}\n", HASTY)
    (failed,) = came.failures
    assert failed.line == 7
    assert "expected never restart" in failed.message
    assert any("restart Succeeded" in line for line in failed.transcript)


@pytest.mark.parametrize("word", ["write", "told", "any", "Verifying"])
def test_never_is_asked_of_everything_that_happens(tmp_path: Path, word: str) -> None:
    came = verdict(tmp_path, CRASH + f"  expect: [{{never: {word}}}]\n", HASTY)
    assert len(came.failures) == 1


def test_a_test_comes_out_the_same_each_time(tmp_path: Path) -> None:
    first, second = (
        verdict(tmp_path, CRASH + "  expect: [{phase: Resolved}]\n").transcript for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("level", ["warning", "error"])
def test_refusals_are_seen_whatever_the_process_logs(tmp_path: Path, level: str) -> None:
    """A command that is called in this process logs warnings only."""
    from recovery import logs

    logs.configure(level, "console")
    test = """  applications: [{name: cart, auto_sync: false}]
  events: [{at: 5m, commit: {app: cart, image: v2}}]
  expect: [{app: cart, refused_by: ManualSync, count: 1}]
"""
    came = verdict(tmp_path, test)
    assert (came.error, came.failures) == ("", ())


def test_a_controller_that_runs_is_not_started_again(tmp_path: Path) -> None:
    test = """  applications: [{name: cart}]
  events:
  - {at: 1m, controller: {now: starts}}
  - {at: 5m, commit: {app: cart, image: crash-until-restart}}
  - {at: 6m, controller: {now: starts}}
  expect: [{app: cart, action: restart, count: 1, result: Succeeded}]
"""
    came = verdict(tmp_path, test)
    assert (came.error, came.failures) == ("", ())


def test_a_message_is_of_its_policy(tmp_path: Path) -> None:
    expect = "  expect: [{policy: hasty, told: {channel: people}}]\n"
    came = verdict(tmp_path, CRASH + expect, HASTY)
    assert (came.error, came.failures) == ("", ())


def test_what_nothing_waits_for_cannot_be_approved(tmp_path: Path) -> None:
    events = "  events: [{at: 5m, approve: {app: cart}}]\n  expect: [{never: any}]\n"
    came = verdict(tmp_path, "  applications: [{name: cart}]\n" + events)
    assert "approve at 5m: nothing of cart waits for it" in came.error


def test_a_status_that_is_set_is_not_synced_to_no_end(tmp_path: Path) -> None:
    test = """  applications: [{name: cart, self_heal: true}]
  events: [{at: 5m, set: {app: cart, sync: OutOfSync}}]
  expect: [{app: cart, action: sync, within: [14m, 17m], count: 1}]
"""
    came = verdict(tmp_path, test)
    assert (came.error, came.failures) == ("", ())
    assert len(came.transcript) < 100


def test_nobody_is_told_of_what_is_healthy_at_the_start(tmp_path: Path) -> None:
    test = '  start: "2026-11-23T23:00:00Z"\n  applications: [{name: cart}]\n  run: 9h\n'
    quiet = HASTY + (
        "channels:\n  people: {quiet_hours: [{schedule: '0 22 * * *', duration: 8h}]}\n"
        "defaults: {channels: [people]}\n"
    )
    came = verdict(tmp_path, test + "  expect: [{never: any}]\n", quiet)
    assert (came.error, came.failures) == ("", ())


FLOW = "{policies: policies.yaml, tests: [{name: one, applications: [{name: a}], run: 1m}]}\n"
FIRST = "policies: policies.yaml\ntests:\n- expect:\n  - {never: any}\n  name: one\n  run: 1m\n"


@pytest.mark.parametrize(
    "text",
    [FLOW, "policies: policies.yaml\ntests:\n- {name: one, run: 1m}\n"],
    ids=["file", "test"],
)
def test_what_cannot_be_rewritten_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "policies.yaml").write_text(HASTY)
    file = tmp_path / "some.test.yaml"
    file.write_text(text)
    code, output = command(str(file), "--rewrite")
    assert code == 1
    assert "nothing was changed" in output
    assert file.read_text() == text


@pytest.mark.parametrize(
    "text",
    [FIRST, FIRST.replace("\n", "\r\n"), FIRST.rstrip("\n")],
    ids=["first", "crlf", "no end"],
)
def test_a_rewritten_file_can_be_read_and_keeps_its_line_ends(tmp_path: Path, text: str) -> None:
    (tmp_path / "policies.yaml").write_text(HASTY)
    file = tmp_path / "some.test.yaml"
    file.write_bytes(text.encode())
    assert command(str(file), "--rewrite")[0] == 0
    after = file.read_bytes().decode()
    assert [test.name for test in read(file).tests] == ["one"]
    assert ("\r\n" in after) == ("\r\n" in text)
    assert after.replace("\r\n", "").count("\n") == (0 if "\r\n" in text else after.count("\n"))


def test_junit_is_xml_whatever_a_test_is_called(tmp_path: Path) -> None:
    file = bad(tmp_path)
    file.write_text(file.read_text().replace("name: calm", 'name: "ring \\a bell"'))
    ElementTree.fromstring(command(str(file), "-o", "junit")[1])  # noqa: S314 (our own)


def test_the_controller_may_be_killed_in_the_middle(tmp_path: Path) -> None:
    test = """  applications: [{name: cart}]
  events:
  - {at: 5m, commit: {app: cart, image: crash}}
  - {at: 11m10s, controller: {now: dies}}
  - {at: 13m, controller: {now: starts}}
  expect:
  - {app: cart, action: restart, count: 1}
  - {app: cart, action: rollback, count: 1, after: 13m}
"""
    came = verdict(tmp_path, test)
    assert (came.error, came.failures) == ("", ())


def test_a_status_that_people_have_seen_stays_until_argo_cd_is_followed_again(
    tmp_path: Path,
) -> None:
    test = """  applications: [{name: cart}]
  events:
  - {at: 5m, set: {app: cart, sync: Unknown, health: Missing, conditions: [{type: ComparisonError, message: lost}]}}
  - {at: 20m, follow: {app: cart}}
  expect:
  - {app: cart, at: 19m, sync: Unknown, health: Missing}
  - {app: cart, at: 21m, sync: Synced, health: Healthy}
  - {never: write}
"""
    came = verdict(tmp_path, test)
    assert (came.error, came.failures) == ("", ())


def test_windows_depend_on_the_time_of_day(tmp_path: Path) -> None:
    policies = HASTY + (
        "guards:\n  windows:\n  - {schedule: '0 9 * * 1-5', duration: 8h, actions: [restart]}\n"
    )
    expect = "  expect: [{app: cart, at: 10m, refused_by: OutsideWindow}, {never: restart}]\n"
    noon = verdict(
        tmp_path, CRASH + '  start: "2026-11-23T12:00:00Z"\n  run: 1h\n' + expect, policies
    )
    assert (noon.error, noon.failures) == ("", ())
    night = verdict(
        tmp_path, CRASH + '  start: "2026-11-23T02:00:00Z"\n  run: 1h\n' + expect, policies
    )
    assert len(night.failures) == 2


def test_what_is_drafted_is_met(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text((ROOT / "config" / "policies.yaml").read_text())
    file = tmp_path / "some.test.yaml"
    file.write_text(
        "policies: policies.yaml\ntests:\n- name: one\n"
        + CRASH
        + "  # a comment that stays\n\n- name: two\n  applications: [{name: bill}]\n"
        + "  expect:\n  - {app: bill, phase: Stalled}  # wrong\n  run: 10m\n"
    )
    suite = read(file, drafting=True)
    drafts = {n: draft.drafted(play(suite, n)) for n in range(2)}
    file.write_text(draft.rewritten(suite.text, drafts))

    text = file.read_text()
    assert "# a comment that stays" in text
    assert "run: 10m" in text
    assert "Stalled}" not in text
    assert [test.name for test in read(file).tests] == ["one", "two"]
    for number in range(2):
        came = played(file, number)
        assert (came.error, came.failures) == ("", ())


# The command


def command(*words: str) -> tuple[int, str]:
    came = CliRunner().invoke(app, ["test", *words])
    if isinstance(came.exception, Refused):
        return came.exception.code, str(came.exception)
    return came.exit_code, came.output


def bad(tmp_path: Path) -> Path:
    (tmp_path / "policies.yaml").write_text(HASTY)
    file = tmp_path / "some.test.yaml"
    file.write_text(
        "policies: policies.yaml\ntests:\n- name: calm\n  applications: [{name: a}]\n  run: 1m\n"
        "  expect: [{never: any}]\n- name: one\n" + CRASH + "  expect: [{never: restart}]\n"
    )
    return file


def test_a_failure_says_what_where_and_what_happened_instead(tmp_path: Path) -> None:
    code, output = command(str(bad(tmp_path)))
    assert code == 1
    assert "FAIL" in output
    assert ":10: expected never restart" in output
    assert "is Synced Degraded" in output
    assert "2 tests, 1 failed" in output
    assert "simulated Argo CD" in output
    assert '"event"' not in output, "no log line of the controller"


def test_tests_are_chosen_by_name(tmp_path: Path) -> None:
    code, output = command(str(bad(tmp_path)), "--run", "^calm$")
    assert code == 0
    assert "1 test, all passed" in output


def test_pipelines_read_json_and_junit(tmp_path: Path) -> None:
    file = str(bad(tmp_path))
    rows = json.loads(command(file, "-o", "json")[1])
    assert [(r["name"], r["passed"], r["line"]) for r in rows] == [
        ("calm", True, 3),
        ("one", False, 7),
    ]
    suite = ElementTree.fromstring(command(file, "-o", "junit")[1]).find("testsuite")  # noqa: S314 (our own)
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run", "nobody"), "no test's name matches 'nobody'"),
        (("--run", "("), "is no regular expression"),
    ],
)
def test_what_cannot_be_asked_is_told(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, output = command(str(bad(tmp_path)), *words)
    assert code == 2
    assert said in output


def test_a_folder_without_tests_is_an_error(tmp_path: Path) -> None:
    code, output = command(str(tmp_path))
    assert code == 2
    assert "no file *test.yaml" in output


def test_mistakes_are_told_with_file_and_line(tmp_path: Path) -> None:
    file = bad(tmp_path)
    file.write_text(file.read_text().replace("never: any", "nevr: any"))
    code, output = command(str(file))
    assert code == 2
    assert (
        "some.test.yaml:6:13: tests[0].expect[0].nevr: unknown key 'nevr', did you mean 'never'?"
        in output
    )


# The page of the documentation


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "policies.yaml").write_text((ROOT / "config" / "policies.yaml").read_text())
    (tmp_path / "tests").mkdir()
    file = tmp_path / "tests" / "shop.test.yaml"
    file.write_text(example)
    came = played(file, 0)
    assert (came.error, came.failures) == ("", ())


def test_the_page_names_every_event_image_and_expectation() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    known = (
        *EVENT_TYPES,
        *EXPECTATION_KEYS,
        *TAGS[:-2],
        *ALWAYS,
        *ApplicationText.__struct_fields__,
    )
    assert [word for word in known if f"`{word}" not in page and f" {word}:" not in page] == []


def test_the_schema_takes_what_the_reader_takes() -> None:
    body = schema()
    assert body["$defs"]["ExpectText"]["additionalProperties"] is False
    assert set(body["$defs"]["EventText"]["properties"]) == {"at", *EVENT_TYPES}
    assert body["$defs"]["EventText"]["oneOf"] == [{"required": [key]} for key in EVENT_TYPES]
    said = CliRunner().invoke(app, ["schema", "tests"]).output
    assert json.loads(said) == json.loads(json.dumps(body))
