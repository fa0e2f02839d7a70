"""The overlays' JSON patches: what is changed by its number in a list is what is meant.

A rule that is added to a Role moves all after it. ``test`` stands before each such change, so that
``kubectl kustomize`` refuses what does not fit any more; that it fits now is asked here, without a
kubectl.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).parents[1] / "manifests"
NUMBERED = re.compile(r"^(.*/\d+)(/|$)")


def patches() -> list[Any]:
    found = []
    for path in sorted(MANIFESTS.rglob("kustomization.yaml")):
        for patch in yaml.safe_load(path.read_text()).get("patches") or ():
            operations = yaml.safe_load(patch.get("patch") or "[]")
            if isinstance(operations, list):
                name = f"{path.parent.name}: {patch['target']['kind']}"
                found.append(pytest.param(patch["target"], operations, id=name))
    return found


def element(path: str) -> str:
    """The path up to its last number: the element of a list that is meant."""
    match = NUMBERED.match(path)
    return match[1] if match else ""


def meant(target: dict[str, str]) -> list[dict[str, Any]]:
    """The base's objects that the target selects."""
    every = [
        item
        for path in (MANIFESTS / "base").glob("*.yaml")
        for item in yaml.safe_load_all(path.read_text())
        if item
    ]
    return [
        item
        for item in every
        if target["kind"] == ("List" if "items" in item else item.get("kind"))
        and item["metadata"]["name"] == target.get("name", item["metadata"]["name"])
    ]


def at(item: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        item = item[int(part)] if part.isdecimal() else item[part]
    return item


@pytest.mark.parametrize(("target", "operations"), patches())
def test_what_is_changed_by_its_number_is_what_is_meant(
    target: dict[str, str], operations: list[dict[str, Any]]
) -> None:
    tested = {element(o["path"]): o for o in operations if o["op"] == "test"}
    for operation in operations:
        if operation["op"] in ("remove", "replace") and (where := element(operation["path"])):
            assert where in tested, f"{operation['path']}: say what it is, with op: test"
    for test in tested.values():
        items = meant(target)
        assert items, target
        for item in items:
            assert at(item, test["path"]) == test["value"], test["path"]


def test_an_overlay_that_changes_the_wrong_rule_is_found() -> None:
    role = {"kind": "Role", "name": "gitops-recovery-controller"}
    wrong = [
        {"op": "test", "path": "/rules/2/resources", "value": ["secrets"]},
        {"op": "remove", "path": "/rules/2"},
    ]
    for operations in (wrong, wrong[1:]):
        with pytest.raises(AssertionError):
            test_what_is_changed_by_its_number_is_what_is_meant(role, operations)
