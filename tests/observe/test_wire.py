"""Applications as they come over the wire, also absurd ones."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.model.application import Health, Hold, Phase, Sync, left_to
from recovery.model.connection import ident
from recovery.model.redact import redact
from recovery.observe import wire
from recovery.simulate.cluster import merged
from tests.builders import an_application

BARE: dict[str, Any] = {
    "metadata": {"name": "cart", "namespace": "argocd", "uid": "u", "resourceVersion": "7"}
}


def read(**fields: Any) -> Any:
    return wire.application(json.dumps(merged(BARE, fields)).encode())


def test_a_bare_application_reads_as_unknown() -> None:
    app = read()

    assert (app.sync, app.health, app.revisions, app.operation, app.deploy) == (
        Sync.Unknown,
        Health.Unknown,
        (),
        None,
        None,
    )
    assert not app.auto_sync


def test_a_whole_application() -> None:
    app = read(
        metadata={
            "labels": {"tier": "web"},
            "annotations": {
                "argocd.argoproj.io/tracking-id": "parent:argoproj.io/Application:argocd/cart",
                "recovery.gitops.dev/paused": "true",
                "kubectl.kubernetes.io/last-applied-configuration": "x" * 10_000,
            },
            "ownerReferences": [{"kind": "ApplicationSet", "name": "all", "controller": True}],
        },
        spec={
            "project": "shop",
            "source": {"repoURL": "https://ada:secret@git.example/cart.git"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
        status={
            "sync": {"status": "OutOfSync", "revision": "abc"},
            "health": {"status": "Degraded", "lastTransitionTime": "2026-03-02T11:00:00Z"},
            "conditions": [
                {"type": "SyncError", "message": "failed: https://ada:secret@git.example refused"}
            ],
            "operationState": {
                "phase": "Failed",
                "message": "one or more tasks",
                "startedAt": "2026-03-02T10:00:00Z",
                "operation": {
                    "initiatedBy": {"username": "gitops-recovery-controller"},
                    "info": [{"name": "recovery.gitops.dev/recovery", "value": "cart-1/1.1"}],
                },
                "syncResult": {
                    "revision": "abc",
                    "resources": [
                        {"kind": "Widget", "name": "w", "status": "SyncFailed", "message": "no CRD"}
                    ],
                },
            },
            "history": [
                {"id": 1, "revision": "old"},
                {"id": 2, "revision": "abc", "deployedAt": "2026-03-02T09:00:00Z"},
            ],
            "resources": [{"kind": "Deployment", "name": "cart"}],
        },
    )

    assert (app.sync, app.health, app.health_since) == (
        Sync.OutOfSync,
        Health.Degraded,
        datetime(2026, 3, 2, 11, tzinfo=UTC),
    )
    assert app.repositories == ("https://***@git.example/cart.git",)
    assert "secret" not in app.conditions[0].message
    assert app.parent == "argocd/parent"
    assert app.application_set == "all"
    assert app.marks == {"recovery.gitops.dev/paused": "true"}
    assert app.operation.phase is Phase.Failed
    assert app.operation.recovery == "cart-1/1.1"
    assert app.operation.failures == ("Widget/w: no CRD",)
    assert (app.deploy.id, app.history) == (2, (1, 2))
    assert app.auto_sync
    assert app.auto_prune
    assert app.self_heal


def test_two_sources_have_two_revisions() -> None:
    app = read(
        spec={"sources": [{"repoURL": "a"}, {"repoURL": "b"}]},
        status={"sync": {"status": "Synced", "revisions": ["1", "2"]}},
    )

    assert (app.repositories, app.revisions) == (("a", "b"), ("1", "2"))


@pytest.mark.parametrize(
    ("automated", "on"),
    [
        pytest.param({}, True, id="present is on"),
        pytest.param({"enabled": True}, True, id="enabled"),
        pytest.param({"enabled": False}, False, id="switched off (3.1 and later)"),
        pytest.param(None, False, id="absent is off"),
    ],
)
def test_auto_sync(automated: Any, on: bool) -> None:
    assert (
        read(
            spec={"syncPolicy": {"automated": automated} if automated is not None else {}}
        ).auto_sync
        is on
    )


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            {"sync": {"status": "Sideways"}, "health": {"status": "Purple"}}, id="unknown words"
        ),
        pytest.param(
            {"health": {"status": "Healthy", "lastTransitionTime": "yesterday"}},
            id="an absurd time",
        ),
        pytest.param(
            {"health": {"status": "Healthy", "lastTransitionTime": "0001-01-01T00:00:00+14:00"}},
            id="a time before all time",
        ),
        pytest.param(
            {"operationState": {"phase": "Levitating", "startedAt": "", "finishedAt": "never"}},
            id="an absurd operation",
        ),
        pytest.param({"history": [], "resources": None, "conditions": None}, id="nulls"),
    ],
)
def test_absurd_values_read_as_unknown(status: dict[str, Any]) -> None:
    app = read(status=status)

    assert app.sync is Sync.Unknown
    assert app.health_since is None


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"metadata": 3}', b'{"metadata": {"name": "a"}, "status": "well"}', b"\xff"],
)
def test_what_cannot_be_read_at_all_says_so(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        wire.application(body)


@pytest.mark.parametrize(
    ("resources", "ours"),
    [
        ([{"kind": "Deployment", "name": "argocd-server"}], True),
        ([{"kind": "StatefulSet", "name": "argocd-application-controller"}], True),
        ([{"kind": "CustomResourceDefinition", "name": "applications.argoproj.io"}], True),
        ([{"kind": "Deployment", "name": "gitops-recovery-controller"}], True),
        ([{"kind": "ConfigMap", "name": "argocd-server"}], False),
    ],
)
def test_the_control_plane_is_recognised(resources: list[dict[str, str]], ours: bool) -> None:
    assert read(status={"resources": resources}).control_plane is ours


def test_a_hold_is_read_back_and_a_broken_one_is_reported() -> None:
    hold = Hold(recovery="cart-1", uid="u", bad=("abc",), suspended=True)
    good = read(
        metadata={"annotations": {"recovery.gitops.dev/hold": msgspec.json.encode(hold).decode()}}
    )
    broken = read(metadata={"annotations": {"recovery.gitops.dev/hold": "{broken"}})

    assert (good.hold, good.unreadable) == (hold, "")
    assert broken.hold is None
    assert broken.unreadable


@pytest.mark.parametrize(
    ("spec", "leaves"),
    [
        pytest.param({}, "", id="reverts by default"),
        pytest.param(
            {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy"]}]},
            "one two",
            id="ignores syncPolicy",
        ),
        pytest.param(
            {
                "ignoreApplicationDifferences": [
                    {"name": "one", "jsonPointers": ["/spec/syncPolicy"]}
                ]
            },
            "one",
            id="for one application only",
        ),
        pytest.param(
            {
                "ignoreApplicationDifferences": [
                    {"jqPathExpressions": [".spec.syncPolicy.automated"]}
                ]
            },
            "one two",
            id="by jq",
        ),
        pytest.param(
            {"syncPolicy": {"applicationsSync": "create-only"}}, "one two", id="create-only"
        ),
        pytest.param(
            {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/destination"]}]},
            "",
            id="another field",
        ),
    ],
)
def test_what_an_application_set_leaves_alone(spec: dict[str, Any], leaves: str) -> None:
    found = wire.application_set(json.dumps({"metadata": {"name": "all"}, "spec": spec}).encode())

    assert [
        name
        for name in ("one", "two")
        if left_to(found.leaves_sync_policy, an_application(name=name))
    ] == leaves.split()


@pytest.mark.parametrize(
    "secret",
    [
        "https://ada:hunter2@git.example/x.git",
        "Authorization: Bearer abcdefghijklmnop1234",
        "token=abcdef0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_11ABCabcdef0123456789_abcdefhunter2",
        "https://ada:hun@hunter2@git.example/x.git",
        "AWS_SECRET_ACCESS_KEY=abcdefhunter2",
        "secretKey: abcdefhunter2",
        "--password hunter2abcdef",
        "Authorization: token abcdefhunter2",
        "https://hooks.slack.com/services/T0/B0/abcdefhunter2",
        "https://hunter2abcdef@git.example/x.git",
        "https://x-token-auth:abcdefhunter2@bitbucket.org/x.git",
    ],
)
@pytest.mark.parametrize(
    "held",
    [(), ("https://x",), ("https://hunter2abcdef@git.example/x.git",)],
    ids=["", "a beginning", "all of it"],
)
def test_credentials_go_no_further(
    secret: str, held: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recovery.model.redact._held", set(held))
    said = redact(f"failed: {secret} (retry)", 500)

    for part in ("hunter2", "abcdef", "MIIEow", "c2lnbmF0dXJl"):
        assert part not in said
    assert said.startswith("failed: ")


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@github.com/org/repo.git",
        "https://org@dev.azure.com/org/_git/repo",
        "git@git.example:shop.git",
    ],
)
def test_a_name_alone_in_a_url_is_no_credential(url: str) -> None:
    assert redact(url, 300) == url


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://Git.example/Shop.git", "https://git.example/shop"),
        ("git@git.example:shop.git", "ssh://git@git.example/shop"),
        ("ssh://git@git.example/shop.git", "git@git.example/shop"),
        (" https://git.example/shop ", "https://git.example/shop.git"),
    ],
)
def test_repositories_are_the_same_as_argo_cd_compares_them(url: str, same: str) -> None:
    assert ident(url) == ident(same)
    assert ident(url, "shop") != ident(url)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "metadata",
                        "spec",
                        "status",
                        "sync",
                        "health",
                        "status",
                        "operationState",
                        "history",
                        "resources",
                        "conditions",
                        "phase",
                        "annotations",
                        "name",
                    ]
                ),
                c,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
@settings(max_examples=300, deadline=None)
def test_no_object_crashes_the_decoder(body: Any) -> None:
    with contextlib.suppress(wire.Unreadable):
        wire.application(json.dumps(body).encode())
