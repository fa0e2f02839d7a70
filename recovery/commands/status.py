"""recovery status: what is wrong, and what is being done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer

from recovery.commands.client import ask_controller, every, reach
from recovery.commands.columns import NO_LIMIT, Column, age, lines, width
from recovery.commands.completion import subjects
from recovery.commands.errors import Refused, Shape, when
from recovery.commands.naming import recovery_name
from recovery.commands.output import Output, Watch, again_and_again, printed
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, RECOVERIES
from recovery.kube.errors import KubeError
from recovery.model.text import plain
from recovery.observe import wire
from recovery.settings import Settings

Subject = Annotated[
    str,
    typer.Argument(
        metavar="[SUBJECT]",
        autocompletion=subjects,
        help="Only this one: a recovery, [NAMESPACE/]NAME, cluster/NAME or repository/URL.",
    ),
]
ShowAll = Annotated[
    bool,
    typer.Option(
        "--all", help="Also recoveries that are over, and each row of what many have in common."
    ),
]
Labels = Annotated[
    str,
    typer.Option(
        "-l",
        "--selector",
        metavar="LABELS",
        help="Only applications with these labels, such as team=shop.",
    ),
]
Everywhere = Annotated[
    bool,
    typer.Option(
        "-A",
        "--all-namespaces",
        help="Applications of all namespaces; the default, taken from habit.",
    ),
]


def status(
    subject: Subject = "",
    output: Output = Shape.table,
    show_all: ShowAll = False,
    labels: Labels = "",
    everywhere: Everywhere = False,  # noqa: ARG001 (all namespaces are what it shows)
    watch: Watch = False,
) -> None:
    """Show open recoveries and pending conditions.

    Also what a guard suppresses, and why."""
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> dict[str, Any]:
        body = await _ask(client, settings)
        if subject:
            name = await recovery_name(client, settings, subject, missing_is_empty=True)
            wanted = {
                subject,
                subject if "/" in subject else f"{settings.argocd_namespace}/{subject}",
            }
            body = _only(body, lambda r: r["subject"] in wanted or r.get("name") in (subject, name))
        if labels:
            chosen = await _labelled(client, settings, labels)
            body = _only(body, lambda r: r["subject"] in chosen)
        return body

    def once() -> None:
        body = reach(ask)
        if output.for_scripts:
            printed(body, output)
        else:
            _print(body, show_all=show_all or bool(subject), wide=output is Shape.wide)

    if watch:
        again_and_again(once)
    else:
        once()


async def _ask(client: AsyncioClient, settings: Settings) -> dict[str, Any]:
    """From the controller, through the API server's service proxy; from its objects when it does
    not answer."""
    try:
        live: dict[str, Any] = msgspec.json.decode(
            await ask_controller(client, settings.namespace, "/api/v1/recoveries"), type=dict
        )
        return {"source": "controller", **live}
    except (KubeError, msgspec.DecodeError) as error:
        return await _from_objects(client, settings, str(error))


async def _from_objects(client: AsyncioClient, settings: Settings, why: str) -> dict[str, Any]:
    from recovery.clock import SystemClock
    from recovery.record.checkpoint import Checkpoint, NewerCheckpoint
    from recovery.record.codec import decode, row

    rows, broken = [], []
    for item in wire.listed(await client.list(RECOVERIES, settings.namespace)).items:
        try:
            recovery = decode(item)
        except wire.Unreadable as error:
            broken.append(f"{wire.identity(item).metadata.name}: {error}")
            continue
        rows.append(row(recovery))
    try:
        sights = await Checkpoint(client, settings.namespace, SystemClock()).load()
    except NewerCheckpoint as error:
        raise Refused(f"{error}; use the newer `recovery`") from error
    names = await _names(client, settings)
    ticking = []
    for uid, sight in sights.items():
        for symptom, since in sight.clocks.items():
            message = f"{symptom} since {since:%Y-%m-%dT%H:%M:%SZ}"
            ticking.append(
                {
                    "subject": names.get(uid, uid),
                    "policy": "",
                    "reason": "Pending",
                    "by": "",
                    "message": message,
                }
            )
    rows.sort(key=lambda r: str(r["openedTime"]), reverse=True)
    reasons = [f"the controller does not answer ({why[:160]}); this is what its objects say"]
    return {
        "source": "objects",
        "ready": None,
        "reasons": reasons,
        "recoveries": rows,
        "pending": ticking[:500],
        "unreadable": broken,
    }


def _only(body: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Rows of these subjects; clusters and repositories are other subjects."""
    rows = {
        what: [r for r in body.get(what) or () if wanted(r)] for what in ("recoveries", "pending")
    }
    return {
        **body,
        **rows,
        "pending_total": len(rows["pending"]),
        "clusters": [],
        "repositories": [],
    }


