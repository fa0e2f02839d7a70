"""``python -m tools.reference``: the generated pages of the site: commands, metrics, guards, keys of
a policy file. A test fails when one is not up to date."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from recovery.act.registry import POLICY_ACTIONS
from recovery.cli import COMMANDS, app
from recovery.decide.guards import GUARDS, Guard
from recovery.decide.state import State
from recovery.decide.transitions import TRANSITIONS
from recovery.model.recovery import RecoveryPhase
from recovery.policies.schema import schema
from recovery.record.metrics import Metrics

DOCS = Path(__file__).parents[1] / "docs"
MADE = "<!-- Made by python -m tools.reference. -->\n\n"
WIDTH = "100"
ENDED = tuple(
    state
    for state, row in TRANSITIONS.items()
    if row.leads_to == TRANSITIONS[State.StepFailed].leads_to
)
"""The states in which a step has ended: the diagram shows them as one."""


def commands() -> str:
    """Each command with its help."""
    runner = CliRunner(env={"COLUMNS": WIDTH, "TERM": "dumb", "NO_COLOR": "1"})
    texts = ["# Commands\n\n", MADE, "All of them also work as `kubectl recovery ...`.\n"]
    for name in COMMANDS:
        said = runner.invoke(app, [name, "--help"]).output
        lines = [line.rstrip() for line in said.strip().splitlines()]
        texts.append(f"\n## recovery {name}\n\n```\n" + "\n".join(lines) + "\n```\n")
    return "".join(texts)


def metrics() -> str:
    """Each metric with its labels."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    made = Metrics()
    for collector in made.registry._collector_to_names:  # noqa: SLF001 (the registry tells of names only, not of labels)
        describe = getattr(collector, "describe", None) or collector.collect
        for family in describe():
            if not family.name.startswith("recovery_"):
                continue
            name = family.name + ("_total" if family.type == "counter" else "")
            name += "_info" if family.type == "info" else ""
            labels = getattr(collector, "_labelnames", None) or getattr(collector, "_labels", ())
            shown = ", ".join(f"`{label}`" for label in labels)
            rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return f"# Metrics\n\n{MADE}No application name is ever a label.\n\n" + "\n".join(rows) + "\n"


def guards() -> str:
    """Each guard, in the order in which they are asked."""
    intro = (
        "Guards are asked before every step, in this order; the first refusal is the answer. Its code"
        " is the reason of the Recovery, the label `guard` of the metric `recovery_suppressed` and"
        " what `recovery status` shows; `guards/#CODE` is its place on this page.\n\n"
    )
    rows = ["| guard | refuses when | for |", "|---|---|---|"]
    for guard in GUARDS:
        about = ", ".join(sorted(guard.about))
        rows.append(
            f'| <span id="{guard.name}">{guard.name}</span> | {_first_paragraph(guard)} | {about} |'
        )
    return f"# Guards\n\n{MADE}{intro}" + "\n".join(rows) + "\n"


def _first_paragraph(guard: Guard) -> str:
    words = inspect.getdoc(guard.ask) or ""
    return " ".join(words.split("\n\n")[0].split()).rstrip(".")


