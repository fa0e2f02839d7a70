"""Listens to the embedded cluster, the controller's audit lines and its messages."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from msgspec import structs

from recovery.kube.client import APPLICATIONS, RECOVERIES, Resource
from recovery.model.message import Message
from recovery.model.names import SubjectKey
from recovery.model.recovery import Recovery, StepRecord
from recovery.policytest.observation import Observation, Of, Seen
from recovery.record.codec import decode
from recovery.simulate.cluster import Object

_KINDS = {"Application": "app", "Cluster": "cluster", "Repository": "repository"}


class Observer:
    """Writes down what happens, as it happens."""

    def __init__(
        self, observation: Observation, now: Callable[[], timedelta], owner: Callable[[str], str]
    ) -> None:
        """``now``: since the test began. ``owner``: the application whose repository a URL is."""
        self._observation = observation
        self._now = now
        self._owner = owner
        self._lasting: dict[tuple[Any, ...], Seen] = {}
        self._steps: dict[tuple[str, int, int], Seen] = {}
        self.recoveries: dict[str, Recovery] = {}

    def heard(self, what: Resource, kind: str, item: Object) -> None:
        """A change of the cluster."""
        if kind == "DELETED":
            return
        if what == RECOVERIES and item.get("status"):
            self._recovery(decode(msgspec.json.encode(item)))
        elif what == APPLICATIONS:
            status = item.get("status") or {}
            words = [(status.get(field) or {}).get("status", "") for field in ("sync", "health")]
            if state := " ".join(filter(None, words)):
                name = item["metadata"]["name"]
                self._last(("state", name), Of.state, "app", name, state)

    def log_line(
        self, _: Any, __: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """A processor of structlog: reads the audit lines, and lets no line out."""
        if event.get("audit") and event.get("event") == "decision":
            self._decision(event)
        raise structlog.DropEvent

    def wrote(self, name: str, what: str) -> None:
        """The controller wrote to something that is no record of its own."""
        self._note(Of.write, "app", name, what)

    def told(self, channel: str, message: Message) -> None:
        """A message reached a channel."""
        kind, name = self._subject(message.subject)
        severity = "resolved" if message.resolves else message.severity
        recovery = self.recoveries.get(message.incident)
        seen = self._note(
            Of.told,
            kind,
            name,
            channel,
            message=message.title,
            severity=severity,
            policy=recovery.policy if recovery else "",
        )
        seen.result = message.body

    def _subject(self, key: SubjectKey | None) -> tuple[str, str]:
        if key is None:
            return "", ""
        if key.kind == "repository":
            return "repository", self._owner(key.name)
        return ("cluster" if key.kind == "cluster" else "app"), key.name

    def _decision(self, event: MutableMapping[str, Any]) -> None:
        kind, _, name = str(event["subject"]).partition("/")
        if kind in ("storm", "shard"):
            name = str(event["subject"])
        elif kind not in ("cluster", "repository"):
            kind = "app"
        name = self._owner(name) if kind == "repository" else name
        policy, decision = str(event.get("policy", "")), event["decision"]
        if decision == "Rest":
            self._end(lambda key: key[:3] == ("decision", kind, name))
            return
        self._observation.met.add(policy)
        refused = decision == "Suppress"
        waits = event.get("reason") == "Pending"
        of = Of.refused if refused else Of.pending
        key = ("decision", kind, name, policy)
        if not refused and not waits:
            self._end(lambda known: known == key)
            return
        what = str(event.get("by") or event.get("reason") or "")
        self._last(key, of, kind, name, what, policy=policy, message=str(event["message"]))

    def _recovery(self, recovery: Recovery) -> None:
        old = self.recoveries.get(recovery.name)
        self.recoveries[recovery.name] = recovery
        self._observation.opened.add(recovery.policy)
        self._observation.met.add(recovery.policy)
        subject = recovery.subject
        kind = _KINDS.get(subject.kind, "")
        name = self._owner(subject.name) if kind == "repository" else subject.name
        for step in recovery.steps:
            self._step(recovery, step, kind, name)
        if old is None or (old.phase, old.reason) != (recovery.phase, recovery.reason):
            self._last(
                ("phase", recovery.name),
                Of.phase,
                kind,
                name,
                recovery.phase.value,
                policy=recovery.policy,
                message=f"{recovery.reason}: {recovery.message}",
            )

    def _step(self, recovery: Recovery, step: StepRecord, kind: str, name: str) -> None:
        key = (recovery.name, step.attempt, step.index)
        if key not in self._steps:
            if step.outcome is not None and not step.sent:
                return  # left out: nothing was begun
            self._steps[key] = self._note(
                Of.action, kind, name, step.action, policy=recovery.policy
            )
        seen = self._steps[key]
        if step.outcome is not None and not seen.result:
            seen.result, seen.until = step.outcome.value, self._now()
            seen.message = step.message or step.reason

    def _last(
        self, key: tuple[Any, ...], of: Of, kind: str, name: str, what: str, **more: str
    ) -> None:
        """Something that lasts until the next of its key."""
        before = self._lasting.get(key)
        if before is not None:
            if (before.of, before.what) == (of, what) and of is not Of.phase:
                return
            before.until = self._now()
        self._lasting[key] = self._note(of, kind, name, what, **more)

    def _end(self, ends: Callable[[tuple[Any, ...]], bool]) -> None:
        for key in [key for key in self._lasting if ends(key)]:
            self._lasting.pop(key).until = self._now()

    def _note(self, of: Of, kind: str, name: str, what: str, **more: str) -> Seen:
        seen = structs.replace(Seen(of, kind, name, self._now(), what), **more)
        self._observation.seen.append(seen)
        return seen
