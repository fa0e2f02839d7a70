"""recovery replay: what these policies would have done in the past."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.check import read
from recovery.commands.errors import UNREACHABLE, USAGE, WRONG, Refused, Shape
from recovery.commands.output import Output, printed, table
from recovery.commands.plan import shipped
from recovery.model.duration import Duration, spell
from recovery.model.policy import Policies
from recovery.model.text import plain
from recovery.policies import InvalidPolicies, parse

if TYPE_CHECKING:
    from recovery.replay.past import Incident
    from recovery.replay.replaying import Replayed
    from recovery.replay.report import Difference, PolicyReport, Report

LONGEST_PAST = timedelta(days=365)
TOKEN = "PROMETHEUS_TOKEN"  # noqa: S105 (the name of a variable)

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE...",
        help="The controller's log, a bundle, or an API server's audit log; - is standard input.",
    ),
]
Address = Annotated[
    str,
    typer.Option(
        "--prometheus", metavar="URL", help="Prometheus, Thanos, Mimir or VictoriaMetrics."
    ),
]
Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="DURATION",
        help="How far back, such as 7d; default: 30d, or all of the files.",
    ),
]
File = Annotated[
    str, typer.Option("-p", "--policies", help="The policy file; default: the shipped policies.")
]
Diff = Annotated[
    tuple[str, str] | None,
    typer.Option("--diff", metavar="OLD NEW", help="Show only on what two policy files differ."),
]
Match = Annotated[
    str,
    typer.Option(
        "--match", metavar="MATCHERS", help='Further label matchers, such as cluster="eu".'
    ),
]
Step = Annotated[str, typer.Option("--step", help="How far the points are apart.")]
Header = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME=VALUE", help="A header, such as X-Scope-OrgID=team-a."),
]
TokenFile = Annotated[
    str,
    typer.Option("--bearer-token-file", help=f"A file with a token; default: ${TOKEN}."),
]
CAFile = Annotated[str, typer.Option("--ca-file", help="The CA that signed its certificate.")]


def replay(
    files: Files = None,
    prometheus: Address = "",
    since: Since = "",
    file: File = "",
    diff: Diff = None,
    match: Match = "",
    step: Step = "1m",
    header: Header = None,
    token_file: TokenFile = "",
    ca_file: CAFile = "",
    output: Output = Shape.table,
) -> None:
    """Replay the past.

    Read the state of every application from Argo CD's metric argocd_app_info, or from FILE, and say
    what policies would have done. Nothing is written anywhere."""
    if bool(files) == bool(prometheus):
        raise Refused("give either --prometheus URL or FILE", USAGE)
    names = diff or (file,)
    policies = [_policies(name) for name in names]
    lasting = _duration("--since", since or "30d")
    apart = _duration("--step", step)
    if not timedelta(minutes=1) <= lasting <= LONGEST_PAST or apart < timedelta(seconds=5):
        raise Refused("--since is from 1m to 365d, and --step at least 5s", USAGE)
    if files:
        came = _recorded(files, policies, lasting if since else None)
    else:
        headers = _headers(header or [], token_file)
        end = time.time() // apart.total_seconds() * apart.total_seconds()
        span = (end - lasting.total_seconds(), end)
        came = _read(prometheus, match, headers, ca_file, policies, span, apart)
    if diff:
        _diff(came, output)
    else:
        _report(came, policies[0], output)


def _recorded(files: list[str], policies: list[Policies], lasting: timedelta | None) -> Replayed:
    from recovery.replay.recorded import Unreadable, read_files
    from recovery.replay.replaying import replay_recording

    since = time.time() - lasting.total_seconds() if lasting else None
    try:
        recording = read_files(files, since)
    except Unreadable as error:
        raise Refused(str(error), WRONG) from error
    with _bar() as told:
        return replay_recording(recording, policies, told)


def _read(
    url: str,
    match: str,
    headers: dict[str, str],
    ca_file: str,
    policies: list[Policies],
    span: tuple[float, float],
    step: timedelta,
) -> Replayed:
    from recovery.replay.prometheus import Prometheus, Unanswered
    from recovery.replay.replaying import replay as replayed

    if not url.startswith(("http://", "https://")):
        raise Refused(f"--prometheus: {url!r} is no address; write https://HOST", USAGE)

    async def work() -> Replayed:
        seconds = step.total_seconds()
        async with Prometheus(url, match, headers, ca_file, seconds) as source:
            with _bar() as told:
                return await replayed(source, policies, *span, seconds, told)

    try:
        return asyncio.run(work())
    except Unanswered as error:
        raise Refused(str(error), UNREACHABLE) from error
    except OSError as error:
        raise Refused(f"--ca-file: {error}", USAGE) from error


@contextmanager
def _bar() -> Iterator[Any]:
    """A bar on a terminal: a long past takes a while."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading the past", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _policies(name: str) -> Policies:
    try:
        return parse(read(name) if name else shipped(), POLICY_ACTIONS)
    except InvalidPolicies as error:
        raise Refused(f"{name}: {error}\nTry: recovery check {name}", WRONG) from error


