"""Advice: what is no error in a policy file, and still worth knowing."""

from __future__ import annotations

from datetime import timedelta

from recovery.model.application import Health, Phase, Sync
from recovery.model.duration import spell
from recovery.model.policy import Condition, Policy
from recovery.policies.grammar import Document

_ALL = "a log line and an Event are all"
_EVERY = (
    "every channel of the Secret recovery-channels is told; without one, a log line and an Event"
    " are all"
)
_SHORT = timedelta(seconds=30)
_NEVER = 500


def advice(document: Document, policies: list[Policy]) -> tuple[str, ...]:
    """One sentence a thing, the policies' in the file's order."""
    told = [f"policy {policy.name}: {words}" for policy in policies for words in _on(policy)]
    storm = document.guards.storm
    if storm.minimum >= _NEVER or (storm.fleet == storm.group == "100%" and storm.count >= _NEVER):
        told.append(
            "guards.storm: hardly anything is a storm any more; each of a hundred applications"
            " would be recovered by itself"
        )
    if storm.group == "0%" or storm.fleet == "0%":
        told.append(f"guards.storm: with 0% any {storm.minimum} that fall ill together are a storm")
    if not policies:
        told.append("there are no policies: nothing will ever be done")
    return tuple(told)


def _describes_health(condition: Condition) -> bool:
    """Is all that it asks for a state in which nothing is wrong?"""
    asked = {*condition.status, *condition.health, *condition.operation}
    return (
        bool(asked)
        and asked <= {Sync.Synced, Health.Healthy, Phase.Succeeded}
        and not condition.cause
    )


def _on(policy: Policy) -> list[str]:
    told = []
    named = sorted(
        {c for step in policy.actions for c in getattr(step.parameters, "channels", ())}
        | set(policy.channels)
    )
    if named:
        told.append(
            f"channels {', '.join(named)} have to be keys of the Secret recovery-channels; else"
            f" {_ALL}"
        )
    elif any(step.kind.speaks for step in policy.actions):
        told.append(f"no channel is named here or in defaults.channels: {_EVERY}")
    if _describes_health(policy.condition):
        told.append(f"{policy.condition} is what is healthy: none of its actions will ever fit")
    told += [
        f"selector.{field}: {glob!r} reads like a regular expression; it is a glob, such as 'web-*'"
        for field in ("projects", "namespaces", "names", "clusters")
        for glob in getattr(policy.selector, field)
        if set(glob) & set("^$|()+\\") or ".*" in glob or glob.count("[") != glob.count("]")
    ]
    if policy.condition.duration < _SHORT:
        told.append(
            f"acts after {spell(policy.condition.duration)}; every ordinary sync is OutOfSync or"
            " Progressing for longer"
        )
    return told
