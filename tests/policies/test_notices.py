"""Routes, channels and messages as written: what is wrong is said with its place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.policy import Policies
from recovery.policies import InvalidPolicies, parse

ONE = """
recovery_policies:
- {name: web, condition: {type: application, status: OutOfSync}, actions: [{type: notify}]}
"""


def parsed(more: str) -> Policies:
    return parse(ONE + more, POLICY_ACTIONS)


def test_all_of_it_is_read() -> None:
    notices = parsed("""
channels:
  slack:
    group_wait: 10s
    repeat_interval: 2h
    fallback: email
    quiet_hours: [{schedule: "0 22 * * *", duration: 8h, timezone: Europe/Berlin, severities: [info, warning, high]}]
routes:
- selector: {projects: [shop-*], labels: {matchLabels: {team: payments}}}
  severities: [critical, high]
  policies: [web*]
  channels: [slack]
  then:
  - {after: 10m, channels: [primary]}
  - {after: 30m, channels: [secondary]}
messages:
  title: "[{{ severity }}] {{ title }}"
  links: {page: https://recovery.example, argocd: https://argocd.example, runbook: "https://run.example/{cause}"}
  flapping: {times: 3, within: 2h}
""").notices

    slack = notices.delivery("slack")
    assert (slack.group_wait, slack.repeat_interval, slack.fallback) == (
        timedelta(seconds=10),
        timedelta(hours=2),
        "email",
    )
    assert notices.delivery("other").group_wait == timedelta(seconds=30)
    assert [later.after for later in notices.routes[0].then] == [
        timedelta(minutes=10),
        timedelta(minutes=30),
    ]
    assert notices.words.flapping.times == 3


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("routes: [{policies: [a]}]", "routes[0]: leads nowhere; write channels, or then, or both"),
        (
            "routes: [{channels: [a], then: [{after: 30m, channels: [b]}, {after: 10m, channels: [c]}]}]",
            "routes[0].then: not in the order of their times",
        ),
        ("routes: [{channels: [a], severities: [loud]}]", "severities"),
        ("routes: [{chanels: [a]}]", "did you mean 'channels'"),
        (
            "channels: {a: {fallback: a}}",
            "channels.a.fallback: a channel cannot stand in for itself (a -> a)",
        ),
        (
            "channels: {a: {fallback: b}, b: {fallback: a}}",
            "channels.b.fallback: a channel cannot stand in for itself (b -> a -> b)",
        ),
        (
            "channels: {a: {quiet_hours: [{schedule: '99 22 * * *', duration: 8h}]}}",
            "channels.a.quiet_hours[0]: '99 22 * * *' is no cron",
        ),
        (
            "channels: {a: {quiet_hours: [{schedule: '0 22 * * *', duration: 30h}]}}",
            "channels.a.quiet_hours[0].duration: write how long",
        ),
        (
            "channels: {a: {quiet_hours: [{schedule: '0 22 * * *', duration: 8h, severities: [critical]}]}}",
            "what is critical is never kept back",
        ),
        (
            "messages: {title: '{{ nothing }}'}",
            "messages.title: not a template that can be used: 'nothing' is undefined",
        ),
        ("messages: {body: '{% if %}'}", "messages.body: not a template that can be used: line 1"),
        (
            "messages: {links: {page: recovery.example}}",
            "messages.links.page: 'recovery.example' is no address",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(more: str, says: str) -> None:
    with pytest.raises(InvalidPolicies) as error:
        parsed(more)

    assert says in "\n".join(map(str, error.value.problems))
