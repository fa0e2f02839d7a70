"""State of subjects, kept in ConfigMaps: clocks, first sights, healthy revisions."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from msgspec import Struct, structs

from recovery.clock import Clock
from recovery.decide.totals import Totals
from recovery.kube.client import CONFIG_MAPS, Client
from recovery.kube.errors import NotFound
from recovery.model.recovery import Recovery
from recovery.model.situation import SubjectState, unwatched
from recovery.record.codec import stamp

log = structlog.get_logger(__name__)

CHECKPOINT_INTERVAL = 15.0
"""Seconds between two writes, at least; what a crash can lose."""
PER_BUCKET = 1000
FITS = 700_000
"""Compressed bytes of one part: a ConfigMap takes 1 MiB, and they are written as base64."""
CHECKPOINT_LABEL = "recovery.gitops.dev/checkpoint"
CHECKPOINT_FORMAT = 1


NO_TOTALS = msgspec.Raw(b"null")


class _Meta(Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _ConfigMap(Struct, rename="camel"):
    metadata: _Meta
    binary_data: dict[str, str] | None = None


class _List(Struct):
    items: list[_ConfigMap] = []


class _Content(Struct):
    format: int
    saved_at: datetime
    sights: dict[str, SubjectState]
    totals: msgspec.Raw = NO_TOTALS
    """In the first part; decoded apart, so that nothing else hangs on it."""
    parts: int = 0
    """Over how many parts all of it was spread; 0 in what an older version wrote."""


class NewerCheckpoint(Exception):
    """Written by a newer controller: refused, not guessed at."""


class Checkpoint:
    """Sights by UID, spread over buckets of about a thousand; only changed buckets are written."""

    def __init__(self, client: Client, namespace: str, clock: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._versions: dict[int, str] = {}
        self._buckets = 1
        self._taken_over = False
        self.found = False
        """There was one: this is not the first install."""
        self.hole: tuple[str, ...] = ()
        """Parts that were there once and are gone or cannot be read: what they knew is not known
        any more."""
        self.saved_at: datetime | None = None
        self.totals = Totals()
        """What came of the recoveries whose records are retired."""
        self._retired: list[Recovery] = []

    async def load(self) -> dict[str, SubjectState]:
        """Load what was kept, its clocks moved on by the time we were not there. KubeError when it
        cannot be read."""
        raw = await self._client.list(CONFIG_MAPS, self._namespace, labelSelector=CHECKPOINT_LABEL)
        maps = msgspec.json.decode(raw, type=_List).items
        contents = [(item, content) for item in maps if (content := _content(item)) is not None]
        alive = [c.saved_at for _, c in contents]
        alive += [at for item in maps if (at := _heartbeat(item)) is not None]
        away = self._clock.now() - max(alive) if alive else timedelta()
        sights: dict[str, SubjectState] = {}
        for item, content in contents:
            self._versions[_number(item.metadata.name)] = item.metadata.resource_version
            sights.update(
                {
                    uid: unwatched(sight, away, self._clock.now())
                    for uid, sight in content.sights.items()
                }
            )
        self._take_totals(contents)
        numbers = {_number(item.metadata.name) for item in maps}
        self.found = bool(numbers)
        self._buckets = max((n + 1 for n in self._versions), default=1)
        spread = max((c.parts for _, c in contents), default=0) or max(
            (n + 1 for n in numbers), default=0
        )
        self.hole = tuple(_name(n) for n in range(spread) if n not in self._versions)
        if self.hole:
            log.error(
                "parts of the checkpoint are missing: what is unwell and unknown counts as"
                " inherited",
                parts=list(self.hole),
            )
        log.info(
            "checkpoint read",
            subjects=len(sights),
            away_seconds=round(away.total_seconds()),
            first_install=not self.found,
        )
        return sights

    def retired(self, recoveries: Iterable[Recovery]) -> None:
        """Count these: their records are gone."""
        self._retired += recoveries

    def _take_totals(self, contents: Iterable[tuple[_ConfigMap, _Content]]) -> None:
        for item, content in contents:
            if _number(item.metadata.name) != 0 or bytes(content.totals) == bytes(NO_TOTALS):
                continue
            try:
                self.totals = msgspec.json.decode(content.totals, type=Totals)
            except msgspec.DecodeError as error:
                log.error("totals cannot be read, and begin anew", why=str(error))
        if self.totals.since is None:
            self.totals.since = self._clock.now()

    def forget_layout(self) -> None:
        """Another replica wrote it until now, and may have spread it over more parts: the next
        write is of all of them."""
        self._taken_over = True

    async def save(
        self, sights: Mapping[str, SubjectState], dirty: Iterable[str], *, ticking: bool
    ) -> None:
        """Write what changed; while a clock is ticking, at least a sign of life. KubeError when it
        cannot be written."""
        if self._taken_over:
            raw = await self._client.list(
                CONFIG_MAPS, self._namespace, labelSelector=CHECKPOINT_LABEL
            )
            maps = msgspec.json.decode(raw, type=_List).items
            numbers = [_number(item.metadata.name) for item in maps]
            self._take_totals((m, c) for m in maps if (c := _content(m)) is not None)
            self._buckets, self.found = max((n + 1 for n in numbers), default=1), 0 in numbers
            self._taken_over = False
        wanted = max(self._buckets, -(-len(sights) // PER_BUCKET), 1)
        growing = wanted > self._buckets or not self.found or bool(self.hole)
        # From the last to the first: a growth that is cut short has lost nobody, and a first one
        # has not happened.
        changed = sorted(
            range(wanted) if growing else {self._bucket(uid, wanted) for uid in dirty}, reverse=True
        )
        if self._retired and 0 not in changed:
            changed.append(0)
        if changed:
            parts: dict[int, dict[str, SubjectState]] = {number: {} for number in changed}
            for uid, sight in sights.items():
                if (number := self._bucket(uid, wanted)) in parts:
                    parts[number][uid] = sight
            for number, part in parts.items():
                await self._write(number, part, wanted)
            self._buckets, self.found, self.hole = wanted, True, ()
        elif ticking:
            body = {"metadata": {"annotations": {CHECKPOINT_LABEL: stamp(self._clock.now())}}}
            await self._client.patch(CONFIG_MAPS, self._namespace, _name(0), body)
        self.saved_at = self._clock.now()

    async def _write(self, number: int, part: dict[str, SubjectState], parts: int) -> None:
        now = self._clock.now()
        counted = len(self._retired)
        totals = msgspec.json.decode(msgspec.json.encode(self.totals), type=Totals)
        totals.add(self._retired)
        shown = msgspec.Raw(msgspec.json.encode(totals)) if number == 0 else NO_TOTALS
        whole = _Content(CHECKPOINT_FORMAT, now, part, shown, parts)
        content = zlib.compress(msgspec.json.encode(whole), 6)
        if len(content) > FITS:
            content = _fitting(number, whole)
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": _name(number),
                "namespace": self._namespace,
                "labels": {
                    CHECKPOINT_LABEL: "true",
                    "app.kubernetes.io/part-of": "gitops-recovery-controller",
                },
                "annotations": {CHECKPOINT_LABEL: stamp(now)},
            },
            "binaryData": {"sights": base64.b64encode(content).decode()},
        }
        try:
            raw = await self._client.update(CONFIG_MAPS, self._namespace, _name(number), body)
        except NotFound:
            raw = await self._client.create(CONFIG_MAPS, self._namespace, body)
        self._versions[number] = msgspec.json.decode(raw, type=_ConfigMap).metadata.resource_version
        if number == 0:  # from now on they are counted, and not before
            self.totals, self._retired = totals, self._retired[counted:]

    def _bucket(self, uid: str, buckets: int) -> int:
        return zlib.crc32(uid.encode()) % buckets


def _fitting(number: int, whole: _Content) -> bytes:
    """The same for a part that no ConfigMap takes: of the largest subjects only the clocks are
    kept, so that the others lose nothing."""
    part = whole.sights
    order = sorted(part, key=lambda uid: len(msgspec.json.encode(part[uid])), reverse=True)
    kept, slim, content = dict(part), 0, b""
    while slim < len(order):
        more = order[slim : slim + max(1, slim)]
        kept |= {uid: structs.replace(part[uid], ledger=(), soaking=None, kinds=()) for uid in more}
        slim += len(more)
        content = zlib.compress(msgspec.json.encode(structs.replace(whole, sights=kept)), 6)
        if len(content) <= FITS:
            break
    log.error(
        "of the largest subjects only the clocks are kept",
        part=_name(number),
        subjects=slim,
        first=order[0],
        bytes=len(content),
    )
    return content


def _name(number: int) -> str:
    return f"recovery-checkpoint-{number}"


def _number(name: str) -> int:
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 0


def _content(item: _ConfigMap) -> _Content | None:
    encoded = (item.binary_data or {}).get("sights")
    if not encoded:
        return None
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(encoded), 64 * 1024 * 1024)
        version = msgspec.json.decode(plain, type=dict[str, Any]).get("format", 0)
        if version > CHECKPOINT_FORMAT:
            raise NewerCheckpoint(
                f"{item.metadata.name} has format {version}; this controller reads up to"
                f" {CHECKPOINT_FORMAT}"
            )
        return msgspec.json.decode(plain, type=_Content)
    except (ValueError, zlib.error, msgspec.DecodeError, TypeError) as error:
        log.error(
            "checkpoint part cannot be read: its subjects start anew",
            part=item.metadata.name,
            why=str(error),
        )
        return None


def _heartbeat(item: _ConfigMap) -> datetime | None:
    try:
        return datetime.fromisoformat((item.metadata.annotations or {})[CHECKPOINT_LABEL])
    except (KeyError, ValueError):
        return None
