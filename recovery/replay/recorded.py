"""Read the past from what was recorded: the controller's own log, a bundle, or the audit log of an
API server."""

from __future__ import annotations

import gzip
import sys
import tarfile
import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Protocol

import msgspec
from msgspec import Raw, Struct, field

from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.kube.lease import shard_of
from recovery.model.recorded import RecordedGroup, RecordedState
from recovery.observe import wire
from recovery.record.states import FLEET, LEADS, LOOKS_EVERY, RESTATED_EVERY, STATE, state_of
from recovery.replay.timeline import Change, Gap, Name

RESTATED_WITHIN = (RESTATED_EVERY + 15 * LOOKS_EVERY).total_seconds()
"""What is not well is written at least as often; seconds."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes; etcd takes 1.5 MiB of an object, and a list of them may be one line."""
AUDIT_WORDS = (b'"state"', b'"fleet"', b'"leads"', b'"effect"', b"audit.k8s.io/")
"""One of them is in every line that matters."""
THEIRS = "audit.k8s.io/"
NO_LOG_BEFORE = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
AHEAD = 86_400.0
"""Seconds by which a clock may be ahead of ours."""
MOST_APPLICATIONS = 1_000_000
WRITTEN_WITHIN = 180.0
"""Seconds in which a process that begins to write has written all that is not well."""
MOST_BYTES = 8 * 1024**3
"""Of a file that is unzipped."""
TAR_MAGIC = 257
"""Where the header of a tar archive says ``ustar``."""
LARGEST_READ = 16 * 1024**2
"""Bytes of a bundle that are asked for at once; no file in it is as large."""
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
    uid: str = ""
    api_version: str = field(default="", name="apiVersion")
    part: int = 0
    shards: tuple[int, ...] = ()
    count: int = 1
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
        self.leads: list[tuple[float, frozenset[int], int]] = []
        """From when on a process writes of which shards, of how many."""
        self.uids: dict[Name, str] = {}
        self._latest = datetime.now(UTC).timestamp() + AHEAD
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
        if begin < 0 or not any(word in line for word in AUDIT_WORDS):
            return
        if len(line) > LONGEST_LINE:
            self.broken += 1
            return
        try:
            found = _line.decode(line[begin:])
            if found.api_version.startswith(THEIRS):
                self._their_line(_event.decode(line[begin:]))
            else:
                self._our_line(found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
            self.broken += 1

    def _moment(self, at: datetime | None) -> float | None:
        """Seconds since 1970; None for a time that no log can be of."""
        try:
            moment = at.timestamp() if at is not None else 0.0
        except (OverflowError, ValueError):
            moment = 0.0
        if NO_LOG_BEFORE <= moment <= self._latest:
            return moment
        self.broken += 1
        return None

    def _our_line(self, line: _Line) -> None:
        if line.event != "effect" and line.kind not in (STATE, FLEET, LEADS):
            return
        at = self._moment(line.timestamp)
        if at is None:
            return
        if line.event == "effect":
            self.effects.append(Effect(at, line.subject, line.action))
            return
        self.moments.append(at)
        name = (line.namespace, line.name)
        if line.kind == FLEET:
            counted = sum(group.count for group in line.groups)
            wrong = any(group.count < 1 for group in line.groups) or counted > MOST_APPLICATIONS
            self.broken += wrong
            if not wrong:
                self.counts.append((at, line.part, line.groups))
        elif line.kind == LEADS:
            self.leads.append((at, frozenset(line.shards), max(line.count, 1)))
        elif line.state is not None or line.gone:
            self.uids[name] = line.uid or self.uids.get(name, "")
            self.changes.append(Change(at, name, line.state, gone=line.gone))

    def _their_line(self, event: _Event) -> None:
        for item in event.items:  # an EventList, as a webhook gets it; in one there is no other
            self._their_line(msgspec.structs.replace(_event.decode(item), items=()))
        about = event.object_ref
        if (
            about.resource != "applications"
            or about.api_group != "argoproj.io"
            or event.stage != "ResponseComplete"
            or event.verb not in READ
            or not 200 <= event.response_status.code < 300
        ):
            return
        if not bytes(event.response_object):
            self.bare += 1
            return
        at = self._moment(event.stage_timestamp)
        if at is None:
            return
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
            self.changes.append(Change(at, (about.namespace, about.name), None, gone=True))
            return
        if not app.finalizers:
            self.changes.append(Change(at, (app.namespace, app.name), None, gone=True))

    def _object(self, raw: Raw, at: float) -> None:
        try:
            app = wire.application(raw)
        except (msgspec.DecodeError, ValueError):
            self.broken += 1
            return
        name = (app.namespace, app.name)
        if app.deleting and not app.finalizers:
            self.changes.append(Change(at, name, None, gone=True))
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
        except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
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
        yield from _split(sys.stdin.buffer)
        return
    with Path(path).open("rb") as file:
        begin = file.read(2)
        file.seek(0)
        if begin != b"\x1f\x8b":
            yield from _split(file)
            return
        with gzip.open(file) as unzipped:
            bounded = _Bounded(unzipped)
            head = unzipped.read(TAR_MAGIC + 5)
            unzipped.seek(0)
            if head[TAR_MAGIC:] == b"ustar":
                with tarfile.open(fileobj=bounded, mode="r:") as bundle:  # type: ignore[call-overload]  # its read is all that is asked for
                    yield from _bundled(bundle)
            else:
                yield from _split(bounded)


class _Bounded:
    """A stream that is unzipped, and that may be a bomb. Raises ValueError where it is."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise ValueError(f"a part of it claims to have {size} bytes")
        return self._taken(self._file.read(size))

    def readline(self, size: int) -> bytes:
        return self._taken(self._file.readline(size))

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, place: int) -> int:
        self._passed(place - self._file.tell())
        return self._file.seek(place)

    def _taken(self, body: bytes) -> bytes:
        self._passed(len(body))
        return body

    def _passed(self, size: int) -> None:
        self._left -= max(size, 0)
        if self._left < 0:
            raise ValueError(f"it unzips to more than {MOST_BYTES >> 30} GiB")


class _Readline(Protocol):
    def readline(self, size: int, /) -> bytes: ...


def _split(file: _Readline) -> Iterator[bytes]:
    """Lines, of which one that is too long is passed over in pieces."""
    inside = False
    while line := file.readline(LONGEST_LINE + 1):
        ends = line.endswith(b"\n")
        if not inside:
            yield line
        inside = not ends and len(line) > LONGEST_LINE


def _bundled(bundle: tarfile.TarFile) -> Iterator[bytes]:
    for member in bundle:
        wanted = "/logs/" in member.name or "/states/" in member.name
        file: IO[bytes] | None = bundle.extractfile(member) if wanted and member.isfile() else None
        if file is not None:
            yield from _split(file)


def _in_order(reader: _Reader, since: float | None) -> Recording:
    changes = _once(sorted(reader.changes, key=lambda change: change.at))
    reader.moments.sort()
    times = [change.at for change in changes] + [at for at, _, _ in reader.counts]
    start, end = min(times), max(times)
    moments = reader.moments
    gaps = [Gap(a, b) for a, b in pairwise(moments) if b - a > RESTATED_WITHIN]
    if since is not None and since >= end:
        when = f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M}"
        raise Unreadable(f"--since: all of it is older; the newest line is of {when} UTC")
    if moments:
        changes = _ended(_taken_over(changes, reader), end)
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
        tuple(_bursts(sorted(set(reader.counts), key=lambda count: count[:2]))),
        tuple(sorted({e for e in reader.effects if e.at >= first}, key=lambda e: e.at)),
        tuple(gap for gap in gaps if gap.end > first),
        tuple(warnings),
        bool(moments),
    )


def _once(changes: list[Change]) -> list[Change]:
    """The same line may be in several files."""
    found: list[Change] = []
    last: dict[Name, Change] = {}
    for change in changes:
        if change != last.get(change.name):
            found.append(change)
        last[change.name] = change
    return found


def _taken_over(changes: list[Change], reader: _Reader) -> list[Change]:
    """The same with an end for what another process wrote of a shard: who begins to write of one
    writes all of it that is not well, and what is not written again was over by then."""
    found = list(changes)
    by_name: dict[Name, list[Change]] = {}
    for change in changes:
        by_name.setdefault(change.name, []).append(change)
    for at, shards, count in sorted(set(reader.leads)):
        for name, mine in by_name.items():
            if shard_of(reader.uids.get(name, ""), count) not in shards:
                continue
            place = bisect_left(mine, at, key=lambda change: change.at)
            before = mine[place - 1].state if place else None
            again = place < len(mine) and mine[place].at <= at + WRITTEN_WITHIN
            if before is not None and not before.well and not again:
                end = Change(at, name, None)
                found.append(end)
                insort(mine, end, key=lambda change: change.at)
    found.sort(key=lambda change: change.at)
    return found


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
    counts: Iterable[tuple[float, int, tuple[RecordedGroup, ...]]],
) -> Iterator[tuple[float, tuple[RecordedGroup, ...]]]:
    """The lines of one count belong together; where the first one is missing, none of it counts."""
    groups: list[RecordedGroup] = []
    begun, last = 0.0, -1
    for at, part, some in counts:
        if part <= last or part == 0:
            if groups:
                yield begun, tuple(groups)
            groups, last = [], -1
        if part == 0 or groups:
            begun = at if part == 0 else begun
            groups += some
            last = part
    if groups:
        yield begun, tuple(groups)
