"""No input costs more than its length: expressions and decoding on the worst that strangers can
write."""

from __future__ import annotations

import gc
import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from re import _parser  # type: ignore[attr-defined]  # the only way to the literals of an expression

import msgspec
import pytest

import recovery
from recovery.causes import error_patterns
from recovery.model.redact import redact
from recovery.observe import wire

SHORT, TIMES = 1_500, 8
"""Characters of the shorter text, and how much longer the other one is."""
LINEAR = 24
"""So many times longer the longer text may take: 8 for linear cost, 64 for quadratic; between them
the noise of a shared machine."""
WORTH = 0.004
"""Seconds below which nothing is said of how a cost grows."""


def patterns() -> dict[str, re.Pattern[str]]:
    """Every compiled expression of the package, wherever it is kept."""
    for module in pkgutil.walk_packages(recovery.__path__, "recovery."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, re.Pattern[str]] = {}

    def look(where: str, value: object, deep: int) -> None:
        if isinstance(value, re.Pattern):
            if isinstance(value.pattern, str):
                found.setdefault(value.pattern + str(value.flags), value)
        elif isinstance(value, error_patterns.Line):
            look(where, value.pattern, deep)
        elif isinstance(value, error_patterns.PatternTable):
            look(where, value._lines, deep)
        elif isinstance(value, dict) and deep:
            for each in value.values():
                look(where, each, deep - 1)
        elif isinstance(value, list | tuple | set | frozenset) and deep:
            for each in value:
                look(where, each, deep - 1)

    import sys

    for name, module in list(sys.modules.items()):
        if name.startswith("recovery"):
            for attribute, value in vars(module).items():
                look(f"{name}.{attribute}", value, 4)
    return found


PATTERNS = patterns()
SEEDS = (
    "a.",
    "a-",
    "A",
    "aA1",
    "a ",
    " ",
    "://",
    "a://b",
    "https://",
    '"',
    "'",
    "`",
    "{",
    "[",
    "=",
    "--",
    ":",
    "%",
    "1",
    "-----BEGIN A ",
    "eyJ-",
    "/",
    "@",
    ",",
)


def literals(pattern: str) -> Iterator[str]:
    """The runs of plain characters in an expression: what an adversary repeats."""

    def walk(node: object) -> Iterator[str]:
        run = ""
        for op, argument in node:  # type: ignore[attr-defined]
            if str(op) == "LITERAL":
                run += chr(argument)
                continue
            if len(run) > 1:
                yield run
            run = ""
            stack = [argument]
            while stack:
                each = stack.pop()
                if isinstance(each, _parser.SubPattern):
                    yield from walk(each)
                elif isinstance(each, list | tuple):
                    stack += each
        if len(run) > 1:
            yield run

    yield from walk(_parser.parse(pattern))


