"""recovery report, audit and history: what was done, what came of it, and on whose word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from recovery.commands.client import reach
from recovery.commands.columns import Column, lines, width
from recovery.commands.completion import subjects
from recovery.commands.errors import USAGE, WRONG, Refused, Shape
from recovery.commands.naming import subject_name
from recovery.commands.output import Output, printed
from recovery.commands.run import settings_from_environment
from recovery.decide import statistics
from recovery.decide.notifications import targets
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import RECOVERIES
from recovery.model.duration import Duration, spell
from recovery.model.recovery import Recovery
from recovery.model.text import shell
from recovery.record.codec import counted, listed, row

Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="DURATION",
        help="How far back, such as 24h or 7d; they are kept for seven days.",
    ),
]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT",
        autocompletion=subjects,
        help="cluster/NAME, repository/URL, or an application as [NAMESPACE/]NAME.",
    ),
]
Policy = Annotated[str, typer.Option("--policy", help="Only this policy.")]


AUDIT = (
    Column("AT", rank=2),
    Column("BY", rank=1),
    Column("WHAT"),
    Column("SUBJECT"),
    Column("RESULT"),
    Column("WHY", rank=3, words=True),
)
REPORT = (
    Column("POLICY"),
    Column("RECOVERIES"),
    Column("OPEN", rank=5),
    Column("ACTED", rank=1),
    Column("WOULD HAVE", rank=3),
    Column("CURED", rank=1),
    Column("BY ITSELF", rank=4),
    Column("PERSON"),
    Column("UNDONE", rank=2),
    Column("WORSE", rank=2),
    Column("TYPICAL", rank=6),
    Column("SLOWEST", rank=7),
)


def report(since: Since = "7d", output: Output = Shape.table) -> None:
    """Summarise recoveries by policy.

    Executed, would have executed, recovered by itself, reverted by people, and how long it took.
    """
    began = _began(since)
    found = statistics.report(_recoveries(), began)
    if output.for_scripts:
        printed({"since": began, "policies": found}, output)
        return
    typer.echo(f"Since {began:%Y-%m-%d %H:%M} UTC")
    _rows(REPORT, [(line.policy, *_numbers(line)) for line in found])


def audit(since: Since = "24h", policy: Policy = "", output: Output = Shape.table) -> None:
    """List every action with its reason and its result.

    Who did it and when; the oldest first."""
    began = _began(since)
    entries = [
        e for e in statistics.audit(_recoveries(), began) if not policy or e.policy == policy
    ]
    if output.for_scripts:
        printed(entries, output)
        return
    if not entries:
        typer.echo(f"Nothing was done since {began:%Y-%m-%d %H:%M} UTC.")
        return
    more = [Column("POLICY"), Column("RECORD")] if output is Shape.wide else []
    columns = [*AUDIT[:-1], *more, AUDIT[-1]]
    rows = [
        (
            f"{e.at:%Y-%m-%d %H:%M:%SZ}",
            e.by,
            e.what,
            e.subject,
            e.result,
            *((e.policy, e.recovery) if more else ()),
            e.why,
        )
        for e in entries
    ]
    _rows(columns, rows)


def history(subject: Subject, output: Output = Shape.table) -> None:
    """Show the recovery history of a subject.

    Each of its recoveries, step by step, the newest last."""
    settings = settings_from_environment()
    wanted = reach(lambda client: subject_name(client, settings, subject))
    found = sorted(
        (r for r in _recoveries() if str(r.subject) == wanted), key=lambda r: r.opened_at
    )
    if not found:
        raise Refused(
            f"no recovery tells of {wanted}; they are kept for seven days\nTry: recovery explain"
            f" {shell(subject)}",
            WRONG,
        )
    if output.for_scripts:
        printed(
            [
                {**row(r), "steps": r.steps, "requests": r.requests, "evidence": r.evidence}
                for r in found
            ],
            output,
        )
        return
    for recovery in found:
        for line in told(recovery, wide=output is Shape.wide):
            typer.echo(line)


def told(recovery: Recovery, *, wide: bool) -> list[str]:
    """One recovery as lines for people."""
    took = statistics.took(recovery)
    how = f", healthy after {spell(timedelta(seconds=took))}" if took is not None else ""
    opened = f"{recovery.opened_at:%Y-%m-%d %H:%M:%SZ}"
    what = f"{recovery.phase.value}{how}: {recovery.message}"
    said = [f"{opened}  {recovery.name}  {recovery.policy}  {what}"]
    if wide:
        said += [f"    saw: {line}" for line in recovery.evidence]
    for step in recovery.steps:
        lasted = f" after {spell(step.ended_at - step.started_at)}" if step.ended_at else ""
        result = f"{step.outcome.value}{lasted} ({step.reason})" if step.outcome else "running"
        what = f"{step.action} {targets(step)}".strip()
        said.append(
            f"  {step.started_at:%H:%M:%SZ}  {step.attempt}.{step.index} {what}: {result}"
            f" {step.message}".rstrip()
        )
    said += [
        f"  {w.at:%H:%M:%SZ}  {w.by} asked for {w.type} {w.step}".rstrip()
        for w in recovery.requests
    ]
    if recovery.talk.heard:
        said.append(f"  told: {', '.join(recovery.talk.heard)}")
    return said


def _rows(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    for line in lines(columns, rows, width()):
        typer.echo(line)


def _began(since: str) -> datetime:
    days, unit = since[:-1], since[-1:]
    try:
        return datetime.now(UTC) - (
            timedelta(days=int(days)) if unit == "d" and days.isdecimal() else Duration.parse(since)
        )
    except (ValueError, OverflowError) as error:
        raise Refused(
            f"--since: {since[:40]!r} is no time span; write one such as 24h or 7d", USAGE
        ) from error


def _recoveries() -> tuple[Recovery, ...]:
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> bytes:
        return await client.list(RECOVERIES, settings.namespace)

    raw = reach(ask)
    found = listed(raw)
    if broken := counted(raw) - len(found):
        typer.echo(
            f"recovery: {broken} records cannot be read and are not in this; `recovery status`"
            " names them",
            err=True,
        )
    return found


def _numbers(line: statistics.Line) -> tuple[object, ...]:
    """A line's figures, in the order of the columns."""
    outcomes = (
        line.recoveries,
        line.open,
        line.acted,
        line.would_have,
        line.cured,
        line.by_itself,
        line.needed_person,
    )
    return (*outcomes, line.undone, line.worse, _spelt(line.typical), _spelt(line.slowest))


def _spelt(seconds: float | None) -> str:
    return spell(timedelta(seconds=round(seconds))) if seconds is not None else ""
