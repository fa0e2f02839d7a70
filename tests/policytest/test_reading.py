"""A test file to tests, or every mistake in it with its line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from recovery.policytest.grammar import ApplicationText
from recovery.policytest.reading import InvalidTests, found, length_of, names_of, read

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "config" / "policies.yaml"


def written(folder: Path, test: str, policies: str = "") -> Path:
    """A test file with this one test beside the shipped policies."""
    (folder / "policies.yaml").write_text(policies or POLICIES.read_text())
    file = folder / "some.test.yaml"
    file.write_text(f"policies: policies.yaml\ntests:\n- name: one\n{test}")
    return file


APP = "  applications: [{name: cart}]\n"
NEVER = "  expect: [{never: any}]\n"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (APP, "3:3: tests[0]: expects nothing: write `expect:`, or draft it with --rewrite"),
        (APP + "  expect: [{app: cart}]\n", "expects nothing: write one of action, phase"),
        (
            APP + "  expect: [{app: card, phase: Resolved}]\n",
            "no app of this test is named 'card', did you mean 'cart'?",
        ),
        (
            APP + "  expect: [{action: restrat}]\n",
            "unknown action 'restrat', did you mean 'restart'?",
        ),
        (
            APP + "  expect: [{refused_by: Storms}]\n",
            "unknown guard 'Storms', did you mean 'Storm'?",
        ),
        (APP + "  expect: [{never: restrt}]\n", "unknown word 'restrt', did you mean 'restart'?"),
        (APP + "  expect: [{policy: x, never: any}]\n", "unknown policy 'x'; known are"),
        (APP + "  expect: [{phase: Resolved, action: sync}]\n", "write an entry for each"),
        (APP + "  expect: [{action: sync, within: [9m, 3m]}]\n", "the first time is later"),
        (APP + "  expect: [{action: sync, within: [9m]}]\n", "at least 2 is needed"),
        (APP + "  expect: [{action: sync, message: '('}]\n", "not a regular expression"),
        (APP + "  run: 1m\n  expect: [{action: sync, before: 1h}]\n", "later than the test runs"),
        (APP + NEVER + "  events: [{at: 1m}]\n", "says nothing that happens: write one of commit"),
        (
            APP + NEVER + "  events: [{at: 1m, git: {now: stops}, argocd: {now: stops}}]\n",
            "says git and argocd: write one of",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, comit: {app: cart, image: crash}}]\n",
            "unknown key 'comit', did you mean 'commit'?",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, commit: {app: cart}}]\n",
            "write image or manifests",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, commit: {app: cart, image: explode}}]\n",
            "'explode' does not have the form",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, repository: {app: cart, now: refuses}}]\n",
            "'cart' is not among the test's repositories",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, cluster: {name: far, now: dies}}]\n",
            "no cluster of this test is named 'far'",
        ),
        (
            APP + NEVER + "  events: [{at: 1m, policies: {file: gone.yaml}}]\n",
            "'gone.yaml' cannot be read",
        ),
        (
            "  applications: [{name: cart}, {name: cart}]\n" + NEVER,
            "two applications are named 'cart'",
        ),
        (
            "  applications: [{name: cart, cluster: far}]\n" + NEVER,
            "no cluster of this test is named",
        ),
        (APP + NEVER + "  start: yesterday\n", "'yesterday' is no time; write one such as"),
        (APP + NEVER + "  run: 1000h\n", "a test is at most 7 days long"),
        (APP + NEVER + "- name: one\n" + NEVER, "'one' is the name of tests[0] already"),
        (
            APP + "  expect: [{app: cart, cluster: c, never: any}]\n",
            "is of one of app, cluster and",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, test: str, said: str) -> None:
    with pytest.raises(InvalidTests) as told:
        read(written(tmp_path, test))
    lines = [f"{p.line}:{p.column}: {p.path}: {p.message}" for p in told.value.problems]
    assert any(said in line for line in lines), lines
    assert all(p.line >= 3 for p in told.value.problems)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    test = "  applications: [{name: cart, cuont: 3}]\n  expect: [{action: snyc}, {phase: Gone}]\n"
    with pytest.raises(InvalidTests) as told:
        read(written(tmp_path, test))
    assert len(told.value.problems) == 3


def test_what_is_wrong_with_the_policies_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidTests, match=r"policies\.yaml: line 1.*recovery_policies"):
        read(written(tmp_path, APP + NEVER, "recovery_polices: []\n"))


def test_a_config_map_is_a_policy_file(tmp_path: Path) -> None:
    inner = "".join(f"    {line}\n" for line in POLICIES.read_text().splitlines())
    text = "kind: ConfigMap\nmetadata: {name: p}\ndata:\n  policies.yaml: |\n" + inner
    suite = read(written(tmp_path, APP + NEVER, text))
    assert suite.policy_text == POLICIES.read_text()


def test_a_fleet_is_numbered() -> None:
    assert names_of(ApplicationText("web")) == ("web",)
    assert names_of(ApplicationText("web", count=2)) == ("web-1", "web-2")
    assert names_of(ApplicationText("a-*-b", count=2)) == ("a-1-b", "a-2-b")


def test_it_is_watched_for_half_an_hour_after_all_that_is_written(tmp_path: Path) -> None:
    events = "  events: [{at: 50m, git: {now: stops}}]\n"
    (test,) = read(written(tmp_path, APP + NEVER + events)).tests
    assert length_of(test) == timedelta(minutes=80)


def test_files_are_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    wanted = [tmp_path / "deep" / "b.test.yaml", tmp_path / "kyverno-test.yml"]
    for file in (*wanted, tmp_path / "policies.yaml"):
        file.touch()
    assert sorted(found([tmp_path])) == sorted(wanted)
    assert found([tmp_path / "policies.yaml"]) == [tmp_path / "policies.yaml"]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    test = APP + "  expect:\n  - {never: any}\n  - {phase: Resolved}\n"
    suite = read(written(tmp_path, test))
    assert (suite.line(0), suite.line(0, 0), suite.line(0, 1)) == (3, 6, 7)


@pytest.mark.parametrize(
    ("name", "said"),
    [("broken.yaml", "not YAML"), (".", "no file"), ("/dev/zero", "no file"), ("gone", "No such")],
)
def test_policies_that_are_no_policy_file_are_told(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "broken.yaml").write_text("not: [yaml\n")
    file = tmp_path / "some.test.yaml"
    file.write_text(f"policies: {name}\ntests:\n- name: one\n{APP}{NEVER}")
    with pytest.raises(InvalidTests, match=said):
        read(file)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "gone"):
        with pytest.raises(InvalidTests, match="cannot be read"):
            read(path)
