"""Verdicts for people and for pipelines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from recovery.model.text import plain
from recovery.policytest.runner import Verdict

SIMULATED = "decided on a simulated Argo CD 3.2: it proves the policies, not Argo CD"


def lines(verdict: Verdict) -> Iterator[str]:
    """One line for a test that passed; what was expected and what happened for one that did not."""
    word = "ok  " if verdict.passed else "FAIL"
    yield f"{word} {verdict.file}:{verdict.line} {verdict.name} ({verdict.seconds:.1f}s)"
    if verdict.error:
        yield f"     could not be played: {verdict.error}"
    for failed in verdict.failures:
        yield f"     {verdict.file}:{failed.line}: {failed.message}"
        for line in failed.transcript:
            yield f"       {line}"


def closing(verdicts: Sequence[Verdict], seconds: float) -> str:
    """The last line."""
    failed = sum(not v.passed for v in verdicts)
    count = f"{len(verdicts)} test{'s' * (len(verdicts) != 1)}"
    how = f"{failed} failed" if failed else "all passed"
    return f"{count}, {how}, in {seconds:.1f}s ({SIMULATED})"


def as_json(verdicts: Sequence[Verdict]) -> str:
    """A list of tests, each with its failures."""
    rows: list[dict[str, Any]] = [
        {
            "file": v.file,
            "line": v.line,
            "name": v.name,
            "passed": v.passed,
            "seconds": round(v.seconds, 3),
            "error": v.error,
            "failures": [
                {"line": f.line, "message": f.message, "transcript": list(f.transcript)}
                for f in v.failures
            ],
        }
        for v in verdicts
    ]
    return json.dumps(rows, indent=2)


def as_junit(verdicts: Sequence[Verdict]) -> str:
    """JUnit's XML, as pipelines read it."""
    root = ElementTree.Element("testsuites")
    for file in dict.fromkeys(v.file for v in verdicts):
        mine = [v for v in verdicts if v.file == file]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=file,
            tests=str(len(mine)),
            failures=str(sum(bool(v.failures) for v in mine)),
            errors=str(sum(bool(v.error) for v in mine)),
            time=f"{sum(v.seconds for v in mine):.3f}",
        )
        for verdict in mine:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                name=plain(verdict.name),
                classname=file,
                time=f"{verdict.seconds:.3f}",
            )
            for failed in verdict.failures:
                told = ElementTree.SubElement(case, "failure", message=plain(failed.message))
                lines = (f"{file}:{failed.line}", *failed.transcript)
                told.text = "\n".join(plain(line) for line in lines)
            if verdict.error:
                ElementTree.SubElement(case, "error", message=plain(verdict.error))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