def grows(run: Callable[[str], object], seed: str) -> float:
    """How many times as long the longer text takes; 0 where even that is next to nothing."""
    short, long = ((seed * (n // len(seed) + 1))[:n] for n in (SHORT, SHORT * TIMES))
    took = _timed(run, long)
    if took < WORTH:
        return 0.0  # once is enough: noise makes it slower, and then it is measured well
    least = max(min(_timed(run, short) for _ in range(3)), WORTH / LINEAR)
    if took > LINEAR * least:  # noise, perhaps
        took = min(took, _timed(run, long), _timed(run, long))
    return took / least


def _timed(run: Callable[[str], object], text: str) -> float:
    gc.disable()
    begun = time.process_time()
    run(text)
    gc.enable()
    return time.process_time() - begun


@pytest.mark.parametrize(
    "pattern",
    PATTERNS.values(),
    ids=[f"{n}-{p.pattern[:40]}" for n, p in enumerate(PATTERNS.values())],
)
def test_an_expression_costs_no_more_than_the_length_of_what_it_searches(
    pattern: re.Pattern[str],
) -> None:
    own = list(dict.fromkeys(literals(pattern.pattern)))
    own += [first + second for first, second in itertools.pairwise(own)][:20]
    worst = {
        seed: ratio for seed in (*SEEDS, *own) if (ratio := grows(pattern.search, seed)) > LINEAR
    }
    assert worst == {}


def test_the_measure_sees_a_quadratic_expression() -> None:
    assert grows(re.compile(r"pull .*not found").search, "pull ") > LINEAR


def test_most_expressions_of_the_package_are_found() -> None:
    assert len(PATTERNS) > 90


@pytest.mark.parametrize(
    "seed",
    [
        "a.",
        "token ",
        "eyJ-",
        "aA1",
        "a@b://",
        "-----BEGIN A PRIVATE KEY-----",
        "password=",
        "\x1b[",
    ],
)
def test_taking_credentials_out_costs_no_more_than_the_length(seed: str) -> None:
    assert grows(lambda text: redact(text, len(text)), seed) <= LINEAR


def application(**parts: object) -> bytes:
    meta = {
        "name": "evil",
        "namespace": "argocd",
        "uid": "u",
        "resourceVersion": "1",
        **parts.pop("metadata", {}),
    }  # type: ignore[dict-item]
    return msgspec.json.encode({"metadata": meta, **parts})


EVIL = "a." * 1000
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "conditions": lambda n: application(
        status={"conditions": [{"type": "ComparisonError", "message": EVIL}] * n}
    ),
    "annotations": lambda n: application(
        metadata={"annotations": {f"recovery.gitops.dev/a{i}": EVIL for i in range(n)}}
    ),
    "sources": lambda n: application(spec={"sources": [{"repoURL": EVIL, "chart": "x"}] * n}),
    "labels": lambda n: application(metadata={"labels": {f"l{i}": EVIL for i in range(n)}}),
    "resources": lambda n: application(
        status={
            "resources": [
                {"kind": f"K{i}" + EVIL, "name": EVIL, "status": "OutOfSync"} for i in range(n)
            ]
        }
    ),
    "results": lambda n: application(
        status={
            "operationState": {
                "syncResult": {
                    "resources": [
                        {"kind": EVIL, "hookType": EVIL, "status": "SyncFailed", "message": EVIL}
                    ]
                    * n
                }
            }
        }
    ),
    "history": lambda n: application(
        status={"history": [{"id": i, "revision": EVIL} for i in range(n)]}
    ),
    "revisions": lambda n: application(status={"sync": {"revisions": [EVIL] * n}}),
    "images": lambda n: application(status={"summary": {"images": [EVIL] * n}}),
    "one revision": lambda n: application(status={"sync": {"revision": EVIL * n}}),
    "one message": lambda n: application(
        status={"health": {"status": "Degraded", "message": EVIL * n}}
    ),
    "owners": lambda n: application(
        metadata={"ownerReferences": [{"kind": EVIL, "name": EVIL}] * n}
    ),
    "tracking": lambda n: application(
        metadata={"annotations": {"argocd.argoproj.io/tracking-id": EVIL * n}}
    ),
    "hold": lambda n: application(
        metadata={"annotations": {"recovery.gitops.dev/hold": '{"x":' + "[" * 2000 * n}}
    ),
}


@pytest.mark.parametrize("field", HOSTILE)
def test_decoding_grows_in_proportion_and_keeps_little(
    field: str, record_property: Callable[[str, object], None]
) -> None:
    small, large = HOSTILE[field](90), HOSTILE[field](720)
    took = [min(_decoded(raw) for _ in range(3)) for raw in (small, large)]
    record_property("milliseconds for 1.4 MB", round(took[1] * 1000, 1))
    assert took[1] < WORTH or took[1] / max(took[0], WORTH / LINEAR) < LINEAR
    kept = len(msgspec.json.encode(wire.application(large)))
    assert kept < 64 * 1024, f"{kept} bytes are kept of {field}"


def _decoded(raw: bytes) -> float:
    begun = time.process_time()
    wire.application(raw)
    return time.process_time() - begun
