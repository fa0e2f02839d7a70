"""recovery schema: the JSON Schema of policy files."""

from __future__ import annotations

import json

import typer

from recovery.act.registry import POLICY_ACTIONS


def schema() -> None:
    """Print the JSON Schema of policy files.

    For editors and pipelines."""
    from recovery.policies import schema as described

    typer.echo(json.dumps(described.schema(POLICY_ACTIONS), indent=2, ensure_ascii=False))
