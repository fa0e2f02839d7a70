"""Who is told, on the real bed: receivers that speak the real protocols, kill -9 of both sides; and
the way in and out by Helm."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from recovery.kube.client import SECRETS
from recovery.model.application import Health
from recovery.model.recovery import RecoveryPhase
from recovery.simulate.manifests import deployment
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.stories import DEADLINE, in_phase, is_well
from tests.testbed import helm
from tests.testbed.installation import ACCOUNT, ROOT, VIEWER, recovery
from tests.testbed.people import BOT, RETRY_AFTER, ROUTING_KEY, taken, wrong
from tests.testbed.processes import Process, free_port

POLICIES = """
recovery_policies:
- name: web
  selector: {{names: ["{prefix}-*"]}}
  severity: high
  condition: {{type: application, health: Degraded, duration: 5s}}
  actions:
  - {{type: notify}}
  - {{type: escalate, parameters: {{channels: [slack, pagerduty]}}}}
defaults: {{attempts: 1, backoff: {{duration: 15s}}, healthy_delay: 3s}}
channels:
  slack: {{group_wait: 0s}}
  pagerduty: {{group_wait: 0s}}
  mail: {{group_wait: 0s}}
  deaf: {{group_wait: 0s, fallback: mail}}
routes:
- {{selector: {{names: ["{prefix}-deaf"]}}, channels: [deaf]}}
- {{channels: [slack], then: [{{after: 15s, channels: [mail]}}]}}
messages: {{links: {{page: "https://recovery.example", argocd: "https://argocd.example", runbook: "https://run.example/{{cause}}"}}}}
"""


class Receivers:
    """The process of the people, with its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http, self.smtp = free_port(), free_port()
        self._process: Process | None = None

    def start(self) -> None:
        words = [
            sys.executable,
            "-m",
            "tests.testbed.people",
            str(self.folder),
            str(self.http),
            str(self.smtp),
        ]
        self._process = Process(
            "people", words, self.folder / "log", {"PYTHONPATH": str(ROOT)}
        ).start()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._process.kill()

    def urls(self) -> dict[str, str]:
        place = f"http://127.0.0.1:{self.http}"
        return {
            "slack": f"slack://{BOT}/%23ops?endpoint={place}",
            "pagerduty": f"pagerduty://{ROUTING_KEY}?endpoint={place}",
            "mail": f"mailto://127.0.0.1:{self.smtp}/?smtp=127.0.0.1&from=recovery@shop.example&to=ops@shop.example&mode=insecure",
            "deaf": f"slack://{BOT}/%23ops?endpoint=http://127.0.0.1:{free_port()}",
        }

    def of(self, kind: str) -> list[dict[str, Any]]:
        return taken(self.folder, kind)


async def people_are_told(stage: RealStage) -> list[str]:
    """Trigger, escalate and resolve pair up through a kill -9 of both sides; 429 is obeyed; a dead
    Slack falls back."""
    with tempfile.TemporaryDirectory() as folder:
        people = Receivers(Path(folder))
        (people.folder / "busy").write_text("2")
        people.start()
        await stage.client.patch(
            SECRETS, stage.namespace, "recovery-channels", {"stringData": people.urls()}
        )
        try:
            await _told(stage, people)
        finally:
            people.kill()
    return []