def _duration(option: str, text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise Refused(f"{option}: {error}", USAGE) from error


def _headers(pairs: list[str], token_file: str) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refused("--header: write NAME=VALUE", USAGE)
        headers[name.strip()] = value.strip()
    try:
        token = Path(token_file).read_text().strip() if token_file else os.environ.get(TOKEN, "")
    except OSError as error:
        raise Refused(f"--bearer-token-file: {error.strerror}", USAGE) from error
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


# What people read


def _report(came: Replayed, policies: Policies, output: Shape) -> None:
    from recovery.replay.report import report

    incidents = came.pasts[0].incidents
    names = [p.name for p in policies.policies if p.condition.type.value == "application"]
    made = report(incidents, names, came)
    if output.for_scripts:
        printed({"report": made, "incidents": incidents}, output)
        return
    for line in _summary(made):
        typer.echo(plain(line))
    typer.echo()
    rows = [_row(each) for each in made.policies]
    table(
        ("POLICY", "INCIDENTS", "HEALED", "ACTS", "AFTER", "THEN LASTED", "BY CAUSE", "HELD"), rows
    )
    for line in _details(made, incidents, policies):
        typer.echo(plain(line))


def _summary(made: Report) -> Iterator[str]:
    yield (
        f"{made.since:%Y-%m-%d %H:%M} to {made.until:%Y-%m-%d %H:%M} UTC,"
        f" {made.applications} applications"
    )
    still = f", {made.open} not over" if made.open else ""
    lasted = f"; half of them lasted {_spelt(made.lasted)} or longer" if made.lasted else ""
    count = _count(made.incidents, "incident")
    yield f"{count}{still}{lasted}; {made.hours_unwell} hours not well in all"
    if made.storms:
        yield (
            f"{_count(made.storms, 'storm')} with {_count(made.in_storms, 'incident')}: one message"
            " for each storm, and nothing touched"
        )


def _row(each: PolicyReport) -> tuple[object, ...]:
    actions = ", ".join(f"{name} {count}" for name, count in each.actions.items())
    held = ", ".join(f"{name} {count}" for name, count in each.held.items())
    return (
        each.policy,
        each.incidents,
        each.healed,
        f"{each.acted}" + (f" ({actions})" if actions else ""),
        _spelt(each.acted_after),
        _spelt(each.lasted_then),
        each.undecided,
        held,
    )


def _details(made: Report, incidents: list[Incident], policies: Policies) -> Iterator[str]:
    from recovery.replay.replaying import Source

    metric = made.source == Source.metric.name
    yield ""
    yield "HEALED: well again before the policy would have acted. ACTS: first steps that would have"
    yield "been carried out; what would have come of them is not known. THEN LASTED: from then on,"
    yield "without them. BY CAUSE: a remedy if the cause calls for it, else a call to a person."
    for title, counted in (
        ("projects", made.projects),
        ("most often", made.worst),
        ("hour of day (UTC)", {f"{hour:02}": n for hour, n in made.by_hour.items()}),
        ("first messages", made.messages),
        ("of them at night (22 to 7 UTC)", made.messages_at_night),
    ):
        if counted:
            yield f"{title}: " + ", ".join(f"{name} {count}" for name, count in counted.items())
    if made.gaps:
        yield (
            f"{_count(made.gaps, 'gap')}, {_spelt(made.gap_seconds)} in all, of which nothing is"
            " stored: "
            + (
                "what was the same before and after is taken to have lasted"
                if metric
                else "an incident counts for as long as it is known to have lasted"
            )
        )
    if made.unread_seconds:
        yield f"{_spelt(made.unread_seconds)} could not be read"
    for warning in made.warnings:
        yield f"warning: {warning}"
    left_out = [
        p.name for p in policies.policies if metric and (p.condition.cause or p.condition.operation)
    ]
    others = [p.name for p in policies.policies if p.condition.type.value != "application"]
    if made.carried_out is not None:
        yield f"of these first steps the controller carried out {made.carried_out} then, too"
    yield f"not judged, as the {made.source.replace('_', ' ')} lacks it: {made.lacks}"
    if left_out or others:
        yield f"policies not judged: {', '.join(dict.fromkeys((*left_out, *others)))}"
    yield f"{len(incidents)} incidents with their times: -o json"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _spelt(seconds: float | None) -> str:
    return spell(timedelta(seconds=round(seconds))) if seconds is not None else "-"


def _diff(came: Replayed, output: Shape) -> None:
    from recovery.replay.report import differences

    found = differences(came.pasts[0].incidents, came.pasts[1].incidents)
    if output.for_scripts:
        printed(found, output)
    elif found:
        table(("BEGAN", "SUBJECT", "OLD", "NEW"), [_difference(each) for each in found])
        more = sum(each.more_destructive for each in found)
        typer.echo(f"{len(found)} differ; the new policies act destructively on {more} more")
    else:
        typer.echo("nothing differs")
    if any(each.more_destructive for each in found):
        raise typer.Exit(WRONG)


def _difference(each: Difference) -> tuple[object, ...]:
    return f"{each.began:%Y-%m-%d %H:%M}", each.subject, each.before, each.after
