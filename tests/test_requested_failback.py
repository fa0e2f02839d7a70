"""kill -9 between the two writes of the claim that a person's failback asked for."""

from __future__ import annotations

from typing import Any

import pytest

from recovery.kube.client import RECOVERY_STATUS
from tests import test_crash_points as c

KILL = [""]


class Door(c.Door):
    def __getattr__(self, name: str) -> Any:
        write = super().__getattr__(name)
        if name != "update":
            return write

        async def update(what: Any, ns: str, obj: str, body: Any, **q: Any) -> bytes:
            done = body.get("status", {}).get("handledRequests", ())
            if what != RECOVERY_STATUS or not any(r["type"] == "failback" for r in done):
                return await write(what, ns, obj, body, **q)
            if KILL[0] == "before":
                KILL[0] = ""
                await self._die()
            answer = await write(what, ns, obj, body, **q)
            if KILL[0] == "after":
                KILL[0] = ""
                await self._die()
            return answer

        return update


@pytest.mark.parametrize("kill", ["", "before", "after"])
def test_a_failback_that_was_asked_for_is_done(kill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "Door", Door)
    KILL[0] = kill
    night = c.NIGHTS["failback"]
    _, done, _, ended_well = c.play(night, 100_000)
    assert KILL[0] == "", "not killed"
    assert ended_well, dict(done)
