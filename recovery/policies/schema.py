"""The JSON Schema of a policy file, from the types that read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from recovery.model.action import ActionKind
from recovery.model.duration import Duration
from recovery.policies.grammar import Document


def schema(actions: Mapping[str, ActionKind]) -> dict[str, Any]:
    """Draft 2020-12; each action's parameters are those of its own type."""
    # msgspec names definitions by class; the actions' parameters share one name, so each is asked
    # for by itself.
    (root,), definitions = msgspec.json.schema_components(
        [Document], schema_hook=hook, ref_template="#/$defs/{name}"
    )
    action = definitions["ActionText"]
    kinds = []
    for name, kind in actions.items():
        (reference,), parts = msgspec.json.schema_components(
            [kind.parameters], schema_hook=hook, ref_template=f"#/$defs/{name}.{{name}}"
        )
        definitions.update({f"{name}.{part}": closed(body) for part, body in parts.items()})
        kinds.append(
            {"properties": {"type": {"const": name}, "parameters": reference}, "required": ["type"]}
        )
    action["properties"]["type"] = {"enum": sorted(actions)}
    action["oneOf"] = kinds
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "recovery policies",
        **root,
        "$defs": {name: closed(body) for name, body in definitions.items()},
    }


def hook(kind: type) -> dict[str, Any]:
    """The schema of a type that msgspec does not know."""
    if kind is Duration:
        return {
            "type": "string",
            "description": "a Go duration such as 90s, 10m or 1h30m",
            "pattern": r"^([0-9]{1,5}[dw])*([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$",
        }
    raise NotImplementedError


def closed(body: dict[str, Any]) -> dict[str, Any]:
    """An object whose unknown keys are errors."""
    if body.get("type") == "object" and "properties" in body:
        body.setdefault("additionalProperties", False)
    return body
