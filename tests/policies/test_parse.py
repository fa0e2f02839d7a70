"""Bad policy files: every error at once, with its place and what would be right; never a crash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.application import Health, Sync
from recovery.model.policy import DisruptionBudget
from recovery.model.storm import StormLimits
from recovery.policies import Defaults, InvalidPolicies, parse, steps_from
from recovery.policies.nodes import LARGEST_POLICIES

CONFIG = Path(__file__).parent.parent.parent / "config"
ONE = "recovery_policies:\n- name: web\n  condition: {type: application, health: Degraded}\n  actions: [{type: restart}]\n"


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidPolicies) as caught:
        parse(text, POLICY_ACTIONS)
    return [str(p) for p in caught.value.problems]


def test_the_shipped_policies_are_the_requirements_own_and_parse() -> None:
    policies = parse((CONFIG / "policies.yaml").read_bytes(), POLICY_ACTIONS)

    told = {p.name: [s.kind.name for s in p.actions] for p in policies.policies}
    assert told == {
        "application-sync-failure": ["refresh", "sync", "notify"],
        "application-health-degraded": ["restart", "rollback", "escalate"],
        "repository-connection-failure": ["refresh_credentials", "test_connection", "notify"],
        "cluster-connection-failure": [
            "refresh_cluster_config",
            "test_cluster_connectivity",
            "failover",
        ],
    }


@pytest.mark.parametrize(
    "path",
    sorted(CONFIG.glob("*.yaml")) + sorted((CONFIG / "examples").glob("*.yaml")),
    ids=lambda p: p.name,
)
def test_every_file_in_config_parses(path: Path) -> None:
    if path.name != "kustomization.yaml":
        assert parse(path.read_bytes(), POLICY_ACTIONS).policies


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            ("health: Degraded", "health: Degarded"),
            "line 3, column 42: recovery_policies[0].condition.health: unknown word 'Degarded', did you mean 'Degraded'?",
            id="word",
        ),
        pytest.param(
            ("restart", "restrat"),
            "line 4, column 20: recovery_policies[0].actions[0].type: unknown action 'restrat', did you mean 'restart'?",
            id="action",
        ),
        pytest.param(
            ("name: web", "name: Web_1"),
            "line 2, column 9: recovery_policies[0].name: 'Web_1' is not right: write small letters, digits and -, beginning and ending with a letter or digit, 63 at most",
            id="name",
        ),
        pytest.param(
            ("name: web", "name: no"),
            "line 2, column 9: recovery_policies[0].name: expected text, found true or false 'no'; put it in quotes to make it text",
            id="no is a boolean",
        ),
        pytest.param(
            ("Degraded}", "Degraded, duration: -5m}"),
            "line 3, column 62: recovery_policies[0].condition.duration: '-5m' is not a Go duration such as 90s, 10m or 1h30m",
            id="negative",
        ),
        pytest.param(
            ("Degraded}", "Degraded, duration: 1y}"),
            "line 3, column 62: recovery_policies[0].condition.duration: '1y' is not a Go duration such as 90s, 10m or 1h30m",
            id="days",
        ),
        pytest.param(
            ("Degraded}", "Degraded, duration: 300}"),
            "line 3, column 62: recovery_policies[0].condition.duration: expected a Go duration such as 90s, 10m or 1h30m, found a whole number '300'",
            id="number",
        ),
        pytest.param(
            ("{type: restart}", "{type: restart, paramters: {}}"),
            "line 4, column 29: recovery_policies[0].actions[0].paramters: unknown key 'paramters', did you mean 'parameters'?",
            id="key",
        ),
        pytest.param(
            ("{type: restart}", "{type: restart, parameters: {resources: [Pod]}}"),
            "line 4, column 41: recovery_policies[0].actions[0].parameters: 'Pod' cannot be restarted; one of Deployment, StatefulSet, DaemonSet, Rollout",
            id="parameter",
        ),
        pytest.param(
            ("{type: restart}", "{type: failover}"),
            "line 4, column 20: recovery_policies[0].actions[0].type: 'failover' works on cluster, not on application",
            id="subject",
        ),
        pytest.param(
            (", health: Degraded", ""),
            "line 3, column 14: recovery_policies[0].condition: a condition on an application needs one of status, health, operation, cause",
            id="empty condition",
        ),
        pytest.param(
            ("  actions:", "  name: web2\n  actions:"),
            "line 4, column 3: recovery_policies[0].name: 'name' stands here twice, first in line 2",
            id="duplicate key",
        ),
        pytest.param(
            ("  actions:", "  attempts: 0\n  actions:"),
            "line 4, column 13: recovery_policies[0].attempts: 0 is out of range: 1 to 1000",
            id="attempts",
        ),
        pytest.param(
            ("  actions:", "  attempts: three\n  actions:"),
            "line 4, column 13: recovery_policies[0].attempts: expected a whole number, found text 'three'",
            id="wrong type",
        ),
        pytest.param(
            ("[{type: restart}]", "[]"),
            "line 4, column 12: recovery_policies[0].actions: at least 1 is needed",
            id="no actions",
        ),
        pytest.param(
            ("{type: restart}", "{type: release}"),
            "line 4, column 20: recovery_policies[0].actions[0].type: unknown action 'release'; known are ",
            id="an internal action",
        ),
    ],
)
def test_one_mistake(change: tuple[str, str], expected: str) -> None:
    (told,) = problems(ONE.replace(*change))

    assert told.startswith(expected) if expected.endswith(" ") else told == expected


def test_all_mistakes_are_told_at_once_in_the_files_order() -> None:
    text = """\