async def _labelled(client: AsyncioClient, settings: Settings, labels: str) -> set[str]:
    """Applications with these labels, as the API server selects them."""
    found = set()
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place, labelSelector=labels):
            meta = wire.identity(item).metadata
            found.add(f"{meta.namespace}/{meta.name}")
    return found


async def _names(client: AsyncioClient, settings: Settings) -> dict[str, str]:
    """The checkpoint knows applications by UID; people do not."""
    found = {}
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place):
            meta = wire.identity(item).metadata
            found[meta.uid] = f"{meta.namespace}/{meta.name}"
    return found


RECOVERY_COLUMNS = (
    Column("NAME"),
    Column("SUBJECT", rank=3),
    Column("PHASE"),
    Column("ATTEMPT", rank=4),
    Column("AGE", rank=1),
    Column("POLICY", rank=5),
    Column("MESSAGE", rank=2, words=True),
)
WIDE_COLUMNS = tuple(
    map(
        Column,
        [
            "NAME",
            "SUBJECT",
            "POLICY",
            "PHASE",
            "ATTEMPT",
            "AGE",
            "CAUSE",
            "TRIED",
            "NEXT",
            "TOLD",
            "MESSAGE",
        ],
    )
)
PENDING_COLUMNS = (
    Column("SUBJECT"),
    Column("STATE", rank=1),
    Column("POLICY", rank=3),
    Column("MESSAGE", rank=2, words=True),
)
PLACE_COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("APPLICATIONS", rank=2),
    Column("AGE", rank=1),
    Column("EVIDENCE", rank=3, words=True),
)
OVER = ("Resolved", "Superseded")
FOLDED_FROM = 5
"""Rows that say the same of more subjects than this are one, unless all are asked for."""
PLACES = 50


def _print(body: dict[str, Any], *, show_all: bool, wide: bool) -> None:
    for words, colour in _troubles(body):
        typer.secho(plain(f"! {words}"), fg=colour)
    limit = NO_LIMIT if wide else width()
    rows = [r for r in body["recoveries"] if show_all or r["phase"] not in OVER]
    if rows:
        shown = map(_wide, rows) if wide else map(_short, rows)
        _section("", WIDE_COLUMNS if wide else RECOVERY_COLUMNS, list(shown), limit)
    else:
        typer.echo("There are no recoveries." if show_all else "No recovery is open.")
    order = {"Failed": 0, "Unknown": 1, "Successful": 2}
    for what in ("clusters", "repositories"):
        places = sorted(body.get(what) or [], key=lambda r: (order.get(r["state"], 3), r["name"]))
        kept = [
            (r["name"], r["state"], r["applications"], age(r["since"]), r["trouble"] or r["words"])
            for r in places[:PLACES]
        ]
        _section(what.capitalize(), PLACE_COLUMNS, kept, limit)
        if len(places) > PLACES:
            typer.echo(f"... and {len(places) - PLACES} more; -o json shows all")
    for words, colour in _warnings(body, rows):
        typer.secho(plain(f"! {words}"), fg=colour)
    pending = body.get("pending") or []
    _section(
        "Pending and suppressed",
        PENDING_COLUMNS,
        _alike(pending, everything=show_all or wide),
        limit,
    )
    if (more := (body.get("pending_total") or 0) - len(pending)) > 0:
        typer.echo(f"... and {more} more")


