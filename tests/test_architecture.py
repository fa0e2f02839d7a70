"""What the import contracts cannot say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "recovery"
CORE = sorted([*(ROOT / "model").glob("*.py"), *(ROOT / "decide").glob("*.py")])
EVERYTHING = sorted(ROOT.rglob("*.py"))


def calls(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", CORE, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_words_and_judgement_read_no_clock_and_open_nothing(path: Path) -> None:
    forbidden = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.monotonic", "open", "print", "input"}

    assert calls(path) & forbidden == set()
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(ast.parse(path.read_text())))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("kubernetes_asyncio", ("kube",)),
        ("aiohttp", ("kube", "argocd", "notify", "observe", "serve", "simulate")),
        ("apprise", ("notify",)),
        ("yaml", ("policies", "commands")),
        ("typer", ("commands", "recovery")),
        ("rich", ("commands",)),
    ],
)
def test_a_library_is_known_only_where_it_belongs(library: str, allowed: tuple[str, ...]) -> None:
    assert {p.parent.name for p in EVERYTHING if library in imported(p)} <= set(allowed)


def test_no_vague_modules() -> None:
    assert {p.stem for p in EVERYTHING} & {"utils", "util", "helpers", "helper", "common", "misc", "tools"} == set()


def test_broad_excepts_stand_at_the_loops_edge_only() -> None:
    broad = [
        str(path.relative_to(ROOT))
        for path in EVERYTHING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]

    # A kubeconfig may be anything, and so may what its readers raise; one channel's failure is no other channel's, and what
    # nobody foresaw in one application ends neither the stream of the others nor the looks at them.
    assert set(broad) == {"app.py", "kube/asyncio_client.py", "notify/lane.py", "observe/examiner.py", "observe/reflector.py"}
