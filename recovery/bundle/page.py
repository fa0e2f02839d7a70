"""index.html: the bundle for a person, offline, without a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;
color:#1a1a1a;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
code,pre{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.bad{color:#a40000}.note{color:#555}h2{margin-top:2rem}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}td,th{border-color:#444}.bad{color:#ff8a80}.note{color:#aaa}}"""


def page(report: Mapping[str, Any], files: Iterable[str]) -> str:
    """The page, all of it from the report; every word from outside is escaped."""
    apps = report["applications"]
    parts = [
        (
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport"
            " content='width=device-width'>"
        ),
        f"<title>{escape(report['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(report['title'])}</h1>",
        (
            f"<p class=note>Collected {escape(report['at'])} by recovery"
            f" {escape(report['version'])}. Credentials were taken out.</p>"
        ),
        (
            "<p class=note><a href=missing.json>missing.json</a>: what is not in here;"
            " <code>sha256sum -c SHA256SUMS</code> checks it.</p>"
        ),
        "<h2>What was collected</h2>"
        + _table(("section", "state", "why"), [_collected(each) for each in report["collected"]]),
        "<h2>Summary</h2>"
        + _table((), [(escape(k), escape(str(v))) for k, v in report["summary"].items()]),
        "<h2>Causes</h2>" + _table(*_columns(report["sections"].get("Causes") or [])),
        "<h2>Why, and what to do</h2>",
        *(_application(app) for app in apps),
        f"<p>{_nothing(report)}</p>" if not apps else "",
    ]
    for title, rows in report["sections"].items():
        if title == "Causes":
            continue
        parts.append(
            f"<h2>{escape(title)}</h2>"
            + (_table(*_columns(rows)) if rows else "<p class=note>Nothing.</p>")
        )
    if report["missing"]:
        parts.append(
            "<h2>Not in here</h2>"
            + _table(
                ("what", "why"), [(escape(m["what"]), escape(m["why"])) for m in report["missing"]]
            )
        )
    links = "".join(
        f"<li><a href='{escape(name, quote=True)}'>{escape(name)}</a>" for name in sorted(files)
    )
    parts.append(f"<h2>Files</h2><ul>{links}</ul>")
    return "\n".join(parts)


def _collected(each: Mapping[str, Any]) -> tuple[str, ...]:
    state = escape(each["state"])
    return (
        escape(each["section"]),
        state if each["state"] == "collected" else f"<b class=bad>{state}</b>",
        escape(each["why"]),
    )


def _nothing(report: Mapping[str, Any]) -> str:
    """Why no application is shown: that nothing is wrong is only said where it was looked at."""
    read = next((each for each in report["collected"] if each["section"] == "applications"), None)
    if read is None or read["state"] != "collected":
        why = f": {escape(read['why'])}" if read else ""
        return (
            "<b class=bad>Whether anything is wrong is not known: applications could not be"
            f" read{why}.</b>"
        )
    if not report["summary"].get("applications"):
        return "There is no Application in the namespaces that were asked."
    return "Nothing is wrong with any application."


def _application(app: Mapping[str, Any]) -> str:
    found = app["diagnosis"]
    name, state = escape(app["subject"]), escape(app["state"])
    if not found["cause"]:
        return f"<h3>{name}</h3><p>{state}. <span class=note>No cause seen.</span></p>"
    seen = "".join(f"<li><code>{escape(line)}</code>" for line in found["evidence"])
    rows = [
        ("Right", escape(", ".join(found["allowed"]) or "none automatic")),
        (
            "Forbidden",
            f"<span class=bad>{escape(', '.join(found['forbidden']) or 'nothing')}</span>",
        ),
        ("For you", escape(found["advice"])),
        *(
            [("Commands", "<pre>" + escape("\n".join(app["commands"])) + "</pre>")]
            if app["commands"]
            else []
        ),
    ]
    what = f"{found['code']} {found['cause']}" + (
        f"/{found['variant']}" if found.get("variant") else ""
    )
    return (
        f"<h3>{name}: {escape(what)}</h3><p>{state}."
        f" {escape(found['title'])}</p><ul>{seen}</ul>{_table((), rows)}"
    )


def _columns(rows: list[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = tuple(dict.fromkeys(key for row in rows for key in row))
    return names, [tuple(escape(str(row.get(name, ""))) for name in names) for row in rows]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table; its cells are HTML already."""
    top = (
        "<tr>" + "".join(f"<th scope=col>{escape(name)}</th>" for name in head) + "</tr>"
        if head
        else ""
    )
    return (
        "<table>"
        + top
        + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        + "</table>"
    )
