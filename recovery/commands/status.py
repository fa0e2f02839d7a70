"""recovery status: what is wrong, and what is being done about it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from recovery.commands.failing import Refused, Shape, when
from recovery.commands.printing import Output, Watch, again_and_again, paper, printed
from recovery.commands.reaching import ask_controller, every, reach
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, RECOVERIES
from recovery.kube.errors import KubeError
from recovery.observe import wire
from recovery.settings import Settings

ShowAll = Annotated[bool, typer.Option("--all", help="Also recoveries that are over.")]


def status(output: Output = Shape.table, show_all: ShowAll = False, watch: Watch = False) -> None:
    """List recoveries and pending conditions, with reasons."""
    settings = settings_from_environment()

    def once() -> None:
        body = reach(lambda client: _ask(client, settings))
        if output.for_scripts:
            printed(body, output)
        else:
            _print(body, show_all, wide=output is Shape.wide)

    if watch:
        again_and_again(once)
    else:
        once()


async def _ask(client: AsyncioClient, settings: Settings) -> dict[str, Any]:
    """From the controller, through the API server's service proxy; from its objects when it does not answer."""
    try:
        live: dict[str, Any] = msgspec.json.decode(await ask_controller(client, settings.namespace, "/api/v1/recoveries"), type=dict)
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
            ticking.append({"subject": names.get(uid, uid), "policy": "", "reason": "Pending", "by": "", "message": message})
    rows.sort(key=lambda r: str(r["openedAt"]), reverse=True)
    reasons = [f"the controller does not answer ({why[:160]}); this is what its objects say"]
    return {
        "source": "objects",
        "ready": None,
        "reasons": reasons,
        "recoveries": rows,
        "pending": ticking[:500],
        "unreadable": broken,
    }


async def _names(client: AsyncioClient, settings: Settings) -> dict[str, str]:
    """The checkpoint knows applications by UID; people do not."""
    found = {}
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place):
            meta = wire.identity(item).metadata
            found[meta.uid] = f"{meta.namespace}/{meta.name}"
    return found


def _print_connected(console: Any, what: str, rows: list[dict[str, Any]]) -> None:
    """Repositories or clusters: those that are not well first, each with on whose word."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    order = {"Failed": 0, "Unknown": 1, "Successful": 2}
    table = Table(box=None, pad_edge=False, header_style="bold", title=what.capitalize(), title_justify="left")
    for column in ("NAME", "STATE", "APPLICATIONS", "SINCE", "EVIDENCE"):
        table.add_column(column, overflow="fold")
    for r in sorted(rows, key=lambda r: (order.get(r["state"], 3), r["name"]))[:50]:
        words = r["trouble"] or r["words"]
        table.add_row(*(Text(str(v if v is not None else "")) for v in (r["name"], r["state"], r["applications"], when(r["since"]), words)))
    console.print()
    console.print(table)
    if len(rows) > 50:
        console.print(f"... and {len(rows) - 50} more; -o json shows all")


def _print(body: dict[str, Any], show_all: bool, *, wide: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    console = paper()
    for reason in body.get("reasons") or ():
        console.print(Text(f"! {reason}"), style="yellow")
    replica = body.get("replica") or {}
    if replica.get("trouble"):
        console.print(Text(f"! {replica['identity']} does not act: {replica['trouble']}"), style="yellow")
    elif len(replica.get("replicas") or ()) > 1:
        console.print(
            Text(f"asked {replica['identity']}, one of {len(replica['replicas'])} replicas; it acts for shards {replica['holds']}")
        )
    for pause in body.get("pauses") or ():
        what = "silenced" if pause["silences"] else "paused"
        until = f" until {when(pause['until'])}" if pause["until"] else ""
        console.print(
            Text(f"! {what}{until} by {pause['by'] or 'somebody'}: {pause['reason']} ({pause['name'] or 'policy file'})"), style="yellow"
        )
    if body.get("policies_error"):
        console.print(Text(f"! policies: {body['policies_error']}"), style="red")
    over = ("Resolved", "Superseded")
    rows = [r for r in body["recoveries"] if show_all or r["phase"] not in over]
    table = Table(box=None, pad_edge=False, header_style="bold", title="Recoveries", title_justify="left")
    more = ("CAUSE", "TRIED", "NEXT", "TOLD") if wide else ()
    for column in ("NAME", "SUBJECT", "POLICY", "PHASE", "ATTEMPT", "SINCE", *more, "MESSAGE"):
        table.add_column(column, overflow="fold")
    for r in rows:
        attempt = f"{r.get('attempt') or 0}/{r.get('limit') or 0}"
        told = ", ".join(r.get("heard") or ())
        extra = (r.get("cause"), r.get("tried"), when(r.get("nextAt")), told) if wide else ()
        shown = (r["name"], r["subject"], r["policy"], r["phase"], attempt, when(r["openedAt"]), *extra, r["message"])
        table.add_row(*(Text(str(v or "")) for v in shown))
    console.print(table if rows else "No recovery is open." if not show_all else "There are no recoveries.")
    for what in ("clusters", "repositories"):
        _print_connected(console, what, body.get(what) or [])
    for lost in (*(body.get("undelivered") or ()), *(f"{r['name']}: {words}" for r in rows for words in r.get("undelivered") or ())):
        console.print(Text(f"! not told: {lost}"), style="red")
    for dead in (c for c in body.get("channels") or () if c["why"]):
        console.print(Text(f"! channel {dead['channel']}: {dead['why']} ({dead['waiting']} messages wait)"), style="yellow")
    for policy, why in (body.get("distrusted") or {}).items():
        name, _, project = (*policy.split("/", 2), "", "")[:3]
        where = f" in project {project}" if project else ""
        console.print(Text(f"! policy {name} only watches{where}: {why}; edit it to let it act again"), style="yellow")
    for missing in (*(body.get("warnings") or ()), *(body.get("missing") or ())):
        console.print(Text(f"! {missing}"), style="yellow")
    pending = body.get("pending") or []
    if pending:
        waiting = Table(box=None, pad_edge=False, header_style="bold", title="Pending and held back", title_justify="left")
        for column in ("SUBJECT", "POLICY", "STATE", "MESSAGE"):
            waiting.add_column(column, overflow="fold")
        for p in pending:
            state = f"suppressed by {p['by']}" if p["by"] else p["reason"].lower()
            waiting.add_row(*(Text(str(v or "")) for v in (p["subject"], p["policy"], state, p["message"])))
        console.print()
        console.print(waiting)
