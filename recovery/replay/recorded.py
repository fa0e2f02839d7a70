"""Read the past from what was recorded: the controller's own log, a bundle, or the audit log of an
API server."""

from __future__ import annotations

import gzip
import sys
import tarfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Raw, Struct

from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.model.recorded import RecordedGroup, RecordedState
from recovery.observe import wire
from recovery.record.states import FLEET, LOOKS_EVERY, RESTATED_EVERY, STATE, state_of
from recovery.replay.timeline import Change, Gap, Name

RESTATED_WITHIN = (RESTATED_EVERY + 15 * LOOKS_EVERY).total_seconds()
"""What is not well is written at least as often; seconds."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes; etcd takes 1.5 MiB of an object, and a list of them may be one line."""
AUDIT_WORDS = (b'"state"', b'"fleet"', b'"effect"')
THEIRS = b"audit.k8s.io/"
READ = ("get", "list", "create", "update", "patch", "delete")
"""Verbs whose response has the object."""


class Unreadable(Exception):
    """A file cannot be read, or has nothing of what is looked for; in words for people."""


class Effect(Struct, frozen=True):
    """A step that was carried out then."""

    at: float
    subject: str
    action: str


class Recording(Struct, frozen=True):
    """The past, in order; times are seconds since 1970, UTC."""

    start: float
    end: float
    changes: tuple[Change, ...]
    counts: tuple[tuple[float, tuple[RecordedGroup, ...]], ...]
    """How many applications share what, from then on."""
    effects: tuple[Effect, ...]
    gaps: tuple[Gap, ...]
    warnings: tuple[str, ...]
    ours: bool
    """Recorded by a controller, which tells of its own steps, too."""


class _Line(Struct):
    """A line of the controller's log."""

    kind: str = ""
    event: str = ""
    timestamp: datetime | None = None
    namespace: str = ""
    name: str = ""
    subject: str = ""
    action: str = ""
    part: int = 0
    gone: bool = False
    state: RecordedState | None = None
    groups: tuple[RecordedGroup, ...] = ()


class _Object(Struct, frozen=True, rename="camel"):
    resource: str = ""
    api_group: str = ""
    namespace: str = ""
    name: str = ""


class _Status(Struct, frozen=True):
    code: int = 0


class _Event(Struct, rename="camel"):
    """An event of an API server's audit log (audit.k8s.io/v1)."""

    kind: str = ""
    level: str = ""
    stage: str = ""
    verb: str = ""
    stage_timestamp: datetime | None = None
    object_ref: _Object = _Object()
    response_status: _Status = _Status()
    response_object: Raw = Raw(b"")
    items: tuple[Raw, ...] = ()


class _Kind(Struct):
    kind: str = ""


_kind = msgspec.json.Decoder(_Kind)
_line, _event = msgspec.json.Decoder(_Line), msgspec.json.Decoder(_Event)