recovery_policies:
- name: a
  condition: {type: application, status: OutOfSnyc}
  actions: [{type: restrat}]
- name: a
  condition: {type: application, health: Degraded}
  actions: [{type: refresh, parameters: {hard: maybe}}]
  bogus: 1
"""
    assert [line.split(": ")[0] for line in problems(text)] == [
        "line 3, column 42", "line 4, column 20", "line 5, column 9", "line 7, column 48", "line 8, column 3",
    ]  # fmt: skip


def test_names_are_unique() -> None:
    (told,) = problems(ONE + ONE.partition("\n")[2])

    assert (
        told
        == "line 5, column 9: recovery_policies[1].name: 'web' is the name of recovery_policies[0] already"
    )


@pytest.mark.parametrize(
    "written",
    [
        "0x_",
        "0b_",
        "!!int foo",
        "!!int ''",
        "9" * 5000,
        "!!bool x",
        "!!timestamp x",
        "20000000000h",
    ],
)
def test_odd_scalars_are_named_wherever_they_stand(written: str) -> None:
    for change in (
        ("  actions:", f"  attempts: {written}\n  actions:"),
        ("Degraded}", f"Degraded, duration: {written}}}"),
        ("{type: restart}", f"{{type: notify, parameters: {{message: {written}, x: {written}}}}}"),
    ):
        assert problems(ONE.replace(*change))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("\n# only words\n", "the file is empty", id="only comments"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "not a text file", id="binary"),
        pytest.param(b"\x00\x00", "not YAML", id="zeros"),
        pytest.param("a: [", "not YAML", id="unclosed"),
        pytest.param("recovery_policies:\n\t- name: a", "tab", id="tabs"),
        pytest.param("[" * 100_000, "nested deeper than 50 levels", id="100,000 brackets"),
        pytest.param("a: &x [1]\nb: *x", "anchors and aliases", id="aliases"),
        pytest.param("x" * (20 * 1024 * 1024), "20,971,520 bytes", id="20 MB"),
        pytest.param("recovery_policies: 3", "expected a list", id="not a list"),
        pytest.param("- a", "expected a mapping", id="a list on top"),
        pytest.param(
            "recovery_policies: []\n---\nrecovery_policies: []",
            "more than one document",
            id="two documents",
        ),
        pytest.param("{}", "'recovery_policies' is missing", id="nothing in it"),
        pytest.param("? [a]\n: 1", "a key has to be a word", id="a strange key"),
        pytest.param(
            "kind: ConfigMap\ndata: {other: x}",
            "the ConfigMap has no key policies.yaml",
            id="ConfigMap without the key",
        ),
    ],
)
def test_no_file_is_a_crash(text: str | bytes, expected: str) -> None:
    assert any(expected in told for told in problems(text))


def test_a_config_map_gives_the_outer_files_lines() -> None:
    inner = "".join(f"    {line}\n" for line in ONE.replace("Degraded", "Degarded").splitlines())
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: recovery-policies}}\ndata:\n  policies.yaml: |\n{inner}"

    assert problems(text) == [
        "line 8, column 46: recovery_policies[0].condition.health: unknown word 'Degarded', did you mean 'Degraded'?"
    ]
    assert parse(text.replace("Degarded", "Degraded"), POLICY_ACTIONS).policies[0].name == "web"


def test_defaults_of_the_file_come_before_those_of_the_environment() -> None:
    environment = Defaults(7, timedelta(seconds=9))

    plain = parse(ONE, POLICY_ACTIONS, environment).policies[0]
    all_of_it = parse(
        ONE + "defaults: {attempts: 2, backoff: {duration: 1m}, channels: [ops]}\n",
        POLICY_ACTIONS,
        environment,
    )
    told = all_of_it.policies[0]

    assert (plain.attempts, plain.backoff.duration) == (7, timedelta(seconds=9))
    assert (told.attempts, told.backoff.duration, told.channels) == (2, timedelta(minutes=1), ()), (
        "a route comes before the defaults"
    )
    assert all_of_it.channels == ("ops",)


def test_all_that_may_be_written_is_read() -> None:
    text = """\
