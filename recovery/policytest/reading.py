"""A test file to tests, or every mistake in it with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, inspect

from recovery.act.registry import POLICY_ACTIONS
from recovery.decide.guards import GUARDS
from recovery.decide.routing import named_channels
from recovery.model.duration import spell
from recovery.model.policy import Policies
from recovery.model.recovery import RecoveryPhase
from recovery.model.timestamps import aware
from recovery.policies import InvalidPolicies, parse
from recovery.policies.nodes import LARGEST_POLICIES, compose
from recovery.policies.reading import MISSING, Problem, Reader, did_you_mean, readable
from recovery.policytest.events import EVENT_TYPES, NewPolicies, SetStatus
from recovery.policytest.grammar import ApplicationText, ExpectText, TestFile, TestText

REFUSALS = tuple(guard.name for guard in GUARDS)
"""What may refuse a step."""
WATCHED_AFTER = timedelta(minutes=30)
"""How long a test is watched after all that is written, where it does not say."""
LONGEST_RUN = timedelta(days=7)
ALWAYS = ("any", "write", "told")
"""What ``never`` may name beside actions and phases."""
SUBJECT_KEYS = ("app", "cluster", "repository")
EXPECTATION_KEYS = ("action", "phase", "refused_by", "sync", "health", "told", "never")
"""What an expectation is of; told and never stand alone."""


NOBODY_NAMED = "people"
"""The one channel there is where the policy file names none."""
MODIFIERS = ("policy", "result", "message", "count")
"""What narrows an expectation beside its subject and its time."""
BESIDE = {
    "action": MODIFIERS,
    "phase": ("policy", "message", "count"),
    "refused_by": ("policy", "message", "count"),
    "sync": ("count",),
    "health": ("count",),
    "told": ("policy",),
    "never": ("policy",),
}
"""Which of them have a meaning for what."""


class InvalidTests(Exception):
    """A test file that is not usable; ``problems`` holds all that is wrong with it."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__(f"{path}: {'; '.join(map(str, self.problems[:5]))}")


class Suite(Struct, frozen=True):
    """A test file that can be run."""

    path: Path
    tests: tuple[TestText, ...]
    policy_text: str
    policies: Policies
    lines: dict[str, int] = {}
    """Line of ``tests[0]``, ``tests[0].expect[1]``, counted from 1."""
    text: str = ""

    def line(self, test: int, expect: int | None = None) -> int:
        """Where a test, or one of its expectations, begins."""
        below = "" if expect is None else f".expect[{expect}]"
        return self.lines.get(f"tests[{test}]{below}", 0)


def read(path: Path, *, drafting: bool = False) -> Suite:
    """Read a test file and its policies; InvalidTests with every mistake. ``drafting``: a test
    without expectations is none."""
    try:
        text = _read(path)
    except (OSError, ValueError) as error:
        said = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidTests(path, [Problem(1, 1, "", said)]) from error
    nodes, problems = compose(text)
    if problems or len(nodes) != 1:
        one = [Problem(1, 1, "", "a test file is one document: write `policies:` and `tests:`")]
        raise InvalidTests(path, problems or one)
    reader = Reader()
    file = reader.read(nodes[0], inspect.type_info(TestFile), "")
    if file is MISSING:
        raise InvalidTests(path, reader.problems)
    policy_text, policies = _policies(path, file.policies, "policies", reader)
    for index, test in readable(file.tests):
        _Checked(reader, path, policies, test, f"tests[{index}]").check(drafting=drafting)
    _twice(file, reader)
    if reader.problems or policies is None:
        raise InvalidTests(path, reader.problems)
    lines = {p: n.start_mark.line + 1 for p, n in reader.places.items() if _marks(p)}
    return Suite(path, file.tests, policy_text, policies, lines, text)


