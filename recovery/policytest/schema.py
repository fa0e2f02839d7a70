"""The JSON Schema of a test file, from the types that read it."""

from __future__ import annotations

from typing import Any

import msgspec

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.recovery import RecoveryPhase
from recovery.policies.schema import closed, hook
from recovery.policytest.events import EVENT_TYPES
from recovery.policytest.grammar import TestFile
from recovery.policytest.reading import ALWAYS, REFUSALS


def schema() -> dict[str, Any]:
    """Draft 2020-12."""
    (root,), parts = msgspec.json.schema_components(
        [TestFile], schema_hook=hook, ref_template="#/$defs/{name}"
    )
    parts["EventText"]["oneOf"] = [{"required": [key]} for key in EVENT_TYPES]
    expect = parts["ExpectText"]["properties"]
    expect["action"] = {"enum": sorted(POLICY_ACTIONS)}
    expect["refused_by"] = {"enum": sorted(REFUSALS)}
    word = {"enum": [*sorted(POLICY_ACTIONS), *(p.value for p in RecoveryPhase), *ALWAYS]}
    expect["never"] = {"anyOf": [word, {"type": "array", "items": word}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tests of recovery policies",
        **root,
        "$defs": {name: closed(body) for name, body in parts.items()},
    }
