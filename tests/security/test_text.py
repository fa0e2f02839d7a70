"""Text of strangers stays text: no control character, no second line, no second command."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recovery.argocd.tree import nodes
from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.model.redact import redact
from recovery.model.text import all_plain, dangerous, plain, shell
from recovery.observe import resource_tree, wire

EVIL = "\x1b]0;pwned\x07\x1b[2J\x1b[31mFAKE\x9b1m\x1b]8;;https://evil.example\x1b\\click\u202eRTL\u2066\n2026-01-01 all well\r\u2028\u200b"


def texts(value: object) -> list[str]:
    """Every text in a decoded value, however deep."""
    plainly = msgspec.to_builtins(value, builtin_types=())
    found: list[str] = []

    def walk(node: object) -> None:
        match node:
            case str():
                found.append(node)
            case dict():
                for key, each in node.items():
                    walk(key)
                    walk(each)
            case list() | tuple() | set() | frozenset():
                for each in node:
                    walk(each)

    walk(plainly)
    return found


def evil_everywhere(schema: object, depth: int = 0) -> object:
    """An object of this type as its owner may write it: every text in it evil."""
    import types
    import typing

    origin = typing.get_origin(schema)
    arguments = typing.get_args(schema)
    if origin in (types.UnionType, typing.Union):
        return evil_everywhere(next(a for a in arguments if a is not type(None)), depth)
    if schema is str:
        return EVIL
    if schema in (bool, int, float):
        return 1 if schema is not bool else True
    if origin is list:
        return [evil_everywhere(arguments[0], depth + 1)] * 2
    if origin is dict:
        return {
            EVIL: EVIL,
            "recovery.gitops.dev/paused": EVIL,
            "recovery.gitops.dev/hold": EVIL,
            "argocd.argoproj.io/tracking-id": EVIL,
        }
    if isinstance(schema, type) and issubclass(schema, msgspec.Struct):
        return {
            f.encode_name: evil_everywhere(f.type, depth + 1)
            for f in msgspec.structs.fields(schema)
        }
    return None


@pytest.mark.parametrize("kind", ["application", "project", "application_set"])
def test_no_control_character_passes_the_decoder_in_any_field(kind: str) -> None:
    shape = {
        "application": wire.wire_types.Application,
        "project": wire.wire_types.Project,
        "application_set": wire.wire_types.ApplicationSet,
    }[kind]
    raw = msgspec.json.encode(evil_everywhere(shape))
    decoded = getattr(wire, kind)(raw)
    assert len(texts(decoded)) > 3
    assert [t for t in texts(decoded) if any(map(dangerous, t))] == []
    if kind == "application":
        assert decoded.conditions
        assert decoded.hold is None
        assert decoded.unreadable
        assert [t for t in texts(diagnose(DiagnosisInput(decoded))) if any(map(dangerous, t))] == []


def test_what_pods_workloads_and_events_say_is_plain() -> None:
    pod = {
        "metadata": {"name": EVIL, "namespace": EVIL},
        "status": {
            "containerStatuses": [{"state": {"waiting": {"reason": EVIL, "message": EVIL}}}],
            "reason": EVIL,
            "message": EVIL,
        },
    }
    workload = {
        "metadata": {"name": EVIL},
        "status": {
            "conditions": [{"type": "Failed", "status": "True", "reason": EVIL, "message": EVIL}]
        },
    }
    event = {
        "type": "Warning",
        "reason": EVIL,
        "message": EVIL,
        "involvedObject": {"kind": EVIL, "name": EVIL, "namespace": EVIL},
    }
    said = (
        *resource_tree.of_pod(pod),
        *resource_tree.of_workload("Deployment", workload),
        *resource_tree.of_events([event]),
    )
    assert len(said) == 4
    assert [t for t in texts(said) if any(map(dangerous, t))] == []


def test_a_node_whose_name_no_cluster_would_take_is_left_out() -> None:
    good = {
        "kind": "Pod",
        "name": "web-1",
        "namespace": "web",
        "health": {"status": "Degraded", "message": EVIL},
    }
    raw = msgspec.json.encode(
        {"nodes": [good, {**good, "name": EVIL}, {**good, "name": "x" * 300}]}
    )
    assert [n.name for n in nodes(raw)] == ["web-1"]
    assert not any(map(dangerous, resource_tree.unwell(nodes(raw))[0].message))


@example("\u2028")
@given(st.text(max_size=400))
def test_plain_text_is_one_line_and_redaction_keeps_it_so(text: str) -> None:
    for made in (plain(text), plain(text, 40), redact(text, 40), *all_plain([text], lines=False)):
        assert not any(map(dangerous, made))
    assert len(plain(text, 40)) <= 40
    assert not any(dangerous(c) for c in plain(text, lines=True) if c != "\n")
    plain(text).encode()


@given(st.text(max_size=60))
def test_an_offered_command_is_one_command(word: str) -> None:
    assert shlex.split(f"recovery pause {shell(word)}")[2:] == [plain(word)]


def test_every_offered_command_is_quoted() -> None:
    """Whatever stands behind the name of a command in a text of ours goes through ``shell``."""
    bare = []
    for path in Path("recovery").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            before = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    before = str(part.value)
                    continue
                offered = (
                    before.rstrip("\"'").rpartition("recovery ")[2] if "recovery " in before else ""
                )
                words = {
                    "explain",
                    "pause",
                    "resume",
                    "release",
                    "approve",
                    "reset",
                    "failback",
                    "history",
                    "silence",
                    "adopt",
                }
                command = offered.strip() in words or "kubectl " in before
                if (
                    isinstance(part, ast.FormattedValue)
                    and command
                    and "shell(" not in ast.unparse(part.value)
                ):
                    bare.append(f"{path}:{node.lineno} {before!r} {{{ast.unparse(part.value)}}}")
                before = ""
    harmless = {
        "where",
        "kind",
        "key",
        "field",
        "name",
    }  # words of our own code, or quoted a line earlier
    assert [b for b in bare if b.rpartition("{")[2].rstrip("}") not in harmless] == []