def _section(
    title: str, columns: Sequence[Column], rows: Sequence[Sequence[object]], limit: int
) -> None:
    if not rows:
        return
    if title:
        typer.echo("")
        typer.secho(title, bold=True)
    for line in lines(columns, rows, limit):
        typer.echo(line)


def _short(r: dict[str, Any]) -> tuple[object, ...]:
    return (
        r["name"],
        r["subject"],
        r["phase"],
        _attempt(r),
        age(r["openedTime"]),
        r["policy"],
        r["message"],
    )


def _wide(r: dict[str, Any]) -> tuple[object, ...]:
    heard = ", ".join(r.get("heard") or ())
    more = (r.get("cause"), r.get("tried"), when(r.get("nextAttemptTime")), heard)
    return (
        r["name"],
        r["subject"],
        r["policy"],
        r["phase"],
        _attempt(r),
        age(r["openedTime"]),
        *more,
        r["message"],
    )


def _attempt(r: dict[str, Any]) -> str:
    return f"{r.get('attempt') or 0}/{r.get('maxAttempts') or 0}"


def _alike(pending: list[dict[str, Any]], *, everything: bool) -> list[tuple[object, ...]]:
    """Rows that read the same are one row: how many, and the first of them."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in pending:
        groups.setdefault((row["policy"], row["by"] or row["reason"]), []).append(row)
    found: list[tuple[object, ...]] = []
    for (policy, _), rows in groups.items():
        state = (
            f"suppressed by {rows[0]['by']}" if rows[0]["by"] else str(rows[0]["reason"]).lower()
        )
        if everything or len(rows) <= FOLDED_FROM:
            found += [(row["subject"], state, policy, row["message"]) for row in rows]
        else:
            found.append(
                (
                    f"{len(rows)} subjects",
                    state,
                    policy,
                    f"{rows[0]['subject']}: {rows[0]['message']} (--all lists them)",
                )
            )
    return found


def _troubles(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Warnings that matter before any row: what is not seen, who does not act, what is paused."""
    for reason in body.get("reasons") or ():
        yield reason, "yellow"
    replica = body.get("replica") or {}
    if replica.get("trouble"):
        yield f"{replica['identity']} does not act: {replica['trouble']}", "yellow"
    elif len(replica.get("replicas") or ()) > 1:
        yield (
            (
                f"asked {replica['identity']}, one of {len(replica['replicas'])} replicas; it acts"
                f" for shards {replica['holds']}"
            ),
            "blue",
        )
    for pause in body.get("pauses") or ():
        what = "silenced" if pause["silences"] else "paused"
        until = f" until {when(pause['until'])}" if pause["until"] else ""
        yield (
            (
                f"{what}{until} by {pause['by'] or 'somebody'}:"
                f" {pause['reason'] or 'no reason given'} ({pause['name'] or 'policy file'})"
            ),
            "yellow",
        )
    if body.get("policies_error"):
        yield f"policies: {body['policies_error']}", "red"


def _warnings(body: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Whom nobody could tell, and what is not as it should be."""
    for lost in (
        *(body.get("undelivered") or ()),
        *(f"{r['name']}: {words}" for r in rows for words in r.get("undelivered") or ()),
    ):
        yield f"undelivered: {lost}", "red"
    for dead in (c for c in body.get("channels") or () if c["why"]):
        yield (
            f"channel {dead['channel']}: {dead['why']} ({dead['waiting']} messages queued)",
            "yellow",
        )
    for policy, why in (body.get("distrusted") or {}).items():
        name, _, project = (*policy.split("/", 2), "", "")[:3]
        where = f" in project {project}" if project else ""
        yield f"policy {name} only observes{where}: {why}; edit it to close the circuit", "yellow"
    for missing in (*(body.get("warnings") or ()), *(body.get("missing") or ())):
        yield str(missing), "yellow"
