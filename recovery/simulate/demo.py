"""The demo's play: the real controller as a process of its own, an embedded cluster, and six things
that go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from recovery.clock import SystemClock
from recovery.kube.client import APPLICATIONS, RECOVERIES, SECRETS, Resource
from recovery.kube.lease import DURATION
from recovery.model.application import Application, Health, Sync
from recovery.model.duration import spell
from recovery.model.move import UserRequest
from recovery.model.names import INFO
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.record.codec import encode
from recovery.simulate.cluster import Object
from recovery.simulate.environment import OURS, EmbeddedEnvironment
from recovery.simulate.http import APIServer
from recovery.simulate.manifests import custom, deployment
from recovery.simulate.webhook_receiver import Receiver

SPEED = 22.0
USER = "you"
"""Who asks the embedded API server."""
LEGACY = 200
EARLIER = timedelta(hours=3)
"""So long before now the play begins; real time is caught up with when it is over."""
LONGEST_PLAY = timedelta(minutes=34)
"""Of the play's own time: what has not come to its end by then has failed."""

Say = Callable[[str, str, str], None]
"""Tell the audience: who, what kind of thing (sees, decides, does ...), words."""


class Scene(Struct, frozen=True):
    """The story of what happened to one application, as the last table tells it."""

    name: str
    story: str
    cause: str
    done: str
    took: str
    well: bool


