"""recovery schema: the JSON Schemas of policy files and of their tests."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer


class Described(Enum):
    """Subject of a schema."""

    policies = "policies"
    tests = "tests"


What = Annotated[Described, typer.Argument(help="Policy files, or files for recovery test.")]


def schema(what: What = Described.policies) -> None:
    """Print the JSON Schema of policy files.

    For editors and pipelines; `recovery schema tests` prints that of test files."""
    if what is Described.tests:
        from recovery.policytest.schema import schema as of_tests

        body = of_tests()
    else:
        from recovery.act.registry import POLICY_ACTIONS
        from recovery.policies import schema as described

        body = described.schema(POLICY_ACTIONS)
    typer.echo(json.dumps(body, indent=2, ensure_ascii=False))
