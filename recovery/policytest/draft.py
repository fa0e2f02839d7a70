"""Expectations from what happened, written into the test file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import yaml

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.recovery import RecoveryPhase
from recovery.policies.nodes import compose
from recovery.policytest.observation import Observation, Of, Seen, stamp

SPARE = timedelta(seconds=30)
"""A drafted expectation allows so much before and after."""


def drafted(observation: Observation) -> list[str]:
    """One line of YAML for every step, for how each recovery stands at the end, for the messages,
    and for the destructive actions that there were none of."""
    seen = [s for s in observation.seen if s.at >= timedelta()]
    lines = [_step(s) for s in seen if s.of is Of.action]
    ends = [s for s in seen if s.of is Of.phase and s.until is None]
    lines += [f"- {{{_who(s)}, phase: {s.what}, before: {stamp(s.at + SPARE)}}}" for s in ends]
    told: dict[tuple[str, str], int] = {}
    for s in seen:
        if s.of is Of.told and s.severity != "resolved":
            told[s.what, s.severity] = told.get((s.what, s.severity), 0) + 1
    lines += [
        f"- {{told: {{channel: {channel}, severity: {severity}, count: {count}}}}}"
        for (channel, severity), count in told.items()
    ]
    done = {s.what for s in seen if s.of is Of.action}
    never = [name for name, kind in POLICY_ACTIONS.items() if kind.destructive and name not in done]
    if not done:
        never = ["any"]
    stalled = any(s.of is Of.phase and s.what == RecoveryPhase.Stalled.value for s in seen)
    never += [] if stalled or not done else [RecoveryPhase.Stalled.value]
    return lines + ([f"- {{never: [{', '.join(never)}]}}"] if never else [])


def _step(seen: Seen) -> str:
    first, last = max(seen.at - SPARE, timedelta()), seen.at + SPARE
    result = f", result: {seen.result}" if seen.result else ""
    window = f"within: [{stamp(first)}, {stamp(last)}]"
    return f"- {{{_who(seen)}, action: {seen.what}, {window}{result}}}"


def _who(seen: Seen) -> str:
    return f"{seen.kind or 'app'}: {seen.name}"


class NotRewritten(Exception):
    """The file is written in a way that expectations cannot be put into; the message says where."""


def rewritten(text: str, drafts: Mapping[int, list[str]]) -> str:
    """The test file with these expectations in the place of those it has; everything else stays,
    comments and line ends as well. NotRewritten where a test is not written in block style."""
    nodes, _ = compose(text)
    tests = next(value for key, value in nodes[0].value if key.value == "tests")
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(newline)
    for number in sorted(drafts, reverse=True):
        node = tests.value[number]
        if any(getattr(each, "flow_style", True) for each in (nodes[0], tests, node)):
            raise NotRewritten(
                f"line {node.start_mark.line + 1}: write the test with one key a line, and without"
                " braces around it"
            )
        indent = " " * node.start_mark.column
        old = next(((k, v) for k, v in node.value if k.value == "expect"), None)
        if old is None:
            first = last = _end(node)
            before = indent
        else:
            first, last = old[0].start_mark.line, _end(old[1])
            before = lines[first][: old[0].start_mark.column]  # "- " where it is the first key
        lines[first:last] = [f"{before}expect:", *(f"{indent}{line}" for line in drafts[number])]
    return newline.join(lines)


def _end(node: yaml.Node) -> int:
    """The line after the last one that belongs to a node. PyYAML ends a block where the next token
    begins."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return max(_end(node.value[-1][0]), _end(node.value[-1][1]))
    return int(node.end_mark.line) + (node.end_mark.column > 0)