recovery_policies:
- name: web
  condition: {type: application, status: [OutOfSync, Unknown], health: Degraded, operation: Failed, duration: 1h30m}
  selector:
    projects: [shop-*]
    labels: {matchLabels: {tier: web}, matchExpressions: [{key: env, operator: In, values: [prod]}]}
  mode: observe
  severity: critical
  attempts: 5
  backoff: {duration: 10s, factor: 2, maxDuration: 1m}
  healthy_delay: 10s
  reset_after: 20m
  channels: [ops]
  actions:
  - {type: refresh, parameters: {hard: true}, timeout: 90s, mode: act}
defaults: {mode: act, severity: high, attempts: 3, channels: [slack]}
guards:
  storm: {window: 10m, minimum: 5, fleet: 30%, group: 30%, count: 25, cooldown: 10m}
  budget: {in_flight: 10, per_cluster: 3, per_project: 3, destructive_per_hour: {fleet: 6, project: 2, application: 1}}
  windows: [{schedule: "0 22 * * 5", duration: 60h, timezone: Europe/Berlin, selector: {projects: [shop-*]}, actions: [restart, rollback]}]
  pauses: [{reason: freeze, until: "2026-12-24T18:00:00Z", selector: {projects: [shop-*]}}]
ledger: {soak: 2m}
channels: {slack: {group_wait: 30s, repeat_interval: 4h}}
"""
    policies = parse(text, POLICY_ACTIONS)

    (policy,) = policies.policies
    assert policy.condition.status == (Sync.OutOfSync, Sync.Unknown)
    assert policy.condition.health == (Health.Degraded,)
    assert policy.sentence == "Degraded and OutOfSync or Unknown and operation Failed for 1h30m"
    assert [policy.backoff.pause(n).total_seconds() for n in (1, 2, 3, 4, 99)] == [
        10,
        20,
        40,
        60,
        60,
    ]
    assert policy.actions[0].settle == timedelta(seconds=90)
    assert policies.storm == StormLimits(
        timedelta(minutes=10), 5, 30, 30, 25, timedelta(minutes=10)
    )
    assert policies.budget.destructive_per_hour == DisruptionBudget(6, 2, 1)
    (window,) = policies.windows
    assert (window.schedule, window.duration, window.timezone) == (
        "0 22 * * 5",
        timedelta(hours=60),
        "Europe/Berlin",
    )
    assert window.actions == ("restart", "rollback")
    assert [(p.reason, p.until, p.selector.projects) for p in policies.pauses] == [
        ("freeze", datetime(2026, 12, 24, 18, tzinfo=UTC), ("shop-*",))
    ]


@pytest.mark.parametrize(
    ("guards", "path", "words"),
    [
        pytest.param(
            "windows: [{schedule: '0 22 * * 9', duration: 1h}]",
            "guards.windows[0]",
            "no cron expression",
            id="no such weekday",
        ),
        pytest.param(
            "windows: [{schedule: '0 0 30 2 *', duration: 1h}]",
            "guards.windows[0]",
            "ever comes true",
            id="never",
        ),
        pytest.param(
            "windows: [{schedule: '0 0 * * *', duration: 1h, timezone: Mars/Base}]",
            "guards.windows[0]",
            "Europe/Berlin",
            id="zone",
        ),
        pytest.param(
            "windows: [{schedule: '0 0 * * *', duration: 0s}]",
            "guards.windows[0].duration",
            "never open",
            id="no length",
        ),
        pytest.param(
            "windows: [{schedule: '0 0 * * *', duration: 1h, actions: [restrat]}]",
            "guards.windows[0].actions",
            "did you mean 'restart'",
            id="action",
        ),
        pytest.param(
            "pauses: [{reason: freeze, until: christmas}]",
            "guards.pauses[0].until",
            "2026-12-24T18:00:00Z",
            id="until when",
        ),
        pytest.param(
            "pauses: [{until: 2026-12-24}]",
            "guards.pauses[0]",
            "'reason' is missing",
            id="a pause without a reason",
        ),
        pytest.param("storm: {group: 130%}", "guards.storm.group", "%", id="more than all"),
        pytest.param("storm: {minimum: 0}", "guards.storm.minimum", "1", id="a storm of none"),
    ],
)
def test_a_guard_that_cannot_be_read_says_what_would_be_right(
    guards: str, path: str, words: str
) -> None:
    text = (
        "recovery_policies: [{name: a, condition: {type: application, status: OutOfSync}, actions: [{type: sync}]}]\nguards: {"
        + guards
        + "}"
    )
    with pytest.raises(InvalidPolicies) as raised:
        parse(text, POLICY_ACTIONS)

    assert [(p.path, words in p.message) for p in raised.value.problems] == [(path, True)]


def test_a_condition_asks_for_causes_by_name() -> None:
    policies = parse(
        ONE.replace("health: Degraded", "cause: [MissingCRD, HookFailed]"), POLICY_ACTIONS
    )

    assert policies.policies[0].condition.cause == ("MissingCRD", "HookFailed")
    wrong = problems(ONE.replace("health: Degraded", "cause: MissingCDR"))
    assert wrong == [
        "line 3, column 41: recovery_policies[0].condition.cause: unknown cause 'MissingCDR', did you mean 'MissingCRD'?"
    ]


def test_an_attempts_actions_survive_being_kept() -> None:
    policy = parse((CONFIG / "policies.yaml").read_bytes(), POLICY_ACTIONS).policies[1]

    assert (
        steps_from(tuple(step.written for step in policy.actions), POLICY_ACTIONS) == policy.actions
    )


def test_kept_actions_that_are_no_longer_known_are_told_apart() -> None:
    policy = parse(ONE, POLICY_ACTIONS).policies[0]

    assert steps_from(tuple(step.written for step in policy.actions), {}) is None


@given(st.binary(max_size=2000) | st.text(max_size=2000))
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_written_crashes_the_parser(text: str | bytes) -> None:
    try:
        parse(text, POLICY_ACTIONS)
    except InvalidPolicies as error:
        assert error.problems  # noqa: PT017 (either way is right)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_small_damage_to_a_good_file_crashes_the_parser(data: st.DataObject) -> None:
    text = (CONFIG / "policies.yaml").read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 20))
    damaged = text[:at] + data.draw(st.text(max_size=8)) + text[at + length :]
    try:
        parse(damaged, POLICY_ACTIONS)
    except InvalidPolicies as error:
        assert all(p.message for p in error.problems)  # noqa: PT017 (either way is right)


def test_the_limit_is_far_above_any_real_file() -> None:
    many = "recovery_policies:\n" + "".join(
        ONE.partition("\n")[2].replace("web", f"web-{n}") for n in range(400)
    )

    assert len(many) < LARGEST_POLICIES
    assert len(parse(many, POLICY_ACTIONS).policies) == 400