def policy_keys() -> str:
    """Each key of a policy file."""
    whole = schema(POLICY_ACTIONS)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{path}` | {kind} | {default} | {meaning} |"
        for path, kind, default, meaning in _keys(whole, whole["$defs"], "", ())
    ]
    intro = "Unknown keys are errors. `recovery schema` prints the JSON Schema for your editor.\n\n"
    return f"# Policy reference\n\n{MADE}{intro}" + "\n".join(rows) + "\n"


def _keys(
    part: dict[str, Any], known: dict[str, Any], path: str, within: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    part = _resolved(part, known)
    title = part.get("title", "")
    if title and title in within:
        return
    within = (*within, title) if title else within
    for key, each in part.get("properties", {}).items():
        inner, where = _resolved(each, known), f"{path}.{key}".lstrip(".")
        default = each.get("default")
        simple = isinstance(default, str | int | float) and default != ""
        shown = (
            f"`{str(default).lower() if isinstance(default, bool) else default}`" if simple else ""
        )
        yield where, _kind(inner, known), shown, inner.get("description", "")
        if inner.get("type") == "array":
            yield from _keys(inner.get("items", {}), known, f"{where}[]", within)
        elif isinstance(inner.get("additionalProperties"), dict):
            yield from _keys(inner["additionalProperties"], known, f"{where}.NAME", within)
        else:
            yield from _keys(inner, known, where, within)


def _resolved(part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    while True:
        if "$ref" in part:
            rest = {key: value for key, value in part.items() if key != "$ref"}
            part = {**known[part["$ref"].rpartition("/")[2]], **rest}
        elif "anyOf" in part:
            options = [each for each in part["anyOf"] if each.get("type") != "null"]
            if len(options) != 1:
                return part
            part = options[0]
        else:
            return part


def _kind(part: dict[str, Any], known: dict[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(map(str, part["enum"]))
    if "anyOf" in part:
        return " or ".join(_kind(_resolved(each, known), known) for each in part["anyOf"])
    if part.get("type") == "array":
        return f"list of {_kind(_resolved(part.get('items', {}), known), known)}"
    return str(part.get("type", "any"))


def states() -> str:
    """Each state of a policy and its subject, and the diagram of the phases that they lead to."""
    intro = (
        "With every change of a subject, and whenever time decides, each policy is held against it and"
        " is in exactly one of these states. What is done in it, and which phase the Recovery has"
        " afterwards, stands in one table (`recovery/decide/transitions`); every decision of every"
        " test is held against that table. The words are those of the code; the phases are what"
        " `kubectl get recoveries` shows.\n\n"
    )
    rows = ["| state | what is the case | found in | leads to |", "|---|---|---|---|"]
    for state, row in TRANSITIONS.items():
        cells = (_phases(row.found_in), _phases(row.leads_to))
        rows.append(f"| `{state.name}` | {state.value} | {cells[0]} | {cells[1]} |")
    return f"# States of a recovery\n\n{MADE}{intro}{_diagram()}\n" + "\n".join(rows) + "\n"


def _phases(phases: frozenset[RecoveryPhase]) -> str:
    """The phases in the order of their type; a dash for no recovery."""
    return ", ".join(phase.value for phase in RecoveryPhase if phase in phases) or "-"


def _diagram() -> str:
    """Which phase leads to which, and in which states; what stays in its phase is left out."""
    opened = frozenset(phase for phase in RecoveryPhase if not phase.over)
    inner: dict[tuple[str, str], list[str]] = {}
    outer: dict[tuple[str, str], list[str]] = {}
    for state, row in TRANSITIONS.items():
        everywhere = row.found_in == opened
        edges = outer if everywhere or row.leads_to.isdisjoint(opened) else inner
        sources = ["Open"] if everywhere else [phase.value for phase in row.found_in]
        for after in row.leads_to:
            for before in sources or ["[*]"]:
                if before != after.value:
                    edges.setdefault((before, after.value), []).append(state.name)
    lines = ["```mermaid", "stateDiagram-v2", "  state Open {"]
    lines += _edges(inner, "    ")
    lines += ["  }", *_edges(outer, "  ")]
    lines += [f"  {phase.value} --> [*]" for phase in RecoveryPhase if phase.over]
    note = "StepEnded stands for " + ", ".join(f"`{state.name}`" for state in ENDED) + "."
    return "\n".join([*lines, "```", "", note, ""])


def _edges(edges: dict[tuple[str, str], list[str]], indent: str) -> list[str]:
    ended = {state.name for state in ENDED}
    lines = []
    for (before, after), names in sorted(edges.items()):
        shown = [name for name in names if name not in ended]
        if ended <= set(names):
            shown.append("StepEnded")
        lines.append(f"{indent}{before} --> {after}: {'<br>'.join(shown)}")
    return lines


PAGES: dict[str, Callable[[], str]] = {
    "states.md": states,
    "commands.md": commands,
    "metrics.md": metrics,
    "guards.md": guards,
    "policy-reference.md": policy_keys,
}


def main() -> None:
    """Write them."""
    os.environ.setdefault("COLUMNS", WIDTH)
    for name, made in PAGES.items():
        (DOCS / name).write_text(made())


if __name__ == "__main__":
    main()
