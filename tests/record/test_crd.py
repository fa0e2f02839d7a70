"""The CRD: made from the types, and it knows whatever the controller writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import inspect, structs

from recovery.model.recovery import Debt, Recovery, RecoveryPhase
from recovery.record.codec import decode, encode
from recovery.record.kstatus import with_conditions
from tests.builders import NOW, a_recovery
from tools import crd

SCHEMA = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
AT = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)


def test_the_file_is_what_the_types_say() -> None:
    assert crd.TARGET.read_text() == crd.text(), "python -m tools.crd, and tools.chart after it"


def filled(kind: Any) -> Any:
    """A value of a type in which nothing is left at its default."""
    match kind:
        case inspect.StructType():
            return kind.cls(**{field.name: filled(field.type) for field in kind.fields})
        case inspect.UnionType():
            return filled(next(t for t in kind.types if not isinstance(t, inspect.NoneType)))
        case inspect.VarTupleType():
            return (filled(kind.item_type),)
        case inspect.DictType():
            return {"key": filled(kind.value_type)}
        case inspect.EnumType():
            return list(kind.cls)[-1]
        case inspect.DateTimeType():
            return AT
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 7
        case _:
            return "word"


def pruned(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """What the API server would take away, as it prunes by a structural schema."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if isinstance(value, dict):
        inner = schema.get("additionalProperties")
        known = schema.get("properties", {})
        return [
            lost
            for key, each in value.items()
            for lost in (
                pruned(each, inner or known[key], f"{path}.{key}")
                if inner or key in known
                else [f"{path}.{key}"]
            )
        ]
    if isinstance(value, list):
        return [lost for each in value for lost in pruned(each, schema["items"], f"{path}[]")]
    return []


def whole() -> Recovery:
    made: Recovery = filled(inspect.type_info(Recovery))
    step = structs.replace(made.steps[0], debt=Debt.open)
    move = structs.replace(made.relocations[0], phase=type(made.relocations[0].phase).Moved)
    return structs.replace(made, steps=(step,), relocations=(move,))


def test_nothing_that_is_written_is_taken_away() -> None:
    body = encode(whole(), "gitops-system")
    assert body["spec"]["holds"]
    assert body["spec"]["relocations"]
    assert body["status"]["notifications"]["pending"]
    body.pop("metadata")
    known = {"properties": {**SCHEMA["properties"], "apiVersion": {}, "kind": {}}}
    assert pruned(body, known) == []


def test_what_is_written_is_read_again() -> None:
    recovery = structs.replace(whole(), spec_outdated=False)
    raw = encode(recovery, "gitops-system")
    raw["metadata"]["generation"] = recovery.generation
    assert decode(msgspec.json.encode(raw)) == recovery


def test_times_are_named_so_and_checked_as_such() -> None:
    wrong: list[str] = []

    def look(part: dict[str, Any], path: str) -> None:
        for key, each in part.get("properties", {}).items():
            if key.endswith("At") or (key.endswith("Time") and each.get("format") != "date-time"):
                wrong.append(f"{path}.{key}")
            look(each, f"{path}.{key}")
        if "items" in part:
            look(part["items"], f"{path}[]")

    look(SCHEMA, "")
    assert wrong == []


@pytest.mark.parametrize(
    ("phase", "true"),
    [
        (RecoveryPhase.Remediating, "Reconciling"),
        (RecoveryPhase.Suppressed, "Reconciling"),
        (RecoveryPhase.BackingOff, "Reconciling"),
        (RecoveryPhase.Verifying, "Reconciling"),
        (RecoveryPhase.Stalled, "Stalled"),
        (RecoveryPhase.Resolved, "Ready"),
        (RecoveryPhase.Superseded, "Ready"),
    ],
)
def test_one_condition_is_true(phase: RecoveryPhase, true: str) -> None:
    found = with_conditions(structs.replace(a_recovery("cart-1", NOW), phase=phase), NOW)
    assert [c.type for c in found.conditions if c.status == "True"] == [true]
    assert {c.type for c in found.conditions} == {"Ready", "Reconciling", "Stalled"}


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    opened = structs.replace(a_recovery("cart-1", NOW), phase=RecoveryPhase.Remediating)
    first = with_conditions(opened, NOW)
    later = NOW + timedelta(minutes=5)
    same = with_conditions(structs.replace(first, message="still at it"), later)
    ended = with_conditions(structs.replace(same, phase=RecoveryPhase.Resolved), later)
    times = {c.type: c.last_transition_at for c in ended.conditions}
    assert {c.last_transition_at for c in same.conditions} == {NOW}
    assert times == {"Ready": later, "Reconciling": later, "Stalled": NOW}


def test_an_object_without_a_status_owes_what_its_spec_says() -> None:
    """A backup that was restored has lost its status."""
    body = encode(whole(), "gitops-system")
    del body["status"]
    found = decode(json.dumps(body).encode())
    assert (found.phase, found.reason, found.attempt) == (RecoveryPhase.Stalled, "NotClaimed", 0)
    assert [step.owes for step in found.steps] == [whole().steps[0].owes]
    assert found.debt is not None
    assert [move.goal for move in found.owed] == [whole().relocations[0].goal]


def test_the_chart_ships_the_same() -> None:
    chart = Path(crd.TARGET).parents[1] / "helm/crds/recoveries.yaml"
    assert yaml.safe_load(chart.read_text()) == crd.definition()