async def _told(stage: RealStage, people: Receivers) -> None:
    name, deaf = f"{stage.prefix}-web", f"{stage.prefix}-deaf"
    await stage.policies(POLICIES.format(prefix=stage.prefix))

    async def paged() -> bool:
        return len(people.of("pagerduty")) >= 1

    async def mailed() -> bool:
        return any("still unhealthy" in m["subject"] for m in people.of("mail"))

    async with stage.controller():
        await stage.application(name, (deployment(name, "ready", DEADLINE),))
        await stage.until("well", lambda: is_well(stage, name), 60)
        await stage.commit(name, (deployment(name, "missing", DEADLINE),))
        await stage.until("stalled", lambda: in_phase(stage, name, RecoveryPhase.Stalled), 120)
        await stage.until("paged", paged, 60)
        await stage.until("mailed in the order of the route", mailed, 60)
        await guarded_page(stage)
    busy, posted = people.of("slack busy"), people.of("slack")
    assert len(busy) == 2
    for refused in busy:
        later = min((m["at"] for m in [*busy, *posted] if m["at"] > refused["at"]), default=0)
        assert later - refused["at"] >= RETRY_AFTER - 0.1, "the pause that Slack asked for"
    people.kill()
    await stage.commit(name, (deployment(name, "ready-2", DEADLINE),))
    killed = False
    async with stage.controller(killed_at="") as _:
        await stage.until(
            "resolved while nobody listens",
            lambda: in_phase(stage, name, RecoveryPhase.Resolved),
            120,
        )
        held = (await stage.recoveries(name))[-1]
        assert [n.key for n in held.notes if n.resolves], "kept with its recovery"
        stage.kill_controller()
        killed = True
    assert killed
    people.start()

    async def over() -> bool:
        events = people.of("pagerduty")
        return (
            bool(events)
            and events[-1]["action"] == "resolve"
            and any("recovered" in m["subject"] for m in people.of("mail"))
        )

    async with stage.controller():
        await stage.until("told that it is over", over, 120)
        await stage.until("struck off", lambda: struck(stage, name), 60)
        await stage.application(deaf, (deployment(deaf, "missing", DEADLINE),))
        await stage.until("the fallback is told", lambda: fell_back(people, deaf), 150)
        done = await asyncio.to_thread(
            recovery, stage.bed, "notify", "--test", "slack", namespace=stage.namespace
        )
        assert "taken (a trigger, and its resolve)" in done.stdout, done.stderr
        missing = await asyncio.to_thread(
            recovery, stage.bed, "notify", "--test", "nobody", namespace=stage.namespace
        )
        assert missing.returncode == 1
        assert "deaf, mail, pagerduty" in missing.stderr
        told = await asyncio.to_thread(
            recovery, stage.bed, "history", f"argocd/{name}", namespace=stage.namespace
        )
        assert "told: " in told.stdout, told.stderr
        counted = await asyncio.to_thread(
            recovery, stage.bed, "report", "-o", "yaml", namespace=stage.namespace
        )
        assert yaml.safe_load(counted.stdout)["policies"][-1]["policy"] == "(all)"
    assert wrong(people.folder) == []
    events = people.of("pagerduty")
    keys = {e["key"] for e in events if e["key"].startswith(name)}
    assert len(keys) == 1, "one incident for all of it"
    assert [e["action"] for e in events if e["key"] in keys] in (
        ["trigger", "resolve"],
        ["trigger", "trigger", "resolve"],
    )
    assert events[0]["payload"]["severity"] == "critical"
    about = [m for m in people.of("slack") if name in m["text"]]
    heads = {m["ts"] for m in about if m["method"] == "chat.postMessage" and not m["thread"]}
    assert len(heads) == 1, "one conversation, through a kill -9"
    assert {m["thread"] for m in about if m["thread"]} == heads
    assert any(m["method"] == "chat.update" and "recovered" in m["text"] for m in about)
    assert "<table" in people.of("mail")[0]["html"]


async def struck(stage: RealStage, name: str) -> bool:
    """Nothing more is owed to anybody."""
    return not (await stage.recoveries(name))[-1].notes


async def fell_back(people: Receivers, name: str) -> bool:
    return any(name in m["subject"] for m in people.of("mail"))


async def guarded_page(stage: RealStage) -> None:
    """The page asks Kubernetes who looks and what they may see."""

    def got(token: str = "") -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{stage.port}/", headers={"Accept": "text/html"}
        )
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    everything = (await stage.kubectl("-n", stage.namespace, "create", "token", VIEWER)).strip()
    nothing = (await stage.kubectl("-n", stage.namespace, "create", "token", "default")).strip()
    name = f"{stage.prefix}-web"
    anonymous, all_of_it, none = [
        await asyncio.to_thread(got, token) for token in ("", everything, nothing)
    ]
    assert (anonymous[0], name in anonymous[1]) == (401, False)
    assert (all_of_it[0], name in all_of_it[1]) == (200, True)
    assert (none[0], name in none[1]) == (200, False), "known, and without a right on any project"