def found(paths: Iterable[Path]) -> list[Path]:
    """The test files that are meant: files as they are, and in folders those named
    ``*test.yaml``."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*test.y*ml") if p.suffix in (".yaml", ".yml"))
        files += inside if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def names_of(app: ApplicationText) -> tuple[str, ...]:
    """The names of an application or a fleet."""
    if app.count == 1 and "*" not in app.name:
        return (app.name,)
    form = app.name if "*" in app.name else f"{app.name}-*"
    return tuple(form.replace("*", str(n)) for n in range(1, app.count + 1))


def channels_of(policies: Policies) -> tuple[str, ...]:
    """The channels that there are in a test: all that the policy file names."""
    return tuple(named_channels(policies)) or (NOBODY_NAMED,)


def length_of(test: TestText) -> timedelta:
    """How long it is watched."""
    return (
        test.run if test.run is not None else max(_times(test), default=timedelta()) + WATCHED_AFTER
    )


def _times(test: TestText) -> Iterator[timedelta]:
    for _, event in readable(test.events):
        yield event.at
    for _, expect in readable(test.expect):
        yield from filter(None, (expect.at, expect.before, expect.after, *expect.within))


def _marks(path: str) -> bool:
    return re.fullmatch(r"tests\[\d+\](\.expect(\[\d+\])?)?", path) is not None


def _policies(path: Path, name: str, where: str, reader: Reader) -> tuple[str, Policies | None]:
    try:
        text = _read(path.parent / name)
        policies = parse(text, POLICY_ACTIONS)
        return _text_of(text), policies
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        reader.wrong(None, where, f"{name!r} cannot be read: {said}")
    except InvalidPolicies as error:
        for problem in error.problems:
            reader.wrong(None, where, f"{name}: {problem}")
    return "", None


def _read(path: Path) -> str:
    """A file's text, with its line ends, no more of it than is ever accepted. OSError or ValueError
    where it is no file of text."""
    if not path.is_file():
        path.stat()
        raise ValueError("it is no file")
    with path.open("rb") as file:
        return file.read(LARGEST_POLICIES + 1).decode()


def _text_of(text: str) -> str:
    """The policies themselves, also from a ConfigMap manifest."""
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and document.get("kind") == "ConfigMap":
            return str(document["data"]["policies.yaml"])
    return text


def _twice(file: TestFile, reader: Reader) -> None:
    known: dict[str, int] = {}
    for index, test in readable(file.tests):
        if test.name in known:
            where = f"tests[{index}].name"
            reader.also(
                None, where, f"{test.name!r} is the name of tests[{known[test.name]}] already"
            )
        known.setdefault(test.name, index)


class _Checked:
    """Checks of one test beyond what the types say."""

    def __init__(
        self, reader: Reader, path: Path, policies: Policies | None, test: TestText, where: str
    ) -> None:
        self._reader = reader
        self._path = path
        self._policies = policies
        self._test = test
        self._where = where
        self._known = {
            "app": [n for _, a in readable(test.applications) for n in names_of(a)],
            "cluster": [c.name for _, c in readable(test.clusters)],
            "repository": [r.app for _, r in readable(test.repositories)],
            "project": [a.project for _, a in readable(test.applications)],
        }

    def check(self, *, drafting: bool) -> None:
        test = self._test
        if not test.expect and not drafting:
            self._wrong("", "expects nothing: write `expect:`, or draft it with --rewrite")
        if test.start and aware(test.start) is None:
            self._wrong(
                ".start", f"{test.start!r} is no time; write one such as 2026-11-23T02:00:00Z"
            )
        if test.run is not None and not test.run:
            self._wrong(".run", "a test that runs for no time sees nothing")
        if length_of(test) > LONGEST_RUN:
            self._wrong(".run", "a test is at most 7 days long")
        for name in {n for n in self._known["app"] if self._known["app"].count(n) > 1}:
            self._wrong(".applications", f"two applications are named {name!r}")
        for i, app in readable(test.applications):
            if app.cluster:
                self._named(f".applications[{i}].cluster", "cluster", app.cluster)
        for i, repository in readable(test.repositories):
            self._named(f".repositories[{i}].app", "app", repository.app)
        for i, event in readable(test.events):
            self._event(event, f".events[{i}]")
        for i, expect in readable(test.expect):
            self._expect(expect, f".expect[{i}]")

    def _wrong(self, below: str, message: str) -> None:
        self._reader.also(None, self._where + below, message)

    def _named(self, below: str, kind: str, name: str, *, glob: bool = False) -> None:
        known = self._known[kind]
        if any(fnmatchcase(one, name) if glob else one == name for one in known):
            return
        self._wrong(below, f"no {kind} of this test is named {name!r}{did_you_mean(name, known)}")

    def _event(self, event: Any, below: str) -> None:
        named = [key for key in EVENT_TYPES if getattr(event, key) is not None]
        if len(named) != 1:
            given = f"says {' and '.join(named)}" if named else "says nothing that happens"
            self._wrong(below, f"{given}: write one of {', '.join(EVENT_TYPES)}")
            return
        what = getattr(event, named[0])
        for kind in SUBJECT_KEYS:
            if kind != named[0] and (name := getattr(what, kind, "")):
                self._named(f"{below}.{named[0]}.{kind}", kind, name, glob=True)
        if named[0] == "repository" and what.app not in {
            r.app for _, r in readable(self._test.repositories)
        }:
            self._wrong(
                f"{below}.repository.app", f"{what.app!r} is not among the test's repositories"
            )
        if self._test.run is not None and event.at >= self._test.run:
            self._wrong(below, f"is later than the test runs ({spell(self._test.run)})")
        if named[0] == "set" and what == SetStatus(what.app):
            self._wrong(f"{below}.set", "sets nothing: write sync, health, conditions or operation")
        if named[0] == "pause" and what.project:
            self._named(f"{below}.pause.project", "project", what.project, glob=True)
        if named[0] == "cluster":
            self._named(f"{below}.cluster.name", "cluster", what.name)
        if named[0] == "commit" and bool(what.image) == bool(what.manifests):
            self._wrong(f"{below}.commit", "write image or manifests")
        if isinstance(what, NewPolicies):
            _policies(self._path, what.file, f"{self._where}{below}.policies.file", self._reader)

    def _expect(self, expect: ExpectText, below: str) -> None:
        never = (expect.never,) if isinstance(expect.never, str) else expect.never
        said = [k for k in EXPECTATION_KEYS if getattr(expect, k) not in (None, "", ())]
        if len([s for s in SUBJECT_KEYS if getattr(expect, s)]) > 1:
            self._wrong(below, "is of one of app, cluster and repository")
        for kind in SUBJECT_KEYS:
            if name := getattr(expect, kind):
                self._named(f"{below}.{kind}", kind, name, glob=True)
        if not said:
            self._wrong(below, f"expects nothing: write one of {', '.join(EXPECTATION_KEYS)}")
        elif len(said) > 1 and set(said) != {"sync", "health"}:
            self._wrong(below, f"expects {' and '.join(said)}: write an entry for each")
        if expect.action and expect.action not in POLICY_ACTIONS:
            self._wrong(
                f"{below}.action",
                f"unknown action {expect.action!r}{did_you_mean(expect.action, POLICY_ACTIONS)}",
            )
        if expect.refused_by and expect.refused_by not in REFUSALS:
            known = did_you_mean(expect.refused_by, REFUSALS)
            self._wrong(f"{below}.refused_by", f"unknown guard {expect.refused_by!r}{known}")
        if self._policies and expect.policy:
            names = [p.name for p in self._policies.policies]
            if expect.policy not in names:
                known = did_you_mean(expect.policy, names)
                self._wrong(f"{below}.policy", f"unknown policy {expect.policy!r}{known}")
        words = (*POLICY_ACTIONS, *(p.value for p in RecoveryPhase), *ALWAYS)
        for word in never:
            if word not in words:
                self._wrong(f"{below}.never", f"unknown word {word!r}{did_you_mean(word, words)}")
        if len(expect.within) == 2 and expect.within[0] > expect.within[1]:
            self._wrong(f"{below}.within", "the first time is later than the second")
        if sum(map(bool, (expect.at is not None, expect.within))) > 1:
            self._wrong(below, "is at one time or within two, not both")
        for name, pattern in self._patterns(expect):
            try:
                re.compile(pattern)
            except re.error as error:
                self._wrong(f"{below}.{name}", f"not a regular expression: {error}")
        latest = max(
            filter(None, (expect.at, expect.before, expect.after, *expect.within)), default=None
        )
        if latest is not None and self._test.run is not None and latest > self._test.run:
            self._wrong(below, f"is later than the test runs ({spell(self._test.run)})")
        for word in said:
            useless = [
                name
                for name in MODIFIERS
                if name not in BESIDE[word] and getattr(expect, name) not in (None, "")
            ]
            if useless and len(said) == 1:
                self._wrong(below, f"{' and '.join(useless)} says nothing beside {word}")
        if expect.policy and {"write", "any"} & set(never):
            self._wrong(
                f"{below}.never", "a write is not told apart by its policy; leave policy out"
            )
        if self._policies and expect.told and expect.told.channel:
            channels = channels_of(self._policies)
            if expect.told.channel not in channels:
                known = did_you_mean(expect.told.channel, channels)
                self._wrong(
                    f"{below}.told.channel", f"no channel is named {expect.told.channel!r}{known}"
                )

    @staticmethod
    def _patterns(expect: ExpectText) -> Iterator[tuple[str, str]]:
        yield "message", expect.message
        if expect.told is not None:
            yield "told.message", expect.told.message