class Process:
    """``recovery run`` on the play's clock, its log read line by line."""

    def __init__(
        self, kubeconfig: Path, since: datetime, heard: Callable[[dict[str, Any]], None]
    ) -> None:
        self._heard = heard
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RECOVERY_", "ARGOCD_"))},
            "KUBECONFIG": str(kubeconfig),
            "RECOVERY_NAMESPACE": OURS,
            "RECOVERY_IDENTITY": "demo",  # as a Pod's: after a kill it finds its own Lease
            # A busy machine may keep it waiting for seconds, which are minutes of the play.
            "RECOVERY_LEASE_DURATION": f"{DURATION * SPEED:.0f}s",
        }
        self._played = (
            f"from recovery.simulate.demo import controller; controller({SPEED},"
            f" {since.timestamp()})"
        )
        self._real = "from recovery.simulate.demo import controller; controller(1.0, 0.0)"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        self.port = 0

    async def start(self, *, real: bool = False) -> None:
        """Start it and begin to read; after a kill at the address it had, for whoever looks at its
        page. ``real``: on the real clock."""
        self.ready.clear()
        self._env["RECOVERY_LISTEN"] = f"127.0.0.1:{self.port}"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            self._real if real else self._played,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        async for line in process.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == "ready":
                self.ready.set()
            if entry.get("event") == "serving":
                self.port = int(entry["port"])
            self._heard(entry)

    def kill(self) -> None:
        """Kill the controller at once, as ``kill -9`` does."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until the controller has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Stop the controller: SIGTERM, and SIGKILL when that does not help."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 6)
        except TimeoutError:
            self.kill()
            await self._process.wait()


def controller(speed: float, since: float) -> None:
    """The demo's child process: the shipped controller on the play's clock."""
    from recovery import logs
    from recovery.process import serve
    from recovery.settings import read_settings

    logs.configure("info", "json")
    clock = (
        SystemClock() if speed == 1.0 else played_clock(speed, datetime.fromtimestamp(since, UTC))
    )
    asyncio.run(serve(read_settings(os.environ), os.environ, clock))


def played_clock(speed: float, since: datetime) -> SystemClock:
    """The play's clock: fast, and so long ago that all of the play is in the past when it is
    over."""
    return SystemClock(speed, since, since - EARLIER)


class Demo:
    """Plays the six scenes; ``say`` hears what is seen, decided and done."""

    def __init__(self, policies: str, say: Say) -> None:
        self._policies = policies
        self._say = say
        self._since = datetime.now(UTC)
        self.clock = played_clock(SPEED, self._since)
        self.world = EmbeddedEnvironment(self.clock)
        self._states: dict[str, str] = {}
        self._operations: dict[str, set[str]] = {}
        self._killed = False
        self._process: Process | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="recovery-demo-")

    @property
    def url(self) -> str:
        """Address at which the controller serves its page."""
        return f"http://127.0.0.1:{self._process.port}" if self._process else ""

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig for kubectl and ``recovery status``."""
        return Path(self.folder.name) / "kubeconfig"

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Process]:
        """The embedded cluster over HTTP, and the controller, while inside."""
        face = APIServer(
            self.world.cluster, lambda: self._process.port if self._process else 0, user=USER
        )
        receiver = Receiver(self._told)
        async with self.world.living():
            await face.start()
            urls = await receiver.start()
            await self.world.cluster.create(
                SECRETS, OURS, {"metadata": {"name": "recovery-channels"}, "data": urls}
            )
            self.kubeconfig.write_text(json.dumps(face.kubeconfig()))
            self.world.cluster.listen(self._watch)
            process = self._process = Process(self.kubeconfig, self._since, self._log)
            try:
                yield process
            finally:
                await process.stop()
                await face.stop()
                await receiver.stop()
                self.folder.cleanup()

    async def play(self, process: Process) -> list[Scene]:
        """All scenes, at once; then what became of each."""
        await self.world.policies(self._policies)
        self._say(
            "demo",
            "sets up",
            f"{LEGACY} applications that are broken already, as a fleet may be when a controller is"
            " installed",
        )
        for number in range(LEGACY):
            name = f"legacy-{number:03}"
            await self.world.application(name, (deployment(name, "crash", 30),), project="legacy")
        await self._until(
            lambda: all(
                self._app(f"legacy-{n:03}").health is Health.Degraded for n in range(LEGACY)
            ),
            timedelta(minutes=5),
        )
        self._say(
            "demo",
            "sets up",
            f"the controller starts; its clock runs {SPEED:.0f} times as fast as yours",
        )
        await process.start()
        await process.ready.wait()
        self._say("demo", "sets up", f"look at it while it works: {self.url}/")
        async with asyncio.TaskGroup() as group:
            scenes = [
                group.create_task(scene(process))
                for scene in (self._cart, self._api, self._web, self._lost, self._pay)
            ]
        return [task.result() for task in scenes] + [self._legacy()]

    async def return_to_real_time(self, process: Process) -> None:
        """The play is over: whoever looks on has a clock like everybody's. The controller starts
        anew, as after an upgrade."""
        await process.stop()
        self.clock.be_real()
        await process.start(real=True)
        await process.ready.wait()

    # The scenes

    async def _cart(self, process: Process) -> Scene:  # noqa: ARG002 (a scene)
        await self.world.application(
            "cart", (deployment("cart"), custom("Widget", "cart")), project="shop"
        )
        await self._until(
            lambda: (
                self._app("cart").operation is not None and self._app("cart").sync is Sync.OutOfSync
            ),
            timedelta(minutes=1),
        )
        await self.clock.sleep(60)
        await self.world.install("Widget")
        self._say(
            "demo",
            "mends",
            "the CRD that cart was missing is installed now; Argo CD gave up and will not try"
            " again",
        )
        return await self._ends(
            "cart",
            "a sync that failed and was given up",
            "missing CRD, since installed",
            RecoveryPhase.Resolved,
            self._well,
        )

    async def _api(self, process: Process) -> Scene:  # noqa: ARG002 (a scene)
        await self.world.application(
            "api",
            (deployment("api", "crash-until-restart"), deployment("api-cache")),
            project="backend",
        )
        return await self._ends(
            "api", "a crash that new pods cure", "crash loop", RecoveryPhase.Resolved, self._well
        )

    async def _web(self, process: Process) -> Scene:  # noqa: ARG002 (a scene)
        await self.world.application(
            "web", (deployment("web"),), self_heal=True, project="frontend"
        )
        await self.clock.sleep(180)
        self._say(
            "demo",
            "breaks",
            "a commit to web names an image that does not exist; auto-sync and self-heal are on",
        )
        await self.world.commit("web", (deployment("web", "missing"),))

        def sticks(app: Application) -> bool:
            return app.health is Health.Healthy and app.hold is not None and not app.auto_sync

        scene = await self._ends(
            "web", "a bad revision", "image not found, new commit", RecoveryPhase.Resolved, sticks
        )
        await self.clock.sleep(120)
        stayed = sticks(self._app("web"))
        self._say(
            "demo", "mends", "two minutes later the rollback still stands; now a good commit comes"
        )
        await self.world.commit("web", (deployment("web", "ready-2"),))
        # Without an Argo CD token nobody can compare manifests: whether it is the fix, a person
        # says.
        self._say("ada", "says", "it is the fix: recovery release web")
        held = next(
            r for r in self.world.recoveries() if r.subject.name == "web" and r.debt is not None
        )
        asked = structs.replace(
            held, asked=(*held.asked, UserRequest("release", "ada", self.clock.now()))
        )
        await self.world.cluster.update(RECOVERIES, OURS, held.name, encode(asked, OURS))
        given_back = await self._until(
            lambda: self._app("web").auto_sync and self._well(self._app("web")),
            timedelta(minutes=5),
        )
        return Scene(
            scene.name,
            scene.story,
            scene.cause,
            f"{scene.done}; held until the next good commit",
            scene.took,
            scene.well and stayed and given_back,
        )

    async def _lost(self, process: Process) -> Scene:  # noqa: ARG002 (a scene)
        await self.world.application(
            "lost", (deployment("lost"), custom("Unobtainium", "lost")), project="shop"
        )

        def left_alone(app: Application) -> bool:
            return app.sync is Sync.OutOfSync

        return await self._ends(
            "lost",
            "a fault that nothing cures",
            "missing CRD, for good",
            RecoveryPhase.Suppressed,
            left_alone,
        )

    async def _pay(self, process: Process) -> Scene:
        await self.clock.sleep(30)
        await self.world.application(
            "pay", (deployment("pay"), custom("Ledger", "pay")), project="payments"
        )
        await self.clock.sleep(60)
        await self.world.install("Ledger")
        await self._until(lambda: self._killed, timedelta(minutes=15))
        await process.gone()
        self._say(
            "demo",
            "breaks",
            "kill -9 of the controller, at the moment its sync of pay was written; it starts again",
        )
        await process.start()

        def once(app: Application) -> bool:
            return self._well(app) and len(self._operations.get("pay", ())) == 1

        return await self._ends(
            "pay",
            "kill -9 in the middle of a sync",
            "missing CRD, since installed",
            RecoveryPhase.Resolved,
            once,
        )

    def _legacy(self) -> Scene:
        touched = [
            w
            for w in self.world.cluster.writes
            if w[1] == APPLICATIONS and w[3].startswith("legacy-") and _ours(w[4])
        ]
        acted = [r for r in self.world.recoveries() if r.subject.name.startswith("legacy-")]
        return Scene(
            f"legacy-* ({LEGACY})",
            "broken before the controller came",
            "unknown",
            "left alone, one digest",
            "-",
            not touched and not acted,
        )

    # How a scene ends

    async def _ends(
        self,
        name: str,
        story: str,
        cause: str,
        phase: RecoveryPhase,
        holds: Callable[[Application], bool],
    ) -> Scene:
        found = await self._until(lambda: self._phase(name) is phase, LONGEST_PLAY)
        recovery = self._newest(name)
        done = ", ".join(_tried(recovery)) if recovery else "nothing"
        ended = (recovery.resolved_at or self.clock.now()) if recovery else self.clock.now()
        began = (recovery.unhealthy_since or recovery.opened_at) if recovery else ended
        took = spell(ended - began)
        if phase is RecoveryPhase.Suppressed:
            done, took = "nothing in vain; a person was told the cause", f"held back after {took}"
        return Scene(name, story, cause, done, took, found and holds(self._app(name)))

    async def _until(self, holds: Callable[[], bool], longest: timedelta) -> bool:
        end = self.clock.now() + longest
        while not holds():
            if self.clock.now() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    def _app(self, name: str) -> Application:
        return self.world.seen(name)

    def _well(self, app: Application) -> bool:
        return app.sync is Sync.Synced and app.health is Health.Healthy

    def _newest(self, name: str) -> Recovery | None:
        return next((r for r in reversed(self.world.recoveries()) if r.subject.name == name), None)

    def _phase(self, name: str) -> RecoveryPhase | None:
        recovery = self._newest(name)
        return recovery.phase if recovery else None

    # What the audience hears

    def _watch(self, what: Resource, kind: str, item: Object) -> None:
        if (
            what != APPLICATIONS
            or kind == "DELETED"
            or item["metadata"]["name"].startswith("legacy-")
        ):
            return
        name, status = item["metadata"]["name"], item.get("status") or {}
        state = (
            f"{(status.get('sync') or {}).get('status', '')}"
            f" {(status.get('health') or {}).get('status', '')}".strip()
        )
        if state and self._states.get(name) != state:
            self._states[name] = state
            self._say(name, "is", state.replace(" ", " and "))
        for entry in (item.get("operation") or {}).get("info") or ():
            if entry.get("name") == INFO:
                self._operations.setdefault(name, set()).add(
                    item["metadata"]["resourceVersion"] if _fresh(item) else ""
                )
                self._operations[name].discard("")
                if name == "pay" and not self._killed and self._process is not None:
                    self._killed = True
                    self._process.kill()

    def _told(self, channel: str, message: dict[str, Any]) -> None:
        name = next(
            (
                fact["value"].partition("/")[2]
                for fact in message["facts"]
                if fact["name"] == "Subject"
            ),
            "people",
        )
        if not name.startswith("legacy-"):
            self._say(name, "tells", f"{channel}: {message['title']}")

    def _log(self, entry: dict[str, Any]) -> None:
        name = str(entry.get("subject", "")).partition("/")[2]
        if name.startswith("legacy-"):
            return
        match entry.get("event"):
            case "decision" if entry.get("decision") not in ("Rest", "Remediate"):
                words = (
                    f"suppressed by {entry['by']}: {entry['message']}"
                    if entry.get("decision") == "Suppress"
                    else entry["message"]
                )
                self._say(name, "decides", words)
            case "effect":
                words = (
                    f"{entry['step']}"
                    + (f", {entry['stage']}" if entry.get("stage") else "")
                    + (f": {entry['message']}" if entry.get("message") else "")
                )
                self._say(name, "does", f"{words} [{entry['result']}]")
            case "no channel configured":
                self._say(name or "people", "tells", str(entry.get("title", "")))
            case "inherited":
                self._say("fleet", "sees", f"{entry['title']}: left alone")


def _fresh(item: Object) -> bool:
    """Just written, not yet taken up."""
    return (item.get("status") or {}).get("operationState") is None


def _ours(body: Any) -> bool:
    text = json.dumps(body)
    return INFO in text or "recovery.gitops.dev" in text or '"hard"' in text


def _tried(recovery: Recovery) -> list[str]:
    words = [
        f"{s.action} {s.outcome.value.lower()}"
        for s in recovery.steps
        if s.outcome and s.reason != "Notified" and s.outcome.value != "Skipped"
    ]
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = seen.get(word, 0) + 1
    return [f"{word} x{count}" if count > 1 else word for word, count in seen.items()]
