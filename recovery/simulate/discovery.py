"""Discovery: what the embedded API server says of itself: groups, kinds, and tables as kubectl
prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recovery.kube.client import (
    APPLICATION_SETS,
    APPLICATIONS,
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    PROJECTS,
    RECOVERIES,
    SECRETS,
    Resource,
)
from recovery.model.duration import elapsed

DISCOVERED_KINDS: dict[Resource, tuple[str, tuple[str, ...]]] = {
    APPLICATIONS: ("Application", ("app", "apps")),
    PROJECTS: ("AppProject", ("appproj", "appprojs")),
    APPLICATION_SETS: ("ApplicationSet", ("appset", "appsets")),
    RECOVERIES: ("Recovery", ("rcv",)),
    CONFIG_MAPS: ("ConfigMap", ("cm",)),
    SECRETS: ("Secret", ()),
    EVENTS: ("Event", ("ev",)),
    LEASES: ("Lease", ()),
}
"""Each with its kind and short names (argo-cd manifests/crds; manifests/crds/recoveries.yaml)."""
AGE = ".metadata.creationTimestamp"
SINGULAR = {"Recovery": "recovery"}
_OF_A_LIST = re.compile(
    r'\.status\.(?P<list>\w+)\[\?\(@\.type=="(?P<type>\w+)"\)\](?P<field>\.\w+)'
)
COLUMNS: dict[Resource, tuple[tuple[str, str], ...]] = {
    APPLICATIONS: (
        ("Sync Status", ".status.sync.status"),
        ("Health Status", ".status.health.status"),
    ),
    RECOVERIES: (
        ("Subject", ".spec.subject.name"),
        ("Policy", ".spec.policy"),
        ("Cause", ".status.cause"),
        ("Phase", ".status.phase"),
        ("Stalled", '.status.conditions[?(@.type=="Stalled")].status'),
        ("Attempt", ".status.attempt"),
        ("Age", AGE),
        ("Message", ".status.message"),
    ),
}
"""What ``kubectl get`` shows besides the name: the CRDs' additionalPrinterColumns; of kinds without
any, the age."""
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


def discovered(path: str) -> dict[str, Any] | None:
    """The answer to GET of a path of discovery; None for any other path."""
    parts = tuple(part for part in path.split("/") if part)
    groups = sorted({(what.group, what.version) for what in DISCOVERED_KINDS if what.group})
    match parts:
        case ("version",):
            return {
                "major": "1",
                "minor": "31",
                "gitVersion": "v1.31.0-embedded",
                "platform": "linux/amd64",
            }
        case ("api",):
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ("api", "v1"):
            return _resources("", "v1")
        case ("apis",):
            return {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [_group(*each) for each in groups],
            }
        case ("apis", group) if any(group == known for known, _ in groups):
            return {
                "kind": "APIGroup",
                "apiVersion": "v1",
                **_group(group, next(v for g, v in groups if g == group)),
            }
        case ("apis", group, version) if (group, version) in groups:
            return _resources(group, version)
    return None


def _group(group: str, version: str) -> dict[str, Any]:
    this = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [this], "preferredVersion": this}


def _resources(group: str, version: str) -> dict[str, Any]:
    served = [
        {
            "name": what.plural,
            "singularName": SINGULAR.get(kind, kind.lower()),
            "namespaced": True,
            "kind": kind,
            "verbs": VERBS,
            "shortNames": short,
        }
        for what, (kind, short) in DISCOVERED_KINDS.items()
        if (what.group, what.version) == (group, version)
    ]
    where = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": where,
        "resources": served,
    }


def table(
    what: Resource, items: list[dict[str, Any]], version: str, now: datetime
) -> dict[str, Any]:
    """As meta.k8s.io/v1 Table, which kubectl asks for."""
    columns = COLUMNS.get(what, (("Age", AGE),))
    defined = [("Name", "name"), *((title, "") for title, _ in columns)]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {"name": t, "type": "string", "format": f, "description": "", "priority": 0}
            for t, f in defined
        ],
        "rows": [
            {
                "cells": [
                    item["metadata"]["name"],
                    *(_age(item, now) if path == AGE else _at(item, path) for _, path in columns),
                ],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": item["metadata"],
                },
            }
            for item in items
        ],
    }


def _at(item: Mapping[str, Any], path: str) -> str:
    value: Any = item
    if found := _OF_A_LIST.fullmatch(path):
        entries = item.get("status", {}).get(found["list"]) or ()
        value = next((e for e in entries if e.get("type") == found["type"]), {})
        path = found["field"]
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _age(item: Mapping[str, Any], now: datetime) -> str:
    made = item["metadata"].get("creationTimestamp")
    if not made:
        return "<unknown>"
    return elapsed(now - datetime.fromisoformat(made).astimezone(UTC))
