"""``python -m tools.crd``: manifests/crds/recoveries.yaml anew, from the types that the controller
writes. What the schema does not know, the API server takes away."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import yaml

from recovery.model.move import MAX_RELOCATIONS, UserRequest
from recovery.model.recovery import NotificationStatus, PendingNotification, Recovery
from recovery.record import codec
from recovery.record.codec import RecoverySpec

TARGET = Path(__file__).parents[1] / "manifests/crds/recoveries.yaml"
HEAD = "# Made by python -m tools.crd from the types that the controller writes: change them.\n"
MOST = {
    "steps": 50,
    "relocations": 2 * MAX_RELOCATIONS,
    "requests": 50,
    "holds": 50,
    "evidence": 50,
    "pending": 20,
    "conditions": 8,
    "undelivered": 10,
    "effectTimes": 200,
    "leftovers": 50,
}
"""Items that a list of this name holds at most."""
COLUMNS = (
    ("Subject", "string", ".spec.subject.name", 0),
    ("Policy", "string", ".spec.policy", 0),
    ("Cause", "string", ".status.cause", 0),
    ("Phase", "string", ".status.phase", 0),
    ("Stalled", "string", '.status.conditions[?(@.type=="Stalled")].status', 0),
    ("Attempt", "integer", ".status.attempt", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Message", "string", ".status.message", 1),
)
"""Name, type, path and priority: those of priority 1 are shown by ``kubectl get -o wide``."""


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "recoveries.recovery.gitops.dev",
            "labels": {"app.kubernetes.io/part-of": "gitops-recovery-controller"},
        },
        "spec": {
            "group": "recovery.gitops.dev",
            "scope": "Namespaced",
            "names": {
                "kind": "Recovery",
                "listKind": "RecoveryList",
                "plural": "recoveries",
                "singular": "recovery",
                "shortNames": ["rcv"],
                "categories": ["gitops"],
            },
            "versions": [_current(), _before()],
        },
    }


def _current() -> dict[str, Any]:
    return {
        "name": codec.API_VERSION.partition("/")[2],
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path}
            | ({"priority": priority} if priority else {})
            for name, kind, path, priority in COLUMNS
        ],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "The record of one incident: one policy on one subject.",
                "required": ["spec"],
                "properties": {"spec": _spec(), "status": _status()},
            }
        },
    }


def _before() -> dict[str, Any]:
    """The version before: it keeps whatever it is given, so that old objects are read whole."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "name": "v1alpha1",
        "served": True,
        "storage": False,
        "deprecated": True,
        "deprecationWarning": "recovery.gitops.dev/v1alpha1 is deprecated: use v1alpha2",
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": anything, "status": anything},
            }
        },
    }


def _spec() -> dict[str, Any]:
    made = _schema(RecoverySpec)
    made["description"] = (
        "What is asked for, and what is owed. People add requests; the controller writes the rest."
    )
    request = made["properties"]["requests"]["items"]["properties"]
    request["type"]["enum"] = [
        *("approve", "expired", "reset", "failback", "stay", "cleanup", "release")
    ]
    # People write these: no longer than they have to be, and no time that only Kubernetes can read.
    request["step"]["maxLength"] = 120
    request["by"]["maxLength"] = 256
    request["time"]["pattern"] = (
        r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$"
    )
    return made


def _status() -> dict[str, Any]:
    made = _schema(Recovery)
    fields = made["properties"]
    requests = _bounded("requests", {"type": "array", "items": _schema(UserRequest)})
    for key in (*codec.IN_SPEC, *codec.NOT_IN_STATUS, *codec.NOTIFICATIONS, "talk"):
        fields.pop(key)
    told = _schema(NotificationStatus)
    told["properties"] |= {
        "pending": _bounded("pending", {"type": "array", "items": _schema(PendingNotification)}),
        "notified": {"type": "array", "items": {"type": "string"}},
    }
    fields |= {
        "format": {"type": "integer", "description": "Of this status."},
        codec.HANDLED: {"description": "Of spec.requests, those that need nothing more."}
        | requests,
        "observedGeneration": {"type": "integer", "format": "int64"},
        "notifications": told,
    }
    fields["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    return {
        "type": "object",
        "description": "How it stands; written by the controller only.",
        "required": ["phase"],
        "properties": dict(sorted(fields.items())),
    }


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    (root,), known = msgspec.json.schema_components([kind], ref_template="{name}")
    texts = {name: _texts(found) for name, found in _classes(kind).items()}
    return _structural(root, known, texts, "")


def _structural(
    part: dict[str, Any], known: dict[str, Any], texts: dict[str, dict[str, str]], name: str
) -> dict[str, Any]:
    """A structural schema, as a CRD needs it: no references, no null, no defaults."""
    if "$ref" in part:
        part = known[part["$ref"]]
    if "anyOf" in part:
        (one,) = [each for each in part["anyOf"] if each.get("type") != "null"]
        return _structural(one, known, texts, name) | {"nullable": True}
    if "enum" in part:
        return {"type": "string", "enum": part["enum"]}
    made: dict[str, Any] = {"type": part["type"]} if "type" in part else {}
    if made.get("type") == "object" and "properties" in part:
        own = texts.get(part.get("title", ""), {})
        made["properties"] = {}
        for key, each in part["properties"].items():
            inner = _structural(each, known, texts, key)
            if key in own:
                inner = {"description": own[key]} | inner
            made["properties"][key] = inner
        if part.get("required"):
            made["required"] = part["required"]
    elif made.get("type") == "object" and part.get("additionalProperties"):
        inner = part["additionalProperties"]
        made["additionalProperties"] = _structural(inner, known, texts, name)
    elif made.get("type") in ("object", None):
        made["x-kubernetes-preserve-unknown-fields"] = True
    elif made["type"] == "array":
        made["items"] = _structural(part["items"], known, texts, name.removesuffix("s"))
        made = _bounded(name, made)
    elif made["type"] == "string" and name.endswith(("Time", "ince", "repeated", "time")):
        made["format"] = "date-time"
    return made


def _bounded(name: str, made: dict[str, Any]) -> dict[str, Any]:
    return made | ({"maxItems": MOST[name]} if name in MOST else {})


def _classes(kind: type[msgspec.Struct]) -> dict[str, type]:
    found: dict[str, type] = {}
    stack: list[Any] = [kind]
    while stack:
        each = stack.pop()
        if (
            isinstance(each, type)
            and issubclass(each, msgspec.Struct)
            and each.__name__ not in found
        ):
            found[each.__name__] = each
            stack += [field.type for field in msgspec.structs.fields(each)]
        else:
            stack += [inner for inner in getattr(each, "__args__", ()) if inner is not ...]
    return found


def _texts(kind: type) -> dict[str, str]:
    """What the docstrings below its fields say, by the names in the object."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    found, last = {}, ""
    for node in getattr(body, "body", ()):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif (
            last in names
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found[names[last]] = " ".join(node.value.value.replace("``", "").split())
            last = ""
    return found


def text() -> str:
    """The file."""
    return HEAD + yaml.safe_dump(definition(), sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(text())
