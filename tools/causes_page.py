"""docs/causes.md: the catalogue, and what a real Argo CD made of it. ``python -m
tools.causes_page`` writes it anew from build/causes-*.json, which the end-to-end run leaves
there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recovery.causes.catalogue import CAUSES
from recovery.model.cause import Cause, Verdict

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "causes.md"
SEEN = "## Seen on a real Argo CD"
INTRO = """# Causes and cures

Why an application is ill, as `recovery explain` names it and `condition.cause` selects it, and what that leaves to do. Whatever a
policy says, a cure that its cause forbids, or that cannot help, is not tried: the guard `RemedyForbidden` says so, with the cause, the
evidence and what a person should look at. *Once* means one try in a recovery. This page is made from
`recovery/causes/catalogue.py`; a test fails when it is not up to date.

"""


def catalogue() -> str:
    """The table of causes."""
    rows = [
        "| | cause | what it is | right | useless | forbidden | for a person |",
        "|---|---|---|---|---|---|---|",
    ]
    for cause in CAUSES:
        rows.append(_row(cause, ""))
        rows += [_row(cause, variant) for variant in cause.variants]
    return "\n".join(rows) + "\n"


def _row(cause: Cause, variant: str) -> str:
    def cures(verdict: Verdict) -> str:
        return ", ".join(c.value for c in cause.with_verdict(verdict, variant))

    right = ", ".join(
        filter(
            None,
            (
                cures(Verdict.allowed),
                *(f"{c.value} (once)" for c in cause.with_verdict(Verdict.once, variant)),
            ),
        )
    )
    name = f"`{cause.name}`" if not variant else f"&nbsp;&nbsp;/`{variant}`"
    what, advice = (
        (cause.title, cause.advice)
        if not variant
        else (cause.notes.get(variant, ""), cause.advices.get(variant, ""))
    )
    code = cause.code if not variant else ""
    return f"| {code} | {name} | {what} | {right or '—'} | {cures(Verdict.useless) or '—'} | {cures(Verdict.forbidden) or '—'} | {advice} |"


def seen(found: list[dict[str, Any]]) -> str:
    """What was made to happen on the test bed, and what came of it."""
    right, wrong, steps = (
        sum(f["right"] for f in found),
        sum(len(f["wrong"]) for f in found),
        sum(len(f["steps"]) for f in found),
    )
    lines = [
        f"{SEEN}\n",
        "Argo CD 3.2.11 on Kubernetes 1.34, the controller under the shipped RBAC with the policies by cause (`config/by-cause.yaml`) and",
        "short times. Each of these was made to happen; `make e2e` does it again.\n",
        f"**Classified right: {right} of {len(found)}. Actions that were wrong: {wrong} of {steps}.**\n",
        "| made to happen | recognised as | by | what was done |",
        "|---|---|---|---|",
    ]
    for f in found:
        done = "<br>".join(f["transcript"]) or "nothing"
        lines.append(f"| {f['made']} | `{f['cause']}` | {_cell(f['evidence'])} | {done} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return "`" + text.replace("|", "\\|").replace("`", "'")[:220] + "`" if text else ""


def main() -> None:
    """Write the page."""
    found = [
        row
        for path in sorted((ROOT / "build").glob("causes-*.json"))
        for row in json.loads(path.read_text())
    ]
    old = PAGE.read_text() if PAGE.exists() else ""
    tail = seen(found) if found else old[old.index(SEEN) :] if SEEN in old else ""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(INTRO + catalogue() + "\n" + tail)


if __name__ == "__main__":
    main()
