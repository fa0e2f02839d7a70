"""A test of policies that is played, with the audit lines that the controller writes meanwhile."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recovery.policytest.observer import Observer
from recovery.policytest.reading import read
from recovery.policytest.stage import play

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
"""The time at which a test that names none begins."""


def recorded(test: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Play the only test of a file, and write its audit lines into a log."""
    lines: list[dict[str, Any]] = []
    original = Observer.log_line

    def heard(self: Observer, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if event.get("audit"):
            at = BEGIN + timedelta(seconds=max(0.0, self._now().total_seconds()))
            lines.append({**event, "timestamp": at.isoformat().replace("+00:00", "Z")})
        return original(self, logger, method, event)

    monkeypatch.setattr(Observer, "log_line", heard)
    play(read(test, drafting=True), 0)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines
