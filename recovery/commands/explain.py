"""recovery explain: everything that is known and decided about one subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.causes.report import told
from recovery.clock import SystemClock
from recovery.commands import diagnosis_view
from recovery.commands.client import ask_controller, reach
from recovery.commands.completion import subjects
from recovery.commands.errors import USAGE, WRONG, Refused, Shape, when
from recovery.commands.naming import subject_name
from recovery.commands.output import Output, printed
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, RECOVERIES
from recovery.kube.errors import KubeError, NotFound
from recovery.kube.reading import decoded
from recovery.model.application import short
from recovery.model.text import shell
from recovery.observe import wire
from recovery.record.codec import decode, row
from recovery.settings import Settings

Subject = Annotated[
    str,
    typer.Argument(
        metavar="[SUBJECT]",
        autocompletion=subjects,
        help="cluster/NAME, repository/URL, or an application as [NAMESPACE/]NAME.",
    ),
]
File = Annotated[
    str,
    typer.Option(
        "-f",
        "--file",
        help=(
            "Explain an exported Application (JSON or YAML; - reads standard input); no cluster is"
            " asked."
        ),
    ),
]
Tree = Annotated[
    str, typer.Option("--tree", help="With -f: its resource tree, as Argo CD's API gives it.")
]


def explain(
    subject: Subject = "", file: File = "", tree: Tree = "", output: Output = Shape.table
) -> None:
    """Explain why a subject is unhealthy.

    Show its cause with the evidence, the remedies that fit, what was decided about it, and the
    plan of a failover."""
    if bool(subject) == bool(file) or (tree and not file):
        raise Refused(
            "name a subject, or a file with -f\nTry: recovery explain shop/cart, or recovery"
            " explain -f app.json --tree tree.json",
            USAGE,
        )
    if file:
        app, found = diagnosis_view.of_file(file, tree)
        if output.for_scripts:
            printed(found, output)
            return
        state = f"{app.sync.value} and {app.health.value} at {short(app.revisions)}"
        typer.echo("\n".join([f"{app.key}: {state}", *diagnosis_view.lines(found)]))
        return
    settings = settings_from_environment()
    body = reach(lambda client: _ask(client, settings, subject))
    if output.for_scripts:
        printed(body, output)
        return
    for line in lines(body):
        typer.echo(line)


async def _ask(client: AsyncioClient, settings: Settings, subject: str) -> dict[str, Any]:
    """From the controller; from its Recovery objects when it does not answer."""
    subject = await subject_name(client, settings, subject)
    try:
        raw = await ask_controller(client, settings.namespace, "/api/v1/explain", subject=subject)
        found: dict[str, Any] = decoded(raw, dict)
    except NotFound as error:
        if "is not known here" in str(error):
            raise Refused(
                f"{subject} is not known to the controller\nTry: recovery status", WRONG
            ) from error
        return await _from_objects(client, settings, subject, str(error))
    except (KubeError, msgspec.DecodeError) as error:
        return await _from_objects(client, settings, subject, str(error))
    return found


async def _from_objects(
    client: AsyncioClient, settings: Settings, subject: str, why: str
) -> dict[str, Any]:
    wanted, found = subject, []
    for item in wire.listed(await client.list(RECOVERIES, settings.namespace)).items:
        try:
            recovery = decode(item)
        except wire.Unreadable:
            continue
        if str(recovery.subject) == wanted:
            found.append(recovery)
    seen = (
        await _seen(client, settings, *wanted.split("/", 1))
        if not wanted.startswith(("cluster/", "repository/"))
        else {}
    )
    if not found and not seen:
        raise Refused(
            f"the controller does not answer ({why[:160]}), and no recovery tells of {subject}",
            WRONG,
        )
    opened = next((r for r in found if not r.phase.over), None)
    note = f"the controller does not answer ({why[:160]}); this is what its objects say"
    return {
        "subject": wanted,
        "note": note,
        **seen,
        "recovery": msgspec.to_builtins(opened) if opened else None,
        "past": [row(r) for r in found if r.phase.over],
    }


async def _seen(
    client: AsyncioClient, settings: Settings, namespace: str, name: str
) -> dict[str, Any]:
    """The application itself, and why it is ill, found out here and now; empty when it cannot be
    read."""
    try:
        app = wire.application(await client.get(APPLICATIONS, namespace, name))
    except (KubeError, *wire.Unreadable):
        return {}
    clock = SystemClock()
    first = diagnose(DiagnosisInput(app, clock.now()))
    signs = await diagnosis_view.closer_look(client, None, settings, clock)(app, first)
    finding = diagnose(DiagnosisInput(app, clock.now(), signs))
    return {
        "state": f"{app.sync.value} and {app.health.value} at {short(app.revisions)}",
        "diagnosis": told(finding),
    }


def lines(body: dict[str, Any]) -> list[str]:
    """The explanation as lines for people."""
    told = [str(body["subject"])]
    if note := body.get("note"):
        told.append(f"  ! {note}")
    if body.get("state"):
        since = f" since {when(body['since'])}" if body.get("since") else ""
        told.append(
            f"  {body['state']}{since}" + (f": {body['words']}" if body.get("words") else "")
        )
    if body.get("trouble"):
        told.append(f"  ! {body['trouble']}")
    told.extend(f"  - {_look(e)}" for e in body.get("evidence") or ())
    if "depending" in body:
        good = f", last reachable at {when(body['good_at'])}" if body.get("good_at") else ""
        told.append(f"  {body['applications']} applications depend on it{good}")
        told += [f"    {d['subject']}  {d['state']}" for d in body["depending"][:20]]
    if "diagnosis" in body and (body["diagnosis"]["cause"] or "depending" not in body):
        told += diagnosis_view.lines(body["diagnosis"])
    for d in body.get("decisions") or ():
        by = f"suppressed by {d['by']}" if d["by"] else d["kind"].lower()
        told.append(
            f"  {d['policy']}: {by}: {d['message']}"
            + (f" (next look at {d['again_at']})" if d["again_at"] else "")
        )
    told += [
        f"  clock: {symptom} since {when(since)}"
        for symptom, since in (body.get("clocks") or {}).items()
    ]
    told += _seen_well(body.get("ledger") or ())
    if hold := body.get("hold"):
        since = f" since {when(hold['since'])}" if hold.get("since") else ""
        told.append(
            f"  held{since} by {hold['recovery']}; `recovery release {shell(body['subject'])}`"
            " ends it"
        )
    if why := body.get("not_honoured"):
        told.append(
            f"  ! its annotation recovery.gitops.dev/hold is not honoured: {why}; `recovery release"
            f" {shell(body['subject'])}` removes it"
        )
    told += _recovery(body.get("recovery"))
    told += [
        f"  earlier: {r['name']} {r['phase']} ({r['reason']}): {r['message']}"
        for r in body.get("past") or ()
    ]
    return told


def _seen_well(ledger: Sequence[dict[str, Any]]) -> list[str]:
    """Where a rollback would go: the newest three."""
    return [
        f"  seen well at {short(tuple(g['revisions']))}"
        + (f" (history {g['history_id']})" if g.get("history_id") is not None else "")
        for g in reversed(ledger[-3:])
    ]


def _look(seen: str | dict[str, Any]) -> str:
    """One piece of evidence as a line."""
    if isinstance(seen, str):
        return seen
    return f"{when(seen['at'])}  {seen['by']}: {seen['verdict']}" + (
        f" ({seen['message']})" if seen["message"] else ""
    )


def _recovery(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    attempt = f"attempt {found.get('attempt', 0)} of {found.get('maxAttempts', 0)}"
    told = [f"  recovery {found['name']}: {found['phase']}, {attempt}: {found.get('message', '')}"]
    for s in found.get("steps") or ():
        how = (
            f"{s['outcome']} ({s.get('reason', '')}) {s.get('message', '')}"
            if s.get("outcome")
            else f"running {s.get('stage', '')}"
        )
        told.append(
            f"    {when(s['startedTime'])}  {s['attempt']}.{s['index']} {s['action']}: {how}"
        )
    if relocations := found.get("relocations"):
        told.append("    applications:")
    for m in relocations or ():
        where = f"{_place(m['origin'])} -> {_place(m['target'])}"
        told.append(
            f"      {m['namespace']}/{m['name']}  {where}  {m['phase']}"
            + (f": {m['reason']}" if m.get("reason") else "")
        )
        told += [f"        left behind on {left}" for left in m.get("leftovers") or ()]
    return told


def _place(place: dict[str, Any]) -> str:
    return str(place.get("name") or place.get("server") or "")
