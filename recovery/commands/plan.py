"""recovery plan: what each policy would do now to an exported fleet. Nothing is installed, nothing is asked."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct, structs

from recovery.act.all_actions import KINDS
from recovery.causes.diagnose import diagnose
from recovery.causes.patient import Patient
from recovery.commands.check import read
from recovery.commands.failing import Refused, Shape
from recovery.commands.printing import Output, printed
from recovery.decide import cures
from recovery.decide.asking import Asked
from recovery.decide.attempt import ended, opened, treats_later
from recovery.decide.engine import name_of
from recovery.decide.guards import refusal
from recovery.decide.symptoms import began, holds, in_force, plainly_well, track
from recovery.model.application import Application, Health, Sync
from recovery.model.cause import Confidence, Finding
from recovery.model.duration import spell
from recovery.model.policy import Policies, Policy
from recovery.model.recovery import StepOutcome, StepRecord
from recovery.model.situation import Situation
from recovery.observe import wire
from recovery.policies import InvalidPolicies, parse


class Row(Struct, frozen=True):
    """One policy on one application."""

    application: str
    state: str
    policy: str
    verdict: str
    """act, wait, refuse or nothing"""
    message: str
    steps: tuple[str, ...]


Fleet = Annotated[
    str,
    typer.Option("-f", "--fleet", metavar="FILE", help="`kubectl get applications -A -o json`; - is standard input."),
]
PolicyFile = Annotated[
    str,
    typer.Option("-p", "--policies", metavar="FILE", help="A policy file or ConfigMap manifest; default: the shipped one."),
]
ShowAll = Annotated[bool, typer.Option("--all", help="Also applications that no policy is for.")]


def plan(fleet: Fleet, policies: PolicyFile = "", output: Output = Shape.table, show_all: ShowAll = False) -> None:
    """Show what each policy would do now to each application of an exported fleet, and what it would refuse and why.

    An export has no clocks: where Argo CD keeps a timestamp it is used, and where it keeps none (sync status) the
    condition counts as having lasted. Nothing is installed, and no cluster is asked.
    """
    rules = _policies(policies)
    apps, broken = _applications(fleet)
    now = datetime.now(UTC)
    by_name = {(app.namespace, app.name): app for app in apps}
    rows = [row for app in apps for row in _rows(app, by_name, rules, now)]
    well = len(apps) - len({row.application for row in rows})
    if output.for_scripts:
        printed({"rows": rows, "applications": len(apps), "well": well, "unreadable": broken}, output)
        return
    _table(rows, [app for app in apps if show_all])
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("act", "wait", "refuse")}
    typer.echo(
        f"\n{len(apps)} applications: {counts['act']} would be acted on, {counts['wait']} are pending, "
        f"{counts['refuse']} refused, {well} without a matching condition"
    )
    for name, why in broken.items():
        typer.echo(f"cannot be read: {name}: {why}", err=True)


def _policies(name: str) -> Policies:
    try:
        return parse(read(name) if name else shipped(), KINDS)
    except InvalidPolicies as error:
        raise Refused(f"{name or 'the shipped policies'}: {error}") from error


def shipped() -> bytes:
    """The shipped policies: config/policies.yaml of the repository, packaged along."""
    from importlib.resources import files

    packaged = files("recovery") / "shipped" / "policies.yaml"
    return packaged.read_bytes()


def _applications(name: str) -> tuple[list[Application], dict[str, str]]:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error
    try:
        items = wire.listed(raw).items
        if not items and b'"items"' not in raw:
            items = [msgspec.Raw(raw)]  # one Application, not a list
    except wire.Unreadable as error:
        raise Refused(f"{name}: not a JSON list of Applications: {error}") from error
    apps: list[Application] = []
    broken: dict[str, str] = {}
    for item in items:
        try:
            app = wire.application(item)
            if not app.name or b'"Application"' not in bytes(item):
                raise ValueError("not an Application")
            apps.append(app)
        except wire.Unreadable as error:
            broken[f"item {len(apps) + len(broken) + 1}"] = str(error)
    if not apps and broken:
        raise Refused(f"{name}: no Application in it: {next(iter(broken.values()))}")
    return apps, broken


ASSUMED = Finding("RolloutFailed", (), Confidence.guess)
"""Of an export nobody can look at the pods: a crash loop is what the plan assumes, and says so."""
IF_SEEN = ", if a closer look finds a crash loop"


def _rows(app: Application, fleet: dict[tuple[str, str], Application], rules: Policies, now: datetime) -> list[Row]:
    long_ago = now - timedelta(days=365)
    sight = track(None, app, rules, now, long_ago, first_install=False)
    sight = structs.replace(sight, first_seen=long_ago)
    parent = fleet.get(tuple(app.parent.split("/", 1))) if "/" in app.parent else None  # type: ignore[arg-type]
    finding = None if plainly_well(app) else diagnose(Patient(app, now))
    unknown = finding is None and app.health is Health.Degraded
    if unknown:
        finding = ASSUMED
    situation = Situation(now=now, about=app, sight=sight, policies=rules, parent=parent, finding=finding)
    cause = finding.cause if finding else ""
    rows, first = [], ""
    for policy in rules.policies:
        if not in_force(policy) or not policy.selector.selects(app) or not holds(policy.condition, app, cause):
            continue
        since = min(now, began(policy.condition, app, long_ago))  # clocks differ between machines
        due = since + policy.condition.duration
        steps = _steps(situation, policy, since)
        state = f"{app.sync.value}, {app.health.value}"
        if now < due:
            verdict, message = "wait", f"{policy.condition} for {spell(now - since)}, acts in {spell(due - now)}"
        elif first:
            verdict, message = "refuse", f"policy {first} is first"
        else:
            verdict, message = _verdict(steps)
            message += IF_SEEN if unknown and verdict == "act" else ""
            first = policy.name
        rows.append(Row(str(app.key), state, policy.name, verdict, message, tuple(f"{step}: {said}" for step, _, said in steps)))
    return rows


def _steps(situation: Situation, policy: Policy, since: datetime) -> list[tuple[str, str, str]]:
    """Each action with what would become of it, if none before it helped: would, skipped, refused or behind a refusal."""
    recovery = structs.replace(opened(situation, policy, name_of(situation), since), attempt=1)
    told: list[tuple[str, str, str]] = []
    for index, step in enumerate(policy.actions):
        record = StepRecord(1, index, step.traits.name, situation.now)
        if told and told[-1][1] in ("refused", "behind"):
            told.append((str(step), "behind", "not reached"))
        elif skip := step.traits.fits(step, situation, recovery):
            told.append((str(step), "skipped", f"skipped ({skip.message})"))
            recovery = recovery.with_step(ended(record, StepOutcome.Skipped, skip.reason, skip.message, situation.now))
        elif (words := cures.objection(situation, policy, step, recovery)) and treats_later(
            situation, policy, policy.actions[index + 1 :], recovery.with_step(ended(record, StepOutcome.Skipped, "", "", situation.now))
        ):
            told.append((str(step), "skipped", f"skipped ({words})"))
            recovery = recovery.with_step(ended(record, StepOutcome.Skipped, "CureForbidden", words, situation.now))
        elif no := refusal(Asked(situation, policy, step, recovery)):
            told.append((str(step), "refused", f"refused by {no.by}: {no.message}"))
        else:
            told.append((str(step), "would", "would be done" if not told else "would be done if that does not help"))
            recovery = recovery.with_step(ended(record, StepOutcome.Failed, "Assumed", "", situation.now))
    return told


def _verdict(steps: list[tuple[str, str, str]]) -> tuple[str, str]:
    for step, kind, said in steps:
        if kind == "would":
            return "act", f"would {step}"
        if kind == "refused":
            return "refuse", said
    return "refuse", "no action fits in a first attempt"


def _table(rows: list[Row], everything: list[Application]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 180)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("APPLICATION", "STATE", "POLICY", "VERDICT", "WHY, AND EACH ACTION"):
        table.add_column(column, overflow="fold")
    colour = {"act": "green", "wait": "yellow", "refuse": "red"}
    for row in rows:
        said = [f"- {step}" for step in row.steps if not step.endswith(row.message)]
        detail = "\n".join((row.message, *said))
        table.add_row(row.application, row.state, row.policy, f"[{colour[row.verdict]}]{row.verdict}[/]", _plain(detail))
    matched = {row.application for row in rows}
    for app in everything:
        if str(app.key) not in matched:
            table.add_row(str(app.key), f"{app.sync.value}, {app.health.value}", "-", "nothing", _why_nothing(app))
    if rows or everything:
        console.print(table)


def _why_nothing(app: Application) -> str:
    return "well" if app.sync is Sync.Synced and app.health is Health.Healthy else "no policy has a condition for this state"


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
