"""What the import contracts cannot say."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "recovery"
CORE = sorted([*(ROOT / "model").glob("*.py"), *(ROOT / "decide").glob("*.py")])
EVERYTHING = sorted(ROOT.rglob("*.py"))


@functools.cache
def syntax(path: Path) -> ast.Module:
    """What stands in a file, read once for all tests."""
    return ast.parse(path.read_text())


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything in a file, on all levels."""
    return tuple(ast.walk(syntax(path)))


def calls(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", CORE, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_words_and_judgement_read_no_clock_and_open_nothing(path: Path) -> None:
    forbidden = {
        "datetime.now",
        "datetime.utcnow",
        "date.today",
        "time.time",
        "time.monotonic",
        "open",
        "print",
        "input",
    }

    assert calls(path) & forbidden == set()
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in nodes(path))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("kubernetes_asyncio", ("kube",)),
        ("aiohttp", ("kube", "argocd", "notify", "observe", "replay", "serve", "simulate")),
        ("apprise", ("notify",)),
        ("yaml", ("policies", "policytest", "commands")),
        ("typer", ("commands", "recovery")),
        ("rich", ("commands",)),
    ],
)
def test_a_library_is_known_only_where_it_belongs(library: str, allowed: tuple[str, ...]) -> None:
    assert {p.parent.name for p in EVERYTHING if library in imported(p)} <= set(allowed)


def test_no_vague_modules() -> None:
    assert {p.stem for p in EVERYTHING} & {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "misc",
        "tools",
    } == set()


def test_broad_excepts_stand_at_the_loops_edge_only() -> None:
    broad = [
        str(path.relative_to(ROOT))
        for path in EVERYTHING
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]

    # A kubeconfig may be anything, and so may what its readers raise; one channel's failure is no
    # other channel's, and what nobody foresaw in one application ends neither the stream of the
    # others nor the looks at them. Whatever a text does to the parser of policies, the policies
    # that were good stay in force. A policy test that cannot be played to its end is told, and the
    # others go on. What cannot be recorded of a state keeps nobody from recovering.
    assert set(broad) == {
        "app.py",
        "kube/asyncio_client.py",
        "notify/receiver_queue.py",
        "observe/inspection_queue.py",
        "observe/policy_source.py",
        "observe/reflector.py",
        "policytest/runner.py",
        "record/audit.py",
    }


def test_whole_objects_are_decoded_at_one_door() -> None:
    """``type=dict`` on an API server's answer fails with RecursionError on what a tenant may nest:
    ``kube/reading.decoded`` has words."""
    loose = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in EVERYTHING
        if path.parent.name in ("act", "argocd", "observe", "serve", "record")
        and path.name != "api.py"
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "msgspec.json.decode"
        if any(k.arg == "type" and ast.unparse(k.value).startswith("dict") for k in node.keywords)
    ]

    assert loose == ["record/checkpoint.py:" + loose[0].rpartition(":")[2]], (
        "a part of our own checkpoint, and nothing of strangers"
    )


def test_a_standstill_is_not_counted_by_the_free_text_of_an_application() -> None:
    path = ROOT / "observe" / "reconcile_monitor.py"
    asked = [
        ast.unparse(n.value)
        for n in nodes(path)
        if isinstance(n, ast.Attribute) and n.attr == "project"
    ]

    assert asked
    assert all(".counted(" in each for each in asked), (
        "spec.project may name anything: Store.counted says what it counts as"
    )


OPAQUE = frozenset(
    [
        "scene",
        "crowds",
        "turns",
        "hearing",
        "browsing",
        "frost",
        "freezing",
        "freezer",
        "regret",
        "landing",
        "ground",
        "order",
        "leftovers",
        "narrative",
        "telling",
        "patient",
        "illness",
        "looking",
        "again",
        "asking",
        "aftercare",
        "wishing",
        "account",
        "reaching",
        "failing",
        "moving",
        "relabelling",
        "reminding",
        "reporting",
        "stamps",
        "notices",
        "dialect",
        "dialects",
        "shapes",
        "memory",
        "undelivered",
        "cleaning",
        "pausing",
        "printing",
        "diagnosing",
        "composing",
        "sending",
        "posting",
        "lane",
        "outbox",
        "gate",
        "seeing",
        "site",
        "answers",
        "listing",
        "matrix",
        "world",
        "destinations",
    ]
)
"""Words that name no thing in Kubernetes, Argo CD, Prometheus or Python. Modules had these names."""
RIDDLES = frozenset(
    [
        "Crowds",
        "Crowd",
        "Turns",
        "Hearing",
        "Browsing",
        "Frost",
        "Weather",
        "Dialect",
        "Dialects",
        "Notices",
        "Quiet",
        "Later",
        "Talk",
        "Wish",
        "Unwell",
        "Tells",
        "Cure",
        "Sight",
        "Traits",
        "Judgement",
        "Written",
        "Patient",
        "Asked",
        "Illness",
        "Look",
        "Closer",
        "Examiner",
        "Shelf",
        "Doors",
        "Ways",
        "There",
        "Wanted",
        "Ground",
        "Outbox",
        "Lane",
        "Letter",
        "Gate",
        "Sees",
        "Face",
        "World",
        "Freezer",
    ]
)
"""And classes these."""


def test_modules_are_named_by_words_of_the_field() -> None:
    assert [str(path.relative_to(ROOT)) for path in EVERYTHING if path.stem in OPAQUE] == []


def test_classes_are_named_by_words_of_the_field() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in EVERYTHING
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and node.name in RIDDLES
    ]

    assert named == []


PRONOUNS = ("it", "its", "who", "what", "somebody", "whoever", "nobody", "that")


def test_docstrings_begin_with_what_a_thing_is() -> None:
    """A reader who comes from a search has no sentence before it that a pronoun could point to."""
    begun = [
        f"{path.relative_to(ROOT)}:{node.body[0].lineno}: {text[:60]}"
        for path in EVERYTHING
        for node in nodes(path)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node) or "x").split()[0].strip(",.").lower() in PRONOUNS
    ]

    assert begun == []


def constants(path: Path) -> set[str]:
    """Public names in capitals that a module gives a value; TypeVars have none of their own."""
    found: set[str] = set()
    for node in syntax(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        names = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
        found |= {n.id for n in names if isinstance(n, ast.Name) and n.id.isupper()}
    return {name for name in found if not name.startswith("_") and len(name) > 1}


def test_a_constant_has_one_meaning() -> None:
    """AT_ONCE was 3, 4, 5, 8, 64 and ten minutes."""
    places: dict[str, list[str]] = {}
    for path in EVERYTHING:
        for name in constants(path):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))

    assert {name: where for name, where in places.items() if len(where) > 1} == {}