async def in_and_out_by_helm(stage: RealStage) -> list[str]:
    """An observe first week, an upgrade, what is owed given back, and gone without a trace in any
    Application."""
    name, suffix = f"{stage.prefix}-web", f"-{stage.namespace}"
    program = await asyncio.to_thread(helm.ready)

    async def run(*words: str) -> str:
        command = [
            str(program),
            *words,
            "-n",
            stage.namespace,
            "--kubeconfig",
            str(stage.bed.kubeconfig),
        ]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    async def environment() -> dict[str, str]:
        text = await stage.kubectl(
            "-n", stage.namespace, "get", "deployment", ACCOUNT, "-o", "json"
        )
        (container,) = json.loads(text)["spec"]["template"]["spec"]["containers"]
        return {e["name"]: e["value"] for e in container["env"]}

    chart = str(ROOT / "manifests/helm")
    names = ("--set", f"nameSuffix={suffix}", "--set", f"lease={stage.namespace}", "--skip-crds")
    await run("install", "recovery", chart, *names, "--set", "enabled=false")
    text = policies(stage.prefix)
    await stage.policies(text)
    assert (await environment())["RECOVERY_ENABLED"] == "false"
    async with stage.controller(enabled=False):
        # Without self-heal: one right after a deploy takes its result away, and the controller is
        # started anew before it looks.
        await stage.application(name, (deployment(name, "ready", DEADLINE),))
        await stage.until("well", lambda: is_well(stage, name), 60)
        await stage.sleep(15)
        await stage.commit(name, (deployment(name, "missing", DEADLINE),))
        await stage.until(
            "would have acted", lambda: in_phase(stage, name, RecoveryPhase.Suppressed), 120
        )
        assert await stage.writes(name) == 0
    shown = await asyncio.to_thread(
        recovery, stage.bed, "report", "-o", "json", namespace=stage.namespace
    )
    assert json.loads(shown.stdout)["policies"][-1]["would_have"] == 1, shown.stdout + shown.stderr

    file = Path(tempfile.mkstemp(suffix=".yaml")[1])
    file.write_text(yaml.safe_dump({"policies": text}))
    await run("upgrade", "recovery", chart, *names, "--set", "enabled=true", "-f", str(file))
    file.unlink()
    assert (await environment())["RECOVERY_ENABLED"] == "true"
    async with stage.controller():
        await stage.until("rolled back", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 180)
        assert (await stage.seen(name)).hold is not None
    dry = await asyncio.to_thread(
        recovery, stage.bed, "release", "--all", "--dry-run", namespace=stage.namespace
    )
    assert f"argocd/{name}: would be released; auto-sync is as it was" in dry.stdout, dry.stderr
    assert (await stage.seen(name)).hold is not None, "a dry run changes nothing"
    done = await asyncio.to_thread(
        recovery, stage.bed, "release", f"argocd/{name}", namespace=stage.namespace
    )
    assert "released; auto-sync is as it was" in done.stdout, done.stderr
    app = await stage.seen(name)
    assert (app.hold, app.auto_sync, app.self_heal) == (None, True, False)
    await run("uninstall", "recovery", "--wait")
    left = await stage.kubectl(
        "-n",
        stage.namespace,
        "get",
        "deployments,services,serviceaccounts,roles,pdb,networkpolicies",
        "-o",
        "name",
    )
    assert ACCOUNT not in left
    assert suffix not in await stage.kubectl(
        "get", "clusterroles,clusterrolebindings,validatingadmissionpolicies", "-o", "name"
    )
    assert len(await stage.recoveries(name)) >= 1, (
        "the CRD and the records stay: they are no part of the release"
    )
    notes = (await stage.raw(name))["metadata"].get("annotations") or {}
    assert not [key for key in notes if key.startswith("recovery.gitops.dev/")]
    assert (await stage.seen(name)).health in (Health.Healthy, Health.Progressing, Health.Degraded)
    return []


PEOPLE_STORIES = (people_are_told, in_and_out_by_helm)
