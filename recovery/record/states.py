"""The recorder: one audit line for every change of an application's state, so that the past can be
judged by other policies later (``recovery replay FILE``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

import msgspec
import structlog

from recovery.decide.fingerprint import fingerprint
from recovery.model.application import Application
from recovery.model.cause import Diagnosis
from recovery.model.names import HOLD, SubjectKey
from recovery.model.recorded import RecordedGroup, RecordedState
from recovery.model.situation import HealthyRevision
from recovery.record.audit import AUDIT_VERSION

log = structlog.get_logger("audit")
STATE, FLEET, LEADS = "state", "fleet", "leads"
"""``kind`` of the lines: one application's state, how many share what, and which shards a process
writes of from then on."""
RESTATED_EVERY = timedelta(hours=6)
"""The fleet is counted, and what is not well is written again, so that a log of which the beginning
is lost tells the whole story soon."""
LOOKS_EVERY = timedelta(minutes=1)
"""For whether this replica leads."""
GROUPS_IN_LINE = 50
MAX_LABELS, MAX_TEXTS = 20, 5
LONGEST_FIELD, LONGEST_MARK = 200, 100
"""Characters."""
YIELDS_AFTER = 500
LINES_AN_HOUR = 60
"""Of one application: a flapping one must not push everybody else's lines out of the log."""
UNLIKE_ANY = -1
"""Differs from every state."""


def state_of(
    app: Application,
    finding: Diagnosis | None,
    good: HealthyRevision | None = None,
    ignored: str = "",
) -> RecordedState:
    """State of an application, what was diagnosed in it, and its newest deploy that worked."""
    operation, deploy, labels = app.operation, app.deploy, app.labels or {}
    state = RecordedState(
        sync=app.sync.value,
        health=app.health.value,
        auto_sync=app.auto_sync,
        project=app.project,
        server=app.destination.server,
        cluster=app.destination.name,
        namespace=app.destination.namespace,
        repositories=_few(app.repositories),
        self_heal=app.self_heal,
        operation=operation.phase.value if operation else "",
        operation_revisions=_few(operation.revisions) if operation else (),
        revisions=_few(app.revisions),
        deploy=deploy.id if deploy else None,
        deployed=_few(deploy.revisions) if deploy else (),
        cause=finding.what if finding else "",
        about=finding.about if finding else "",
        held=app.expected_out_of_sync,
        labels=dict(sorted(labels.items())[:MAX_LABELS]),
        marks=_marks(app.marks or {}),
        application_set=app.application_set,
        ignored=ignored[:LONGEST_FIELD],
    )
    if state.well and finding is None and not app.errors:
        return state
    return msgspec.structs.replace(
        state,
        fingerprint=fingerprint(app),
        good=good.history_id if good else None,
        good_revisions=_few(good.revisions) if good else (),
    )


class StateLog:
    """Writes the state of each application where it is first seen not to be well, and where it has
    changed. What is remembered of each is two numbers."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._written: dict[SubjectKey, int] = {}
        self._unwell: set[SubjectKey] = set()
        self._lines: dict[SubjectKey, int] = {}
        """Lines of this hour."""
        self._hour = 0

    def note(
        self,
        app: Application,
        finding: Diagnosis | None,
        good: HealthyRevision | None,
        ignored: str,
    ) -> None:
        """One pass has seen this application so; ``good`` is its newest deploy that worked."""
        key, state = app.key, state_of(app, finding, good, ignored)
        number, before = _number(state), self._written.get(key)
        if number == before:
            return
        if before is None and state.well:
            self._written[key] = number
            return
        if self._too_often(key):
            self._written[key] = UNLIKE_ANY  # it is written when the next hour has begun
            return
        self._written[key] = number
        (self._unwell.discard if state.well else self._unwell.add)(key)
        _write(key, uid=app.uid, state=msgspec.to_builtins(state))

    def gone(self, key: SubjectKey) -> None:
        """Write that it is deleted, which is certain."""
        self._unwell.discard(key)
        if self._written.pop(key, None) is not None:
            _write(key, gone=True)

    def restate(self) -> tuple[SubjectKey, ...]:
        """Write those that are not well again, as soon as they are looked at, which the caller sees
        to."""
        for key in self._unwell:
            self._written[key] = UNLIKE_ANY
        return tuple(self._unwell)

    def gained(self, shards: Iterable[int], count: int) -> None:
        """These shards of so many are ours from now on: whoever reads the log takes what another
        process has written of them, and we do not write again, to be over."""
        self._written.clear()
        self._unwell.clear()
        log.info(LEADS, audit=AUDIT_VERSION, kind=LEADS, shards=sorted(shards), count=count)

    def _too_often(self, key: SubjectKey) -> bool:
        hour = int(self._now().timestamp() // 3600)
        if hour != self._hour:
            self._hour = hour
            self._lines.clear()
        lines = self._lines[key] = self._lines.get(key, 0) + 1
        return lines > LINES_AN_HOUR


class FleetRecorder:
    """From time to time the whole: how many there are, and again what is not well."""

    def __init__(
        self,
        states: StateLog,
        apps: Callable[[], Iterable[Application]],
        leads: Callable[[], bool],
        again: Callable[[SubjectKey], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """``leads`` says whether what one replica does for all is ours; ``again`` has a subject
        looked at."""
        self._states = states
        self._apps = apps
        self._leads = leads
        self._again = again
        self._sleep = sleep

    async def run(self) -> None:
        """Count and restate until cancelled."""
        while True:
            counted = False
            for _ in range(RESTATED_EVERY // LOOKS_EVERY):
                if not counted and self._leads():
                    await self.count()
                    counted = True
                await self._sleep(LOOKS_EVERY.total_seconds())
            for key in self._states.restate():
                self._again(key)

    async def count(self) -> None:
        """Write how many applications share what; storms are shares of these. Others have their
        turn between two lines."""
        groups: Counter[tuple[str, str, str, tuple[str, ...], str]] = Counter()
        for number, app in enumerate(list(self._apps())):
            where = app.destination
            repositories = _few(app.repositories)
            groups[app.project, where.server, where.name, repositories, app.application_set] += 1
            if number % YIELDS_AFTER == 0:
                await self._sleep(0)
        rows = [RecordedGroup(count, *group) for group, count in groups.items()]
        for begin in range(0, len(rows), GROUPS_IN_LINE):
            shown = msgspec.to_builtins(rows[begin : begin + GROUPS_IN_LINE])
            log.info(FLEET, audit=AUDIT_VERSION, kind=FLEET, part=begin, groups=shown)
            await self._sleep(0)


def _few(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts of somebody else, as far as a line has room for them."""
    return tuple(text[:LONGEST_FIELD] for text, _ in zip(texts, range(MAX_TEXTS), strict=False))


def _marks(marks: dict[str, str]) -> dict[str, str]:
    """Annotations that bind a controller; a hold is told otherwise."""
    some = sorted((key, text) for key, text in marks.items() if key != HOLD)
    return {key: text[:LONGEST_MARK] for key, text in some[:MAX_LABELS]}


def _write(key: SubjectKey, **more: object) -> None:
    log.info(
        STATE,
        audit=AUDIT_VERSION,
        kind=STATE,
        subject=str(key),
        namespace=key.namespace,
        name=key.name,
        **more,
    )


def _number(state: RecordedState) -> int:
    # Mappings cannot be hashed; what cannot be told apart from day to day has no need to be.
    return hash(msgspec.json.encode(state))
