"""YAML text to nodes that know their place, whatever is thrown at it."""

from __future__ import annotations

import yaml

from recovery.policies.reading import Problem

LARGEST_POLICIES = 256 * 1024
"""Bytes; a ConfigMap holds at most four times that in all."""
DEEPEST_YAML = 50


def compose(raw: bytes | str) -> tuple[list[yaml.Node], list[Problem]]:
    """The document nodes of a text, or what is wrong with it as YAML.

    Events are walked first: the C composer crashes the process on 100,000 open brackets, and
    aliases can make a small file huge.
    """
    size = len(raw)
    if size > LARGEST_POLICIES:
        return [], [
            Problem(
                1,
                1,
                "",
                f"the file is {size:,} bytes{' or more' * (size == LARGEST_POLICIES + 1)}; a policy"
                f" file has at most {LARGEST_POLICIES:,}",
            )
        ]
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError as error:
        return [], [Problem(1, 1, "", f"not a text file: byte {error.start} is not UTF-8")]
    try:
        if problem := _walk(text):
            return [], [problem]
        return list(yaml.compose_all(text, Loader=yaml.CSafeLoader)), []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        written = (
            text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        )
        hint = "; there is a tab, and YAML indents with spaces only" if "\t" in written else ""
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return [], [Problem(line, column, "", f"not YAML: {error.problem or error.context}{hint}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [Problem(1, 1, "", f"not YAML: {' '.join(str(error).split())[:200]}")]


def _walk(text: str) -> Problem | None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return Problem(
                line, column, "", "anchors and aliases are not used in policy files; write it out"
            )
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > DEEPEST_YAML:
                return Problem(line, column, "", f"nested deeper than {DEEPEST_YAML} levels")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1
    return None
