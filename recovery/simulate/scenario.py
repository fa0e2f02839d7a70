"""Scenarios as text: what happens, and what is then decided and done.

A scenario is blocks of commands, each followed by ``----`` and the transcript of what came of them::

    policy config/policies.yaml
    app cart ready auto-sync
    run 2m
    commit cart missing
    run 20m
    ----
    2m00s  cart  Pending OutOfSync for 0s, not yet for 10m

Commands: ``policy FILE``; ``app NAME TAG [manual] [self-heal] [needs KIND]``; ``commit NAME TAG``; ``install KIND``;
``annotate NAME KEY=VALUE`` (``KEY=`` removes); ``sync NAME`` (a person's); ``argocd stops`` and ``argocd starts``;
``controller stops`` (SIGTERM), ``controller dies`` (kill -9) and ``controller starts``; ``run DURATION``. Lines that
begin with # are words for the reader. Times count from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from recovery.app import App
from recovery.decide.narrative import changes
from recovery.kube.client import APPLICATIONS, RECOVERIES, Resource
from recovery.model.duration import Duration, spell
from recovery.model.recovery import Note, Recovery
from recovery.record.codec import decode
from recovery.settings import Settings
from recovery.simulate.cluster import Object
from recovery.simulate.manifests import custom, deployment
from recovery.simulate.virtual import START, VirtualClock, run
from recovery.simulate.world import World

BAR = "----"
DEADLINE = 60


class BadScenario(Exception):
    """A line that is no command; the message names it."""


class Block(Struct, frozen=True):
    """Commands, and the transcript that is expected of them."""

    commands: tuple[str, ...]
    expected: tuple[str, ...]


def read(text: str) -> list[Block]:
    """The blocks of a scenario."""
    blocks: list[Block] = []
    commands: list[str] = []
    expected: list[str] | None = None
    for line in text.splitlines():
        if expected is None:
            if line.strip() == BAR:
                expected = []
            else:
                commands.append(line.rstrip())
        elif line.strip():
            expected.append(line.rstrip())
        else:
            blocks.append(Block(tuple(commands), tuple(expected)))
            commands, expected = [], None
    if commands or expected is not None:
        blocks.append(Block(tuple(commands), tuple(expected or ())))
    return blocks


def write(blocks: list[Block]) -> str:
    """A scenario's text, from its blocks."""
    return "\n\n".join("\n".join((*block.commands, BAR, *block.expected)) for block in blocks) + "\n"


def replay(text: str, root: Path) -> str:
    """The same scenario with the transcript of what really came of it. ``root`` is where policy files are found."""
    return run(_Replay(root).all(read(text)))


class _Replay:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._lines: list[str] = []
        self._last: dict[str, Recovery] = {}
        self._states: dict[str, str] = {}
        self._app: App | None = None
        self._running: asyncio.Task[None] | None = None

    async def all(self, blocks: list[Block]) -> str:
        self._clock = VirtualClock()
        self._world = World(self._clock)
        self._world.cluster.listen(self._heard)
        done = []
        async with self._world.living():
            try:
                for block in blocks:
                    self._lines = []
                    for command in block.commands:
                        if command.strip() and not command.startswith("#"):
                            await self._do(command)
                    done.append(Block(block.commands, tuple(self._lines)))
            finally:
                await self._stop()
        return write(done)

    async def _do(self, command: str) -> None:
        verb, *words = command.split()
        commands: dict[str, Callable[..., Awaitable[None]]] = {
            "policy": self._policy,
            "app": self._application,
            "commit": self._commit,
            "install": self._install,
            "annotate": self._annotate,
            "sync": self._sync,
            "argocd": self._argocd,
            "controller": self._controller,
            "run": self._run,
        }
        if verb not in commands:
            raise BadScenario(f"{command!r}: no such command; known are {', '.join(commands)}")
        try:
            await commands[verb](*words)
        except (TypeError, ValueError) as error:
            raise BadScenario(f"{command!r}: {error}") from error

    async def _policy(self, file: str) -> None:
        await self._world.policies((self._root / file).read_text())
        if self._app is None:
            await self._controller("starts")

    async def _application(self, name: str, tag: str, *how: str) -> None:
        manifests: tuple[dict[str, Any], ...] = (deployment(name, tag, DEADLINE),)
        if "needs" in how:
            manifests = (*manifests, custom(how[how.index("needs") + 1], name))
        await self._world.application(name, manifests, auto_sync="manual" not in how, self_heal="self-heal" in how)

    async def _commit(self, name: str, tag: str) -> None:
        await self._world.commit(name, (deployment(name, tag, DEADLINE),))

    async def _install(self, kind: str) -> None:
        await self._world.install(kind)

    async def _annotate(self, name: str, *pairs: str) -> None:
        for pair in pairs:
            key, _, value = pair.partition("=")
            await self._world.annotate(name, {key: value or None})

    async def _sync(self, name: str) -> None:
        await self._world.sync(name)

    async def _argocd(self, what: str) -> None:
        self._world.argocd.running = what == "starts"
        if what == "starts":
            self._world.argocd.wake()

    async def _controller(self, what: str) -> None:
        if what == "starts":
            self._app = App(Settings(), self._world.cluster, self._clock, self._send)
            self._running = asyncio.create_task(self._app.run())
        elif what == "stops":
            await self._stop()
        elif self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._app = None

    async def _run(self, duration: str) -> None:
        await self._clock.sleep(Duration.parse(duration).total_seconds())
        self._pending()

    async def _stop(self) -> None:
        if self._app is not None and self._running is not None:
            self._app.stop()
            await self._running
            self._app = None

    async def _send(self, url: str, note: Note) -> None:
        """No channel is configured in a scenario."""

    def _say(self, name: str, words: str) -> None:
        elapsed = spell(self._clock.now() - START)
        self._lines.append(f"{elapsed:<9} {name:<8} {words}")

    def _pending(self) -> None:
        """At the end of a run: what waits or is held back, with its reason."""
        if self._app is None:
            return
        for key, entries in sorted(self._app.journal.latest.items()):
            for entry in entries:
                if entry.reason == "Pending" or (entry.kind == "Suppress" and not entry.recovery):
                    held = f"suppressed by {entry.by}" if entry.by else "pending"
                    self._say(key.name, f"{entry.policy} {held}: {entry.message}")

    def _heard(self, what: Resource, kind: str, item: Object) -> None:
        name = item["metadata"]["name"]
        if what == RECOVERIES and kind != "DELETED":
            recovery = decode(msgspec.json.encode(item))
            for line in changes(self._last.get(recovery.name), recovery):
                self._say(recovery.subject.name, line)
            self._last[recovery.name] = recovery
        elif what == APPLICATIONS and kind != "DELETED":
            status = item.get("status") or {}
            words = [(status.get(field) or {}).get("status", "") for field in ("sync", "health")]
            state = " ".join(filter(None, words))
            if state and self._states.get(name) != state:
                self._states[name] = state
                self._say(name, f"is {state}")
