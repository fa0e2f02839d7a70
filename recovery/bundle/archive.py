"""A tar.gz that is written while it is collected: bounded, with a checksum for every file and a
list of what is missing."""

from __future__ import annotations

import hashlib
import io
import tarfile
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from recovery.bundle.redaction import clean
from recovery.model.redact import redact

FILE_AT_MOST = 1024 * 1024
"""Bytes of one file; what is longer keeps its beginning and its end."""


class Archive:
    """Write with ``text`` and ``json``; ``close`` adds the manifest and puts the file in its place,
    whole or not at all."""

    def __init__(self, path: Path, at: datetime, *, at_most: int) -> None:
        """``at_most`` bytes before compression; what comes after that is only listed as missing.
        OSError when it cannot be written."""
        self.path = path
        self._partial = path.with_name(path.name + ".partial")
        self._at = at
        self._left = at_most
        self._tar = tarfile.open(self._partial, "w:gz", compresslevel=6)  # noqa: SIM115 (closed by close)
        self.root = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
        self.files: dict[str, tuple[int, str]] = {}
        """Size in bytes and sha256 by name."""
        self.missing: list[dict[str, str]] = []

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._tar.close()
            self._partial.unlink(missing_ok=True)

    def lacks(self, what: str, why: str) -> None:
        """Something that belongs in it and is not there."""
        self.missing.append({"what": what, "why": redact(why, 400)})

    def text(self, name: str, text: str, *, cleaned: bool = False) -> None:
        """A text; its credentials are taken out here, line by line."""
        body = text if cleaned else "\n".join(redact(line, 4_000) for line in text.splitlines())
        self._add(name, body.encode(errors="replace"))

    def json(self, name: str, item: Any) -> None:
        """Add an object as JSON, with credentials taken out."""
        self._add(
            name,
            msgspec.json.format(msgspec.json.encode(clean(msgspec.to_builtins(item))), indent=2),
        )

    def close(self) -> None:
        """The manifest last, for it names all others; then the file gets its name."""
        self._left += FILE_AT_MOST * 4
        self.json("missing.json", self.missing)
        lines = [f"{digest}  {name}" for name, (_, digest) in sorted(self.files.items())]
        self._add("SHA256SUMS", ("\n".join(lines) + "\n").encode())
        self._tar.close()
        self._partial.replace(self.path)

    def _add(self, name: str, body: bytes) -> None:
        if len(body) > FILE_AT_MOST:
            half = FILE_AT_MOST // 2
            body = body[:half] + b"\n... left out for size ...\n" + body[-half:]
        if len(body) > self._left:
            self.lacks(name, f"the bundle is full: {len(body)} bytes more than fit")
            return
        self._left -= len(body)
        info = tarfile.TarInfo(f"{self.root}/{name}")
        info.size, info.mtime, info.mode = len(body), int(self._at.timestamp()), 0o600
        self._tar.addfile(info, io.BytesIO(body))
        self.files[name] = (len(body), hashlib.sha256(body).hexdigest())
