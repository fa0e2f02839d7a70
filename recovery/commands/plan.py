"""recovery plan: what the controller would do to a fleet on the day it is installed. Nothing is
installed, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct, structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.check import read
from recovery.commands.errors import USAGE, Refused, Shape
from recovery.commands.fleet import Objects, exported, live
from recovery.commands.output import Output, printed, table
from recovery.commands.run import settings_from_environment
from recovery.decide.conditions import plainly_well
from recovery.decide.forecast import ASSUMED, Forecast, forecast
from recovery.exported import ExportedFleet
from recovery.model.application import Application, Health
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.decision import Decision, Kind
from recovery.model.policy import Policies, Step
from recovery.model.recovery import StepOutcome
from recovery.model.situation import Situation
from recovery.model.text import plain
from recovery.policies import Defaults, InvalidPolicies, parse


class Row(Struct, frozen=True):
    """Forecast of one policy for one application."""

    application: str
    state: str
    policy: str
    verdict: str
    """act, wait, refuse or person"""
    by: str
    """The guard, or the policy, that holds it back."""
    message: str
    steps: tuple[str, ...]
    cause: str = ""
    """Why it is ill, as ``recovery explain`` names it; empty where nothing says so."""


Fleet = Annotated[
    str,
    typer.Option(
        "-f",
        "--fleet",
        metavar="FILE",
        help=(
            "`kubectl get applications,appprojects,applicationsets -A -o json`; - is standard"
            " input. Default: ask the cluster."
        ),
    ),
]
PolicyFile = Annotated[
    str,
    typer.Option(
        "-p",
        "--policies",
        metavar="FILE",
        help="A policy file or ConfigMap manifest; default: the shipped one.",
    ),
]
ShowAll = Annotated[bool, typer.Option("--all", help="Also applications that no policy is for.")]
Adopted = Annotated[
    bool,
    typer.Option(
        "--as-adopted",
        help="Assume `recovery adopt`: what is unhealthy already is recovered like all others.",
    ),
]
Trees = Annotated[
    str,
    typer.Option(
        "--trees",
        metavar="DIR",
        help=(
            "Resource trees of Argo CD's API (applications/NAME/resource-tree), as"
            " DIR/NAMESPACE/NAME.json or DIR/NAME.json."
        ),
    ),
]
ASSUMED_CAUSE = Diagnosis("RolloutFailed", (), Confidence.guess)
"""Without its resource tree nobody knows why it is Degraded: a crash loop is what the plan assumes,
and says so."""
IF_SEEN = ", if a closer look finds a crash loop"
NAMED_ALIKE = 4
"""Applications of which the same is to be said: more of them are counted, and named with -o
json."""
WAITING_GUARDS = (
    "InFlightLimit",
    "RateLimited",
    "RestartRateLimit",
    "DisruptionBudget",
    "DependencyFirst",
    "OperationInProgress",
)
"""Guards that let it go by themselves."""


def plan(
    fleet: Fleet = "",
    policies: PolicyFile = "",
    trees: Trees = "",
    as_adopted: Adopted = False,
    show_all: ShowAll = False,
    output: Output = Shape.table,
) -> None:
    """Preview what the controller would do to a fleet.

    The controller's own judgement decides, as in the first minute after an installation: what is
    unhealthy already, budgets, owners, causes. An export has no clocks: where Argo CD keeps a
    timestamp it is used, and where it keeps none (sync status) the condition counts as having
    lasted. Policies for clusters and repositories need evidence that no export has."""
    settings = settings_from_environment()
    rules = _policies(policies, Defaults(settings.attempts, settings.interval))
    now = datetime.now(UTC)
    if trees and not Path(trees).is_dir():
        raise Refused(f"{trees} is no directory\nTry: recovery plan --help", USAGE)
    found = exported(fleet, trees, now) if fleet else live(settings, trees, now)
    unwatched = [app for app in found.applications if not settings.watches(app.namespace)]
    found.applications = [app for app in found.applications if settings.watches(app.namespace)]
    if unwatched:
        left = (
            f"{len(unwatched)} applications are left out: ARGOCD_APPLICATION_NAMESPACES names no"
            " namespace of theirs"
        )
        typer.echo(f"recovery: {left} ({plain(unwatched[0].namespace)} ...)", err=True)
    world = ExportedFleet(
        found.applications,
        found.projects,
        found.application_sets,
        rules,
        now,
        home=settings.argocd_namespace,
        adopted=as_adopted,
        has_token=settings.has_token,
        seen=found.seen,
    )
    rows = [
        row
        for app in found.applications
        for row in _rows(app, world, looked=(app.namespace, app.name) in found.seen)
    ]
    _show(rows, found, output, show_all=show_all)


def _show(rows: list[Row], found: Objects, output: Shape, *, show_all: bool) -> None:
    matched = {row.application for row in rows}
    well = len(found.applications) - len(matched)
    summary = _summary(rows)
    if output.for_scripts:
        body = {
            "rows": rows,
            "applications": len(found.applications),
            "well": well,
            "unreadable": found.unreadable,
        }
        printed({**body, "summary": summary}, output)
        return
    _table(rows, [app for app in found.applications if show_all])
    for name, why in found.unreadable.items():
        typer.echo(f"cannot be read: {name}: {why}", err=True)
    typer.echo(
        ("\n" if rows or show_all else "") + _last_line(summary, len(found.applications), well)
    )


def _summary(rows: list[Row]) -> dict[str, Any]:
    """Applications by what becomes of them: each counts once, by the most that any policy does to
    it."""
    order = ("act", "person", "wait", "refuse")
    best: dict[str, Row] = {}
    for row in rows:
        old = best.get(row.application)
        if old is None or order.index(row.verdict) < order.index(old.verdict):
            best[row.application] = row
    counts = Counter(row.verdict for row in best.values())
    held = Counter(row.by or "no action fits" for row in best.values() if row.verdict == "refuse")
    unsure = sum(row.verdict == "act" and row.message.endswith(IF_SEEN) for row in best.values())
    return {
        **{verdict: counts[verdict] for verdict in order},
        "held_back_by": dict(held.most_common()),
        "unsure": unsure,
    }


def _last_line(summary: dict[str, Any], applications: int, well: int) -> str:
    held = ", ".join(f"{count} by {by}" for by, count in summary["held_back_by"].items())
    unsure = (
        f" ({summary['unsure']} of them only if a closer look finds a crash loop; --trees tells)"
        if summary["unsure"]
        else ""
    )
    return (
        f"{applications} application{'s' * (applications != 1)}: {summary['act']} would be"
        f" recovered{unsure}, {summary['wait']} wait, {summary['refuse']} held back"
        + (f" ({held})" if held else "")
        + f", {summary['person']} require manual intervention, {well} match no policy"
    )


def _policies(name: str, defaults: Defaults) -> Policies:
    try:
        return parse(read(name) if name else shipped(), POLICY_ACTIONS, defaults)
    except InvalidPolicies as error:
        raise Refused(f"{name or 'the shipped policies'}: {error}") from error


def shipped() -> bytes:
    """The shipped policies: config/policies.yaml of the repository, packaged along."""
    from importlib.resources import files

    packaged = files("recovery") / "shipped" / "policies.yaml"
    return packaged.read_bytes()


def _rows(app: Application, world: ExportedFleet, *, looked: bool) -> list[Row]:
    situation = world.situation(app)
    if situation is None:
        return []
    ahead = forecast(situation)
    unsure = False
    if (
        not looked
        and app.health is Health.Degraded
        and situation.finding is None
        and not plainly_well(app)
    ):
        other = forecast(structs.replace(situation, finding=ASSUMED_CAUSE))
        unsure = (
            other.acts is not None and not other.acts.kind.speaks and _done(other) != _done(ahead)
        )
        ahead = other if unsure else ahead
    for decision in ahead.now:
        if decision.kind is Kind.Remediate and decision.recovery is not None:
            world.begun(decision.recovery)
    return [_row(app, decision, ahead, situation, unsure=unsure) for decision in ahead.now]


def _done(ahead: Forecast) -> list[str]:
    return [str(step) for step, record in ahead.steps if record.reason == ASSUMED]


def _row(
    app: Application, decision: Decision, ahead: Forecast, situation: Situation, *, unsure: bool
) -> Row:
    state = f"{app.sync.value}, {app.health.value}"
    # The one that keeps the record is the one whose attempt was followed to its end.
    followed = decision.recovery is not None and bool(ahead.steps or ahead.last)
    verdict, by, message = _followed(decision, ahead) if followed else _alone(decision)
    if unsure and verdict == "act":
        message += IF_SEEN
    steps = tuple(_steps(ahead, _actions(situation, decision.policy))) if followed else ()
    return Row(
        str(app.key),
        state,
        decision.policy,
        verdict,
        by,
        message,
        steps,
        situation.finding.what if situation.finding else "",
    )


def _followed(decision: Decision, ahead: Forecast) -> tuple[str, str, str]:
    """The verdict on what becomes of an application whose recovery is opened."""
    step, last = ahead.acts, ahead.last
    if step is not None:
        return ("person" if step.kind.speaks else "act"), "", f"would {step}"
    if last is not None and last.kind is Kind.Stall:
        return "person", "", last.message
    return _alone(last or decision)


def _alone(decision: Decision) -> tuple[str, str, str]:
    """The verdict that one decision gives by itself."""
    if decision.kind is Kind.Suppress:
        by = "" if decision.by in decision.message else f"{decision.by}: "
        return (
            ("wait" if decision.by in WAITING_GUARDS else "refuse"),
            decision.by,
            f"{by}{decision.message}",
        )
    if decision.kind is Kind.Remediate:
        return "act", "", decision.message
    return ("person" if decision.kind is Kind.Stall else "wait"), "", decision.message


def _actions(situation: Situation, policy: str) -> tuple[Step, ...]:
    return next((p.actions for p in situation.policies.policies if p.name == policy), ())


def _steps(ahead: Forecast, actions: tuple[Step, ...]) -> Iterable[str]:
    """Each action with what would become of it, if none before it helped."""
    done = False
    for step, record in ahead.steps:
        if record.reason == ASSUMED:
            yield f"{step}: would be done" + (" if that does not help" if done else "")
            done = True
        elif record.outcome is StepOutcome.Skipped:
            yield f"{step}: skipped ({record.message})"
    rest = actions[len(ahead.steps) :]
    last = ahead.last
    refused = last is not None and last.kind is Kind.Suppress
    for index, step in enumerate(rest):
        yield (
            f"{step}: refused by {last.by}: {last.message}"
            if refused and last and not index
            else f"{step}: not reached"
        )


def _table(rows: list[Row], everything: list[Application]) -> None:
    lines: list[tuple[object, ...]] = []
    alike: dict[tuple[object, ...], list[str]] = {}
    for row in rows:
        said = [f"- {step}" for step in row.steps if not step.endswith(row.message)]
        alike.setdefault(
            (row.state, row.policy, row.verdict, "\n".join((row.message, *said))), []
        ).append(row.application)
    for words, names in alike.items():
        shown = (
            names
            if len(names) <= NAMED_ALIKE
            else [*names[: NAMED_ALIKE - 1], f"and {len(names) - NAMED_ALIKE + 1} more"]
        )
        lines.append(("\n".join(shown), *words))
    matched = {row.application for row in rows}
    lines += [
        (str(app.key), f"{app.sync.value}, {app.health.value}", "-", "nothing", _why_nothing(app))
        for app in everything
        if str(app.key) not in matched
    ]
    if lines:
        table(("APPLICATION", "STATE", "POLICY", "VERDICT", "WHY, AND EACH ACTION"), lines)


def _why_nothing(app: Application) -> str:
    return "well" if plainly_well(app) else "no policy has a condition for this state"
