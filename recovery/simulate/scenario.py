"""Scenarios as text: what happens, and what is then decided and done.

A scenario is blocks of commands, each followed by ``----`` and the transcript of what came of
them::

    policy config/policies.yaml
    app cart ready auto-sync
    run 2m
    commit cart missing
    run 20m
    ----
    2m00s  cart  Pending OutOfSync for 0s, not yet for 10m

Commands: ``policy FILE``; ``app NAME TAG [manual] [self-heal] [stateful] [needs KIND] [on
CLUSTER]``; ``commit NAME TAG``; ``install KIND``; ``annotate NAME KEY=VALUE`` (``KEY=`` removes);
``sync NAME`` (a person's); ``argocd stops`` and ``argocd starts``; ``cluster NAME`` (a further
one), ``cluster NAME dies``, ``returns``, ``refuses`` (Argo CD's credentials) and ``accepts``; ``git
stops`` and ``git starts``; ``witness answers``; ``approve`` and ``failback [stay] [cleanup]`` (a
person's, on the newest open recovery); ``controller stops`` (SIGTERM), ``controller dies`` (kill
-9) and ``controller starts``; ``run DURATION``. Lines that begin with # are words for the reader.
Times count from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from recovery.app import App
from recovery.decide.transcript import changes
from recovery.kube.client import APPLICATIONS, RECOVERIES, Resource
from recovery.model.duration import Duration, spell
from recovery.model.message import Message
from recovery.model.move import RelocationPhase, UserRequest
from recovery.model.recovery import Recovery
from recovery.record.codec import decode, encode
from recovery.settings import Settings
from recovery.simulate.cluster import Object
from recovery.simulate.environment import OURS, EmbeddedEnvironment, url
from recovery.simulate.manifests import custom, deployment, stateful_set
from recovery.simulate.virtual import START, VirtualClock, run

BAR = "----"
PROGRESS_DEADLINE = 60


class BadScenario(Exception):
    """A line that is no command; the message names it."""


class Block(Struct, frozen=True):
    """Commands, and the transcript that is expected of them."""

    commands: tuple[str, ...]
    expected: tuple[str, ...]


def read(text: str) -> list[Block]:
    """Read the blocks of a scenario's text."""
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
    return (
        "\n\n".join("\n".join((*block.commands, BAR, *block.expected)) for block in blocks) + "\n"
    )


def replay(text: str, root: Path) -> str:
    """The same scenario with the transcript of what really came of it. ``root`` is where policy
    files are found."""
    return run(_Replay(root).all(read(text)))


class _Replay:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._lines: list[str] = []
        self._last: dict[str, Recovery] = {}
        self._states: dict[str, str] = {}
        self._app: App | None = None
        self._running: asyncio.Task[None] | None = None
        self._has_token = False

    async def all(self, blocks: list[Block]) -> str:
        # Looks are spread over time by chance; a transcript has to be the same each time.
        random.seed(0)
        self._clock = VirtualClock()
        self._world = EmbeddedEnvironment(self._clock)
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
            "cluster": self._cluster,
            "git": self._git,
            "token": self._token,
            "witness": self._witness,
            "approve": self._approve,
            "failback": self._failback,
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

    async def _token(self) -> None:
        """From the next start of the controller on it has an Argo CD token."""
        self._has_token = True

    async def _application(self, name: str, tag: str, *how: str) -> None:
        manifests: tuple[dict[str, Any], ...] = (deployment(name, tag, PROGRESS_DEADLINE),)
        if "stateful" in how:
            manifests = (stateful_set(name, tag),)
        if "needs" in how:
            manifests = (*manifests, custom(how[how.index("needs") + 1], name))
        cluster = how[how.index("on") + 1] if "on" in how else ""
        if self._world.destinations.all or not self._world.git.up:
            self._world.git.registered[url(name)] = ""
        await self._world.application(
            name,
            manifests,
            auto_sync="manual" not in how,
            self_heal="self-heal" in how,
            cluster=cluster,
        )

    async def _commit(self, name: str, tag: str) -> None:
        await self._world.commit(name, (deployment(name, tag, PROGRESS_DEADLINE),))

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

    async def _cluster(self, name: str, what: str = "") -> None:
        if not what:
            await self._world.further_cluster(name)
            return
        place = self._world.destinations.all[name]
        match what:
            case "dies" | "returns":
                place.up = what == "returns"
            case "refuses" | "accepts":
                place.accepts = what == "accepts"
            case _:
                raise ValueError(f"a cluster dies, returns, refuses or accepts; not {what!r}")
        place.unread = place.unread and not (place.up and place.accepts)

    async def _git(self, what: str) -> None:
        self._world.git.up = what == "starts"

    async def _witness(self, what: str) -> None:
        self._world.outside = what == "answers"

    async def _approve(self) -> None:
        await self._wish(lambda held: (f"approve {held.awaiting}",))

    async def _failback(self, *how: str) -> None:
        requests = (
            "stay" if "stay" in how else "failback",
            *(("cleanup",) if "cleanup" in how else ()),
        )
        await self._wish(lambda _: requests)

    async def _wish(self, ask: Callable[[Recovery], tuple[str, ...]]) -> None:
        """A request, as `recovery approve` and `recovery failback` write it."""
        found = next(r for r in reversed(self._world.recoveries()) if not r.phase.over)
        requests = tuple(
            UserRequest(what, "ada", self._clock.now(), step)
            for what, _, step in (w.partition(" ") for w in ask(found))
        )
        body = encode(structs.replace(found, asked=(*found.asked, *requests)), OURS)
        await self._world.cluster.update(RECOVERIES, OURS, found.name, body)

    async def _controller(self, what: str) -> None:
        if what == "starts":
            world = self._world
            settings = Settings(
                identity="controller-0",
                cluster_secrets=tuple(d.secret for d in world.destinations.all.values()),
                witness="https://outside.example",
                # Nobody is there to take over, and renewing is most of what a quiet hour costs.
                lease_duration=timedelta(minutes=10),
            )
            token = (
                world.api
                if self._has_token or world.destinations.all or world.git.registered
                else None
            )
            self._app = App(settings, world.cluster, self._clock, self._send, token, world.looks)
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

    async def _send(self, url: str, message: Message) -> str:  # noqa: ARG002 (a Send)
        """No channel is configured in a scenario."""
        return ""

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
        if what == RECOVERIES and kind != "DELETED" and item.get("status"):
            recovery = decode(msgspec.json.encode(item))
            old = self._last.get(recovery.name)
            for line in changes(old, recovery):
                self._say(recovery.subject.name.rpartition("/")[2], line)
            before = {m.uid: m.phase for m in old.relocations} if old else {}
            for move in recovery.relocations:
                if before.get(move.uid) is not move.phase:
                    home = move.phase in (RelocationPhase.Returning, RelocationPhase.Home)
                    way = (
                        f"{move.target} -> {move.origin}"
                        if home
                        else f"{move.origin} -> {move.target}"
                    )
                    where = f" ({move.reason})" if move.reason else f" {way}"
                    self._say(move.name, f"{move.phase.value}{where}")
            self._last[recovery.name] = recovery
        elif what == APPLICATIONS and kind != "DELETED":
            status = item.get("status") or {}
            words = [(status.get(field) or {}).get("status", "") for field in ("sync", "health")]
            state = " ".join(filter(None, words))
            if state and self._states.get(name) != state:
                self._states[name] = state
                self._say(name, f"is {state}")
