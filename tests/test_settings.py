"""The environment table."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from recovery.settings import InvalidSettings, read_settings

README = Path(__file__).parent.parent / "README.md"


def test_defaults() -> None:
    settings = read_settings({})

    assert settings.argocd_server == "https://argocd-server.argocd.svc"
    assert (settings.enabled, settings.attempts, settings.interval) == (
        True,
        3,
        timedelta(seconds=300),
    )
    assert (settings.namespace, settings.policies, settings.channels) == (
        "gitops-system",
        "recovery-policies",
        "recovery-channels",
    )
    assert settings.listen == ("", 8080)
    assert settings.namespaces == ("argocd",)


def test_the_deployments_own_environment() -> None:
    settings = read_settings(
        {
            "ARGOCD_NAMESPACE": "argocd",
            "RECOVERY_ENABLED": "true",
            "MAX_RECOVERY_ATTEMPTS": "3",
            "RECOVERY_INTERVAL": "300s",
            "RECOVERY_IDENTITY": "controller-0",
        }
    )

    assert settings == read_settings({"RECOVERY_IDENTITY": "controller-0"})


def test_two_processes_have_two_names_by_themselves() -> None:
    assert read_settings({}).identity != read_settings({}).identity


@pytest.mark.parametrize(
    ("listed", "watched"),
    [
        ("", ("argocd",)),
        ("team-a, team-b", ("argocd", "team-a", "team-b")),
        ("team-*", ("",)),
        ("argocd", ("argocd",)),
    ],
)
def test_further_namespaces(listed: str, watched: tuple[str, ...]) -> None:
    assert read_settings({"ARGOCD_APPLICATION_NAMESPACES": listed}).namespaces == watched


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RECOVERY_ENABLED", "maybe", "neither true nor false"),
        ("MAX_RECOVERY_ATTEMPTS", "0", "whole number from 1 to 1000"),
        ("MAX_RECOVERY_ATTEMPTS", "three", "whole number"),
        ("RECOVERY_INTERVAL", "300", "not a Go duration"),
        ("RECOVERY_INTERVAL", "-5m", "not a Go duration"),
        ("RECOVERY_INTERVAL", "1ms", "shorter than 1s"),
        ("RECOVERY_LISTEN", "8080", "not HOST:PORT"),
        ("RECOVERY_LISTEN", "0.0.0.0:99999", "not HOST:PORT"),
        ("RECOVERY_LOG_LEVEL", "loud", "not one of"),
        ("ARGOCD_SERVER", "argocd-server", "not a URL"),
        ("RECOVERY_SHARDS", "33", "at most 32"),
        ("RECOVERY_SHARDS", "many", "whole number"),
        ("RECOVERY_LEASE", "No Name", "no name for a Lease"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name}.*{words}"):
        read_settings({name: value})


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings({"RECOVERY_ENABLED": "x", "MAX_RECOVERY_ATTEMPTS": "x"})

    assert len(str(caught.value).splitlines()) == 2
