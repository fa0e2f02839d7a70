"""recovery routes test: who is told, when, without an incident."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from msgspec import Struct

from recovery.commands.errors import USAGE, WRONG, Refused, Shape
from recovery.commands.notify import policies_of
from recovery.commands.output import Output, printed, table
from recovery.decide.routing import Notified, notified, route_of
from recovery.model.application import Application, Destination
from recovery.model.duration import spell
from recovery.model.notification_config import Route
from recovery.model.policy import Policies, Severity
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase, Subject
from recovery.model.timestamps import aware
from recovery.policies.reading import did_you_mean

What = Annotated[str, typer.Argument(metavar="test", help="The one thing that it does.")]
File = Annotated[
    str, typer.Option("-f", "--file", help="The policy file; default: the policies in force.")
]
PolicyName = Annotated[str, typer.Option("--policy", help="Name of the policy.")]
Loudness = Annotated[Severity, typer.Option("--severity", help="Severity of the message.")]
LabelPairs = Annotated[
    str, typer.Option("--labels", "-l", metavar="K=V,K=V", help="Labels of the application.")
]
ProjectName = Annotated[str, typer.Option("--project", help="Its project.")]
Name = Annotated[str, typer.Option("--name", help="Its name.")]
Namespace = Annotated[str, typer.Option("--app-namespace", help="Its namespace.")]
ClusterName = Annotated[str, typer.Option("--cluster", help="Its destination by name.")]
At = Annotated[
    str,
    typer.Option("--at", metavar="TIME", help="When, such as 2026-11-23T02:00:00Z; default: now."),
]
Verify = Annotated[
    str | None,
    typer.Option(
        "--verify", metavar="A,B", help="Fail unless exactly these channels are told now."
    ),
]


class Line(Struct, frozen=True):
    """One channel that is told."""

    when: str
    channel: str
    severity: str
    note: str


def routes(
    what: What,
    file: File = "",
    policy: PolicyName = "",
    severity: Loudness = Severity.high,
    labels: LabelPairs = "",
    project: ProjectName = "default",
    name: Name = "app",
    app_namespace: Namespace = "argocd",
    cluster: ClusterName = "",
    at: At = "",
    verify: Verify = None,
    output: Output = Shape.table,
) -> None:
    """Test who is told: `recovery routes test`.

    For a policy, a severity and an application: who is told now, and who later if it lasts."""
    if what != "test":
        raise Refused(f"unknown word {what!r}; write: recovery routes test", USAGE)
    policies, now = policies_of(file), _time(at)
    names = [each.name for each in policies.policies]
    if policy and policy not in names:
        raise Refused(f"no policy is named {policy!r}{did_you_mean(policy, names)}", USAGE)
    about = Application(
        app_namespace,
        name,
        "",
        "",
        project=project,
        labels=labels_of(labels),
        destination=Destination(name=cluster),
    )
    recovery = _recovery(about, policy or (names[0] if names else ""), now)
    chosen = next((p for p in policies.policies if p.name == recovery.policy), None)
    note = PendingNotification(
        "test", "test", "test", severity.value, channels=chosen.channels if chosen else ()
    )
    told = notified(note, recovery, about, policies, now)
    route = route_of(severity.value, recovery, about, policies)
    if output.for_scripts:
        printed([_line(one) for one in told], output)
    else:
        own = "the policy's own channels; " if note.channels else ""
        _show([_line(one) for one in told], own + _number(route, policies))
    if verify is not None:
        _verify(verify, [one.channel for one in told if not one.after and not one.quiet_until])


def _line(one: Notified) -> Line:
    when = f"after {spell(one.after)}" if one.after else "now"
    notes = []
    if one.quiet_until is not None:
        notes.append(f"quiet hours: waits until {one.quiet_until:%Y-%m-%d %H:%M} UTC")
    if one.fallback:
        notes.append(f"{one.fallback} if it does not answer")
    return Line(when, one.channel, one.severity, "; ".join(notes))


def _show(lines: list[Line], route: str) -> None:
    typer.echo(route)
    if not lines:
        typer.echo("no channel is named: every channel of the Secret recovery-channels is told")
        return
    rows = [(line.when, line.channel, line.severity, line.note) for line in lines]
    table(("WHEN", "CHANNEL", "SEVERITY", "NOTE"), rows)


def _number(route: Route | None, policies: Policies) -> str:
    if route is None:
        return "no route matches"
    return f"routes[{policies.notices.routes.index(route)}] matches"


def _verify(verify: str, told: list[str]) -> None:
    wanted = [name.strip() for name in verify.split(",") if name.strip()]
    if not wanted:
        raise Refused("--verify: name the channels, such as --verify slack,pager", USAGE)
    if sorted(wanted) != sorted(told):
        raise Refused(
            f"expected {', '.join(wanted)} to be told now, found {', '.join(told) or 'none'}", WRONG
        )


def labels_of(pairs: str) -> dict[str, str]:
    """Labels written as K=V,K=V; Refused for anything else."""
    found = {}
    for pair in filter(None, (part.strip() for part in pairs.split(","))):
        key, equals, value = pair.partition("=")
        if not equals:
            raise Refused(f"--labels: {pair!r} is no KEY=VALUE", USAGE)
        found[key] = value
    return found


def _time(at: str) -> datetime:
    if not at:
        return datetime.now(UTC)
    moment = aware(at)
    if moment is None:
        raise Refused(f"--at: {at!r} is no time; write one such as 2026-11-23T02:00:00Z", USAGE)
    return moment


def _recovery(about: Application, policy: str, now: datetime) -> Recovery:
    subject = Subject(
        "Application", about.namespace, about.name, "", about.project, about.destination.cluster
    )
    return Recovery("test", policy, "", subject, now, RecoveryPhase.Remediating)