class _Reader:
    """Takes lines of any kind, in any order."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.counts: list[tuple[float, int, tuple[RecordedGroup, ...]]] = []
        self.effects: list[Effect] = []
        self.moments: list[float] = []
        """At which a controller was seen to live."""
        self.lines = 0
        self.broken = 0
        self.bare = 0
        """Events of Applications without the object."""

    def take(self, line: bytes) -> None:
        """A line; what is before the first brace, such as a pod's name, is passed over."""
        self.lines += 1
        begin = line.find(b"{")
        if begin < 0 or len(line) > LONGEST_LINE:
            self.broken += len(line) > LONGEST_LINE
            return
        theirs = THEIRS in line
        if not theirs and not any(word in line for word in AUDIT_WORDS):
            return
        try:
            if theirs:
                self._their_line(_event.decode(line[begin:]))
            else:
                self._our_line(_line.decode(line[begin:]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.broken += 1

    def _our_line(self, line: _Line) -> None:
        if line.timestamp is None:
            return
        at = line.timestamp.timestamp()
        if line.event == "effect":
            self.effects.append(Effect(at, line.subject, line.action))
        elif line.kind == FLEET:
            self.moments.append(at)
            self.counts.append((at, line.part, line.groups))
        elif line.kind == STATE and (line.state is not None or line.gone):
            self.moments.append(at)
            self.changes.append(Change(at, (line.namespace, line.name), line.state))

    def _their_line(self, event: _Event) -> None:
        for item in event.items:  # an EventList, as a webhook gets it
            self._their_line(_event.decode(item))
        about = event.object_ref
        if (
            about.resource != "applications"
            or about.api_group != "argoproj.io"
            or event.stage != "ResponseComplete"
            or event.stage_timestamp is None
            or event.verb not in READ
            or not 200 <= event.response_status.code < 300
        ):
            return
        if not bytes(event.response_object):
            self.bare += 1
            return
        at = event.stage_timestamp.timestamp()
        kind = _kind.decode(event.response_object).kind
        if event.verb == "delete":
            self._deleted(event, at)
        elif kind == "ApplicationList":
            for item in wire.listed(bytes(event.response_object)).items:
                self._object(item, at)
        elif kind == "Application":  # and no Table of it, no PartialObjectMetadata
            self._object(event.response_object, at)

    def _deleted(self, event: _Event, at: float) -> None:
        about = event.object_ref
        try:
            app = wire.application(event.response_object)
        except (msgspec.DecodeError, ValueError):  # it answers with a Status
            self.changes.append(Change(at, (about.namespace, about.name), None))
            return
        gone = not app.finalizers
        if gone:
            self.changes.append(Change(at, (app.namespace, app.name), None))

    def _object(self, raw: Raw, at: float) -> None:
        try:
            app = wire.application(raw)
        except (msgspec.DecodeError, ValueError):
            self.broken += 1
            return
        name = (app.namespace, app.name)
        if app.deleting and not app.finalizers:
            self.changes.append(Change(at, name, None))
            return
        now = datetime.fromtimestamp(at, UTC)
        state = state_of(app, diagnose(DiagnosisInput(app, now)))
        self.changes.append(Change(at, name, state))


def read_files(paths: Iterable[str], since: float | None = None) -> Recording:
    """All of these files as one; ``-`` is standard input. Unreadable where one cannot be read, or
    where there is nothing in them."""
    reader, names = _Reader(), list(paths)
    for path in names:
        try:
            for line in _lines(path):
                reader.take(line)
        except (OSError, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise Unreadable(f"{path}: {words}") from error
    if not reader.changes and not reader.counts:
        raise Unreadable(_nothing(reader, names))
    return _in_order(reader, since)


def _nothing(reader: _Reader, names: list[str]) -> str:
    if reader.bare:
        return (
            f"{', '.join(names)}: {reader.bare} events of Applications, none with the object: the"
            " audit policy has to log applications.argoproj.io at level RequestResponse"
        )
    return (
        f"{', '.join(names)}: no state in {reader.lines} lines; give the controller's log as JSON"
        ' (lines with "kind": "state"), a bundle, or the audit log of an API server'
    )


def _lines(path: str) -> Iterator[bytes]:
    if path == "-":
        yield from sys.stdin.buffer
        return
    with Path(path).open("rb") as file:
        begin = file.read(2)
        file.seek(0)
        if begin != b"\x1f\x8b":
            yield from file
            return
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as bundle:
                yield from _bundled(bundle)
            return
        except tarfile.ReadError:
            file.seek(0)
        with gzip.open(file) as unzipped:
            yield from unzipped


def _bundled(bundle: tarfile.TarFile) -> Iterator[bytes]:
    for member in bundle:
        wanted = "/logs/" in member.name or "/states/" in member.name
        file: IO[bytes] | None = bundle.extractfile(member) if wanted and member.isfile() else None
        if file is not None:
            yield from file


def _in_order(reader: _Reader, since: float | None) -> Recording:
    reader.changes.sort(key=lambda change: change.at)
    reader.moments.sort()
    times = [change.at for change in reader.changes] + [at for at, _, _ in reader.counts]
    start, end = min(times), max(times)
    moments = reader.moments
    gaps = [Gap(a, b) for a, b in pairwise(moments) if b - a > RESTATED_WITHIN]
    changes = reader.changes if not moments else _ended(reader.changes, end)
    warnings = []
    if reader.broken:
        warnings.append(f"{reader.broken} lines cannot be read, and are left out")
    if reader.bare:
        warnings.append(f"{reader.bare} events of Applications have no object, and are left out")
    first = start if since is None else max(start, since)
    return Recording(
        first,
        end,
        tuple(_from(changes, first)),
        tuple(_bursts(reader.counts)),
        tuple(sorted((e for e in reader.effects if e.at >= first), key=lambda e: e.at)),
        tuple(gap for gap in gaps if gap.end > first),
        tuple(warnings),
        bool(moments),
    )


def _ended(changes: list[Change], end: float) -> list[Change]:
    """The same with an end for what was not well and is not written again in time: it was well by
    then, or nobody looked. It counts for as long as it is known to have lasted."""
    last: dict[Name, Change] = {}
    found = list(changes)
    for change in (*changes, *(Change(end, name, None) for name in {c.name for c in changes})):
        before = last.get(change.name)
        ill = before is not None and before.state is not None and not before.state.well
        if before is not None and ill and change.at - before.at > RESTATED_WITHIN:
            found.append(Change(before.at + 1, change.name, None))
        last[change.name] = change
    found.sort(key=lambda change: change.at)
    return found


def _from(changes: list[Change], first: float) -> Iterator[Change]:
    """From then on, with what was so at that moment."""
    was = {change.name: change for change in changes if change.at < first}
    for change in was.values():
        yield change._replace(at=first)
    yield from (change for change in changes if change.at >= first)


def _bursts(
    counts: list[tuple[float, int, tuple[RecordedGroup, ...]]],
) -> Iterator[tuple[float, tuple[RecordedGroup, ...]]]:
    """The lines of one count belong together; a part 0 begins the next one."""
    groups: list[RecordedGroup] = []
    begun = 0.0
    for at, part, some in sorted(counts, key=lambda count: (count[0], count[1])):
        if part == 0 and groups:
            yield begun, tuple(groups)
            groups = []
        begun = at if part == 0 else begun
        groups += some
    if groups:
        yield begun, tuple(groups)
