"""recovery test: policies under test, on a simulated Argo CD in virtual time."""

from __future__ import annotations

import re
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.model.text import plain
from recovery.policytest import coverage, draft, report
from recovery.policytest.reading import InvalidTests, Suite, found, read
from recovery.policytest.runner import Verdict, run
from recovery.policytest.stage import play


class TestShape(Enum):
    """How the verdicts are printed."""

    __test__ = False

    table = "table"
    json = "json"
    junit = "junit"


Paths = Annotated[
    list[Path],
    typer.Argument(metavar="FILE|DIR...", help="Test files, or folders with files *test.yaml."),
]
Chosen = Annotated[
    str, typer.Option("--run", metavar="REGEX", help="Only tests whose name matches.")
]
Format = Annotated[TestShape, typer.Option("-o", "--output", help="For people, or for pipelines.")]
Rewrite = Annotated[
    bool,
    typer.Option("--rewrite", help="Write expectations from what happened; read them before use."),
]
Coverage = Annotated[bool, typer.Option("--coverage", help="Also list what no test reached.")]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, help="Tests at a time; 0: one for each processor.")
]
Transcripts = Annotated[
    bool, typer.Option("-v", "--verbose", help="Also print what happened in tests that passed.")
]


def test(
    paths: Paths,
    chosen: Chosen = "",
    output: Format = TestShape.table,
    rewrite: Rewrite = False,
    covered: Coverage = False,
    jobs: Jobs = 0,
    verbose: Transcripts = False,
) -> None:
    """Test policies.

    Play what may happen on a simulated Argo CD, in virtual time, and check what the policies do and
    never do. Nothing is connected to."""
    suites = _read(paths, drafting=rewrite)
    wanted = _wanted(suites, chosen)
    if rewrite:
        _rewrite(suites, wanted)
        return
    began, verdicts = time.monotonic(), list[Verdict]()
    for verdict in run([(suite.path, number) for suite, number in wanted], jobs):
        verdicts.append(verdict)
        if output is TestShape.table:
            _show(verdict, verbose=verbose)
    if output is TestShape.json:
        typer.echo(report.as_json(verdicts))
    elif output is TestShape.junit:
        typer.echo(report.as_junit(verdicts))
    else:
        if covered:
            _coverage(suites, verdicts)
        typer.echo(report.closing(verdicts, time.monotonic() - began))
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(WRONG)


def _read(paths: list[Path], *, drafting: bool) -> list[Suite]:
    """All files, or every mistake in all of them."""
    suites, wrong = [], []
    for path in found(paths):
        try:
            suites.append(read(path, drafting=drafting))
        except InvalidTests as error:
            wrong += [f"{path}:{p.line}:{p.column}: {p.path}: {p.message}" for p in error.problems]
    if wrong:
        raise Refused("\n".join(plain(line) for line in wrong), USAGE)
    if not suites:
        raise Refused(f"no file *test.yaml in {', '.join(map(str, paths))}", USAGE)
    return suites


def _wanted(suites: list[Suite], chosen: str) -> list[tuple[Suite, int]]:
    try:
        pattern = re.compile(chosen)
    except re.error as error:
        raise Refused(f"--run: {chosen!r} is no regular expression: {error}", USAGE) from error
    wanted = [
        (suite, number)
        for suite in suites
        for number, each in enumerate(suite.tests)
        if pattern.search(each.name)
    ]
    if not wanted:
        raise Refused(f"no test's name matches {chosen!r}", USAGE)
    return wanted


def _show(verdict: Verdict, *, verbose: bool) -> None:
    for line in report.lines(verdict):
        typer.echo(plain(line))
    if verbose and verdict.passed:
        for line in verdict.transcript:
            typer.echo(plain(f"       {line}"))


def _coverage(suites: list[Suite], verdicts: list[Verdict]) -> None:
    """Of each policy file, what the tests of it did not reach."""
    for text in dict.fromkeys(suite.policy_text for suite in suites):
        mine = [suite for suite in suites if suite.policy_text == text]
        files = {str(suite.path) for suite in mine}
        reached = [v.reached for v in verdicts if v.file in files]
        missed = coverage.unreached(mine[0].policies, reached)
        typer.echo(f"not reached by {', '.join(sorted(files))}:" if missed else "all reached")
        for kind in dict.fromkeys(each.kind for each in missed):
            names = [each.name for each in missed if each.kind == kind]
            typer.echo(plain(f"  {kind}: {', '.join(names)}"))


def _rewrite(suites: list[Suite], wanted: list[tuple[Suite, int]]) -> None:
    for suite in suites:
        numbers = [number for each, number in wanted if each is suite]
        drafts = {number: draft.drafted(play(suite, number)) for number in numbers}
        try:
            text = draft.rewritten(suite.text, drafts)
        except draft.NotRewritten as error:
            raise Refused(f"{suite.path}: {error}; nothing was changed", WRONG) from error
        suite.path.write_bytes(text.encode())
        count = f"{len(numbers)} test{'s' * (len(numbers) != 1)}"
        typer.echo(f"{suite.path}: {count} rewritten; read them before you trust them")
