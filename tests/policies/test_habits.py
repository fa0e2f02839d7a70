"""What people write from habit is met with what is right here, and everything is said at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.duration import Duration
from recovery.observe.policy_source import ConfigMap, PolicySource
from recovery.observe.wire_types import Meta
from recovery.policies import Defaults, InvalidPolicies, parse

ONE = """\
recovery_policies:
- name: web
  condition: {type: application, health: Degraded, duration: 5m}
  actions: [{type: restart}]
"""


def said(text: str) -> list[str]:
    try:
        return [str(w) for w in parse(text, POLICY_ACTIONS).warnings]
    except InvalidPolicies as error:
        return [f"{p.path}: {p.message}" for p in error.problems]


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        ("recovery_policies:", "groups:", "this is a Prometheus rule file"),
        (
            "recovery_policies:",
            "apiVersion: recovery.gitops.dev/v1\nkind: RecoveryPolicy\nspec:",
            "no Kubernetes object",
        ),
        ("recovery_policies:", "recoveryPolicies:", "did you mean 'recovery_policies'?"),
        ("duration: 5m", "for: 5m", "did you mean 'duration'?"),
        ("actions: [{type: restart}]", "actions: [restart]", "write '- type: restart'"),
        (
            "{type: restart}",
            "{type: escalate, afterAttempts: 2}",
            "belongs under 'parameters: {after_attempts: ...}'",
        ),
        (
            "{type: restart}",
            "{type: escalate, channels: [x]}",
            "belongs under 'parameters: {channels: ...}'",
        ),
        ("- name: web", "- name: web\n  enabled: false", "did you mean 'mode: observe'"),
        (
            "- name: web",
            "- name: web\n  selector: {matchLabels: {a: b}}",
            "write 'labels: {matchLabels: ...}'",
        ),
        ("- name: web", "- name: web\n  mode: dry-run", "did you mean 'observe'?"),
        ("- name: web", "- name: web\n  severity: page", "did you mean 'critical'?"),
        (
            "type: application, health: Degraded",
            "type: cluster, connection_state: Down",
            "did you mean 'Failed'?",
        ),
        ("health: Degraded", "health: degraded", "did you mean 'Degraded'?"),
        ("name: web", "name: shopDegraded", "write small letters, digits and -"),
        ("- name: web", "- name: web\n  healthyDelay: 1m", "did you mean 'healthy_delay'?"),
        (
            "{type: restart}",
            "{type: restart, parameters: {resources: [deployment, CronJob]}}",
            "'deployment', 'CronJob' cannot be restarted",
        ),
    ],
)
def test_a_habit_is_met_with_what_is_right(before: str, after: str, right: str) -> None:
    assert any(right in words for words in said(ONE.replace(before, after))), said(
        ONE.replace(before, after)
    )


@pytest.mark.parametrize(
    ("guards", "right"),
    [
        ("storm: {fleet: 0.3}", "write a percentage such as 30%"),
        ("storm: {fleet: '0.3'}", "write a percentage such as 30%"),
        ("windows: [{schedule: '@weekly', duration: 8h}]", "write five cron fields"),
    ],
)
def test_a_form_is_said_in_words(guards: str, right: str) -> None:
    found = said(f"{ONE}guards: {{{guards}}}\n")

    assert any(right in words for words in found), found
    assert not any("quotes" in words or "^" in words for words in found)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = ONE.replace("duration: 5m", "duration: 5m, health: Degarded") + (
        "guards: {storm: {fleet: 0.3}, windows: [{schedule: '0 25 * * *', duration: 1h, actions: [sync-all]}, "
        "{schedule: '0 2 * * *', duration: 1h, timezone: CET/Berlin}]}\n"
    )

    found = "\n".join(said(text))

    for words in ("stands here twice", "percentage", "cron", "sync-all", "CET/Berlin"):
        assert words in found, found


def test_a_misnamed_section_hides_nothing_below() -> None:
    found = said(
        ONE.replace("recovery_policies", "recoveryPolicies")
        .replace("restart", "restrat")
        .replace("Degraded", "Degarded")
    )

    assert any("Degarded" in words for words in found), found


def test_what_follows_from_another_mistake_is_not_said() -> None:
    assert len(said(ONE.replace("Degraded", "Degarded"))) == 1


@pytest.mark.parametrize(
    ("written", "days"), [("1d", 1), ("2w", 14), ("1d12h", 1.5), ("366d", 366)]
)
def test_days_and_weeks_are_read_as_prometheus_reads_them(written: str, days: float) -> None:
    assert Duration.parse(written) == timedelta(days=days)


@pytest.mark.parametrize("written", ["367d", "1y", "d", "-1d", "1d-2h", "99999w", "1.5d"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"duration|year"):
        Duration.parse(written)


def test_a_cause_may_be_named_by_its_code() -> None:
    policies = parse(
        ONE.replace(
            "health: Degraded", "cause: [C16, CrashLoop]".replace("CrashLoop", "RolloutFailed")
        ),
        POLICY_ACTIONS,
    )

    assert policies.policies[0].condition.cause == ("MissingCRD", "RolloutFailed")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "health: Degraded",
            "health: Healthy, status: Synced",
            "none of its actions will ever fit",
        ),
        (
            "- name: web",
            "- name: web\n  selector: {names: ['^web-.*$']}",
            "reads like a regular expression",
        ),
        (
            "- name: web",
            "- name: web\n  selector: {projects: ['shop[']}",
            "reads like a regular expression",
        ),
    ],
)
def test_what_is_no_error_and_still_wrong_is_a_warning(before: str, after: str, words: str) -> None:
    assert any(words in each for each in said(ONE.replace(before, after)))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "a loop within a loop",
        ),
        ("{% for a in body %}{% for b in body %}x{% endfor %}{% endfor %}", "a loop within a loop"),
        (
            "{% for a in body %}{% if a %}{% for b in body %}x{% endfor %}{% endif %}{% endfor %}",
            "a loop within a loop",
        ),
        ("{{ 'a' * 10000000 }}", "Mul is not for messages"),
        ("{{ 9 ** 9 ** 9 }}", "Pow is not for messages"),
        ("{{ '%1000000000s' % 1 }}", "not formatted with %"),
        ("{{ body|center(1000000000) }}", "'center' is not for messages"),
        ("{{ title.ljust(1000000000) }}", "may be called"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "Macro is not for messages"),
        ("{% set a = body ~ body %}{% set b = a ~ a %}", "Assign is not for messages"),
    ],
)
def test_a_template_cannot_take_for_ever_or_fill_the_memory(template: str, words: str) -> None:
    import json

    found = said(f"{ONE}messages: {{title: {json.dumps(template)}}}\n")

    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    "written",
    [
        'guards: {storm: {fleet: "30%\\n"}}',
        f"defaults: {{attempts: 0x{'f' * 5000}}}",
        "defaults: {backoff: {factor: .nan}}",
        "defaults: {backoff: {factor: .inf}}",
        'guards: {storm: {fleet: "٣٠%"}}',
        "defaults: {healthy_delay: ٥m}",
        f"defaults: {{healthy_delay: {'0d' * 1000}}}",
    ],
)
def test_what_is_no_value_is_a_problem_with_its_place_and_never_a_crash(written: str) -> None:
    with pytest.raises(InvalidPolicies) as error:
        parse(f"{ONE}{written}\n", POLICY_ACTIONS)

    assert all(problem.line == 5 for problem in error.value.problems), error.value.problems


def test_a_name_with_a_newline_is_none() -> None:
    with pytest.raises(InvalidPolicies):
        parse(ONE.replace("name: web", 'name: "web\\n"'), POLICY_ACTIONS)


def test_a_chain_of_fallbacks_is_walked_once() -> None:
    channels = ", ".join(f"c{n}: {{fallback: c{n + 1}}}" for n in range(200))
    assert len(parse(f"{ONE}channels: {{{channels}}}\n", POLICY_ACTIONS).notices.channels) == 200

    more = ", ".join(f"c{n}: {{fallback: c{n + 1}}}" for n in range(3000))
    assert any(
        "3000 entries; at most 200" in words for words in said(f"{ONE}channels: {{{more}}}\n")
    )


def test_whatever_a_text_does_to_the_parser_the_good_policies_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[str] = []
    source = PolicySource(
        POLICY_ACTIONS, Defaults(), lambda _: None, lambda _, why: refused.append(why)
    )
    source.put(ConfigMap(Meta("p"), {"policies.yaml": ONE}))

    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("recovery.observe.policy_source.parse", broken)
    source.put(ConfigMap(Meta("p"), {"policies.yaml": "{}"}))

    assert source.policies is not None
    assert "cannot be read (RecursionError)" in refused[0]
    assert "stay in force" in refused[0]
