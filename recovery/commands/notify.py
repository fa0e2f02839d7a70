"""recovery notify: see what people will read, and whether it reaches them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.clock import SystemClock
from recovery.commands.check import read
from recovery.commands.client import reach
from recovery.commands.errors import UNREACHABLE, USAGE, WRONG, Refused, Shape
from recovery.commands.output import Output, patience, printed
from recovery.commands.requests import whoami
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import CONFIG_MAPS
from recovery.kube.errors import NotFound
from recovery.model.message import Message
from recovery.model.policy import Policies
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase, Subject
from recovery.model.text import shell
from recovery.notify import (
    apprise_channel,
    pagerduty_channel,
    receivers,
    slack_channel,
    webhook_channel,
)
from recovery.notify.compose import compose
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.receiver_urls import Channels
from recovery.policies import InvalidPolicies, parse

Preview = Annotated[
    bool,
    typer.Option(
        "--preview", help="Show a sample as each kind of channel gets it; nothing is sent."
    ),
]
Test = Annotated[
    str,
    typer.Option(
        "--test",
        metavar="CHANNEL",
        help="Send a test message to this channel: a trigger, then its resolve.",
    ),
]
File = Annotated[
    str,
    typer.Option(
        "-f", "--file", help="With --preview: the policy file whose templates and links are used."
    ),
]


def notify(
    preview: Preview = False, test: Test = "", file: File = "", output: Output = Shape.table
) -> None:
    """Preview notifications, or send a test."""
    if preview == bool(test):
        raise Refused(
            "say --preview, or --test CHANNEL\nTry: recovery notify --preview -f"
            " config/policies.yaml",
            USAGE,
        )
    if test:
        _test(test)
        return
    message = sample(policies_of(file))
    shown = {
        "text": f"{message.title}\n\n{message.text}",
        "email": apprise_channel.html(message),
        "slack": slack_channel.shown(message),
        "pagerduty": pagerduty_channel.event("ROUTING_KEY", message),
        "webhook": webhook_channel.body(message),
    }
    if output.for_scripts:
        printed(shown, output)
        return
    typer.echo(shown["text"])
    typer.echo("\n(-o json shows it as email, Slack, PagerDuty and webhooks get it)")


def sample(policies: Policies) -> Message:
    """A message such as people get, by these policies' templates and links."""
    now = datetime.now(UTC)
    policy = policies.policies[0].name if policies.policies else "application-health-degraded"
    recovery = Recovery(
        "cart-3f9a1c2b7d",
        policy,
        "",
        Subject("Application", "shop", "cart", "", "shop", "prod-eu"),
        now,
        RecoveryPhase.Stalled,
        cause="CrashLoop",
        unhealthy_since=now - timedelta(minutes=26),
        attempt=3,
        max_attempts=3,
    )
    body = (
        "OutOfSync and Degraded at 9f2c1aa. Tried: restart Deployment/cart Failed (still Degraded);"
        " rollback 41c90aa Skipped (no revision was ever seen healthy). Argo CD says: back-off"
        " restarting failed container.\nStop it: kubectl -n shop annotate application cart"
        " recovery.gitops.dev/paused=true"
    )
    note = PendingNotification(
        f"{recovery.name}/escalate",
        "shop/cart (prod-eu) requires manual intervention",
        body,
        "critical",
    )
    return compose(note, recovery, policies.notices.words, now)


def policies_of(file: str) -> Policies:
    """The policies of a file; else those in force, else none. Refused when they cannot be read."""
    if file:
        try:
            return parse(read(file), POLICY_ACTIONS)
        except InvalidPolicies as error:
            raise Refused(f"{file}: {error}\nTry: recovery check {file}", WRONG) from error
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> bytes:
        try:
            return await client.get(CONFIG_MAPS, settings.namespace, settings.policies)
        except NotFound:
            return b""

    raw = reach(ask)
    try:
        return parse(raw, POLICY_ACTIONS) if raw else Policies(())
    except InvalidPolicies as error:
        raise Refused(f"ConfigMap {settings.policies}: {error}", WRONG) from error


def _test(channel: str) -> None:
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> tuple[str, tuple[str, ...], str]:
        channels = Channels(
            client, settings.namespace, settings.channels, settings.channels_dir, SystemClock()
        )
        return await channels.url(channel), await channels.names(), await whoami(client)

    url, names, by = reach(ask)
    if not url:
        known = ", ".join(names) or "none that you may read"
        raise Refused(
            f"the Secret {settings.channels} has no channel {channel!r}; it has {known}", WRONG
        )
    now = datetime.now(UTC)
    trigger = structs.replace(
        sample(Policies(())),
        key=f"test-{now:%Y%m%dT%H%M%S}/1",
        incident=f"test-{now:%Y%m%dT%H%M%S}",
        title=f"Test message of the recovery controller, sent by {by}",
        body="Nothing is wrong. What follows is a sample; it is resolved in a moment.",
        severity="info",
        at=now,
    )
    try:
        with patience(f"sending to {channel}"):
            thread = asyncio.run(receivers.send(url, trigger))
            over = structs.replace(
                trigger,
                key=f"{trigger.incident}/resolve",
                title="Test message: resolved",
                resolves=True,
                thread=thread,
            )
            asyncio.run(receivers.send(url, over))
    except Undelivered as error:
        raise Refused(
            f"{channel} refused it: {error}\nTry: kubectl -n {shell(settings.namespace)} get"
            f" secret {shell(settings.channels)}",
            UNREACHABLE,
        ) from error
    typer.echo(f"{channel}: taken (a trigger, and its resolve)")
