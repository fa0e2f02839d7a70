"""recovery drill: prove on your own installation that the promises are kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from recovery.clock import SystemClock
from recovery.commands.client import reach
from recovery.commands.errors import USAGE, WRONG, Refused, Shape
from recovery.commands.notify import policies_of
from recovery.commands.output import Output, printed, table
from recovery.commands.routes import labels_of
from recovery.commands.run import settings_from_environment
from recovery.decide.routing import notified, undirected
from recovery.model.duration import Duration
from recovery.model.policy import Policies, Policy
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase, Subject
from recovery.model.text import plain, shell

if TYPE_CHECKING:
    from recovery.drill.application import Drill
    from recovery.drill.running import Report
    from recovery.drill.timeline import Entry
    from recovery.kube.asyncio_client import AsyncioClient
    from recovery.settings import Settings

SHORTEST, LONGEST_DRILL = timedelta(minutes=1), timedelta(hours=6)

Repo = Annotated[
    str,
    typer.Option("--repo", metavar="URL", help="A Git repository that Argo CD may read."),
]
PathIn = Annotated[
    str,
    typer.Option(
        "--path", metavar="PATH", help="A Kustomize folder or Helm chart in it that runs an image."
    ),
]
Revision = Annotated[str, typer.Option("--revision", help="Branch, tag or commit.")]
Where = Annotated[
    str,
    typer.Option(
        "--in",
        metavar="NAMESPACE",
        help="The namespace labelled recovery.gitops.dev/drill=allowed; default: the only one.",
    ),
]
ProjectName = Annotated[
    str,
    typer.Option(
        "--project",
        help="An AppProject that permits the namespace only; default: one made for the drill.",
    ),
]
LabelPairs = Annotated[
    str,
    typer.Option(
        "--labels", "-l", metavar="K=V,K=V", help="Labels that policies and routes select by."
    ),
]
ChannelNames = Annotated[
    str,
    typer.Option(
        "--channels",
        metavar="A,B",
        help="The channels that have to be told; refuse to begin if others would be, too.",
    ),
]
HelmParameter = Annotated[
    str, typer.Option("--helm-parameter", help="Of a chart: what chooses the image's tag.")
]
Timeout = Annotated[
    str,
    typer.Option(
        "--timeout", metavar="DURATION", help="From breaking it to the end of its recovery."
    ),
]


def drill(
    repo: Repo,
    path: PathIn,
    revision: Revision = "HEAD",
    place: Where = "",
    project: ProjectName = "",
    labels: LabelPairs = "",
    channels: ChannelNames = "",
    helm_parameter: HelmParameter = "image.tag",
    timeout: Timeout = "45m",
    output: Output = Shape.table,
) -> None:
    """Break a throwaway application on purpose.

    Deploy it into a namespace that is kept for drills, ask for an image that does not exist, watch
    the policies in force recover it or call a person, and take it away. Exit with 1 when a promise
    was not kept. Nothing else is touched."""
    from recovery.drill.application import Drill, Unfit
    from recovery.drill.running import Conditions, Runner, allowed_namespaces

    longest = _timeout(timeout)
    settings, policies = settings_from_environment(), policies_of("")
    wanted = _names(channels)

    async def work(client: AsyncioClient) -> Report:
        chosen = place or _only(await allowed_namespaces(client))
        if place and place not in await allowed_namespaces(client):
            raise Refused(_not_allowed(place), WRONG)
        made = Drill(
            id=secrets.token_hex(3),
            repo=repo,
            path=path,
            namespace=chosen,
            argocd_namespace=settings.argocd_namespace,
            revision=revision,
            project=project,
            labels=labels_of(labels),
            helm_parameter=helm_parameter,
        )
        _look_ahead(made, policies, wanted, settings, quiet=output.for_scripts)
        conditions = Conditions(policies, wanted, settings.namespace, longest)
        told = _silent if output.for_scripts else _said
        return await Runner(client, made, conditions, SystemClock(), told).run()

    try:
        report = reach(work)
    except Unfit as error:
        raise Refused(str(error), WRONG) from error
    if output.for_scripts:
        printed(report, output)
    else:
        _show(report)
    if not report.kept:
        raise typer.Exit(WRONG)


def _look_ahead(
    made: Drill, policies: Policies, wanted: tuple[str, ...], settings: Settings, *, quiet: bool
) -> None:
    """Print who would look at it and who would be told; Refused where that is nobody, or too
    many."""
    from recovery.drill.running import selecting

    mine = selecting(policies, made)
    if not mine:
        raise Refused(
            f"no policy in force selects {made.name} in project {made.in_project} with these"
            " labels\nTry: --project or --labels as a policy's selector has them",
            WRONG,
        )
    would = _would_be_told(made, policies, mine)
    everybody = _directed_nowhere(made, policies, mine)
    others = [each for each in would if each not in wanted]
    if wanted and (others or everybody):
        who = ", ".join(others) or "every channel of the Secret"
        raise Refused(
            f"the drill would notify {who}, too\nTry: a route before the others:"
            f" {{selector: {{names: [recovery-drill-*]}}, channels: [{', '.join(wanted)}]}}"
            + _named_by_actions(mine, wanted),
            WRONG,
        )
    if not quiet:
        typer.echo(f"policies: {', '.join(policy.name for policy in mine)}")
        shown = "every channel of the Secret" if everybody else ", ".join(would)
        typer.echo(f"would notify: {shown or 'nobody'}")
        typer.echo(f"in namespace {made.namespace}, as {settings.argocd_namespace}/{made.name}\n")


def _named_by_actions(mine: Iterable[Policy], wanted: tuple[str, ...]) -> str:
    """A route moves nothing that an action names itself."""
    lines = [
        f"\npolicy {policy.name} names {', '.join(others)} in {step.kind.name}: name them in"
        " --channels as well, or have a policy for drills select them by --labels"
        for policy in mine
        for step in policy.actions
        if (others := [c for c in getattr(step.parameters, "channels", ()) if c not in wanted])
    ]
    return "".join(lines)


def _would_be_told(made: Drill, policies: Policies, mine: Iterable[Policy]) -> list[str]:
    found: list[str] = []
    for policy in mine:
        note, recovery = _first_message(made, policy)
        now = SystemClock().now()
        found += [each.channel for each in notified(note, recovery, made.subject(), policies, now)]
        for step in policy.actions:
            found += getattr(step.parameters, "channels", ())
    return list(dict.fromkeys(found))


def _directed_nowhere(made: Drill, policies: Policies, mine: Iterable[Policy]) -> bool:
    return any(
        undirected(*_first_message(made, policy), made.subject(), policies) for policy in mine
    )


def _first_message(made: Drill, policy: Policy) -> tuple[PendingNotification, Recovery]:
    app = made.subject()
    note = PendingNotification("drill", "", "", policy.severity.value, channels=policy.channels)
    subject = Subject("Application", app.namespace, app.name, "", app.project)
    now = SystemClock().now()
    return note, Recovery("drill", policy.name, "", subject, now, RecoveryPhase.Remediating)


def _only(allowed: tuple[str, ...]) -> str:
    if len(allowed) == 1:
        return allowed[0]
    if allowed:
        raise Refused(f"several namespaces are kept for drills: {', '.join(allowed)}: --in", USAGE)
    raise Refused(
        "no namespace is kept for drills\n"
        "Try: kubectl create namespace recovery-drill\n"
        "     kubectl label namespace recovery-drill recovery.gitops.dev/drill=allowed",
        WRONG,
    )


def _not_allowed(namespace: str) -> str:
    return (
        f"namespace {namespace} is not kept for drills\n"
        f"Try: kubectl label namespace {shell(namespace)} recovery.gitops.dev/drill=allowed"
    )


def _timeout(text: str) -> timedelta:
    try:
        found = Duration.parse(text)
    except ValueError as error:
        raise Refused(f"--timeout: {error}", USAGE) from error
    if not SHORTEST <= found <= LONGEST_DRILL:
        raise Refused("--timeout is from 1m to 6h", USAGE)
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in text.split(","))))


def _said(entry: Entry) -> None:
    typer.echo(plain(f"{entry.at:%H:%M:%S}  {entry.what}"))


def _silent(_: Entry) -> None:
    return None


def _show(report: Report) -> None:
    typer.echo("")
    rows = [(each.promise, "yes" if each.kept else "NO", each.evidence) for each in report.promises]
    table(("PROMISE", "KEPT", "EVIDENCE"), rows)
    kept = sum(each.kept for each in report.promises)
    typer.echo(f"\n{kept} of {len(report.promises)} promises kept; record: {report.recovery}")
