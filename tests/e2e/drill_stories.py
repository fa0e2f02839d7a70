"""A drill as a person leads it, on a real Argo CD: a Helm chart, the command, a kill in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from recovery.kube.client import APPLICATIONS, DEPLOYMENTS, LEASES, NAMESPACES
from recovery.observe import wire
from tests.e2e.real_stage import RealStage
from tests.testbed import helm

CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: drill\nversion: 1.0.0\n",
    "chart/values.yaml": "image: {tag: ready}\n",
    "chart/templates/web.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  progressDeadlineSeconds: 10
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "registry.example/web:{{ .Values.image.tag }}"}
""",
}
POLICIES = """
defaults: {{backoff: {{duration: 15s}}, healthy_delay: 3s}}
ledger: {{soak: 10s}}
recovery_policies:
- name: drilled
  selector: {{labels: {{matchLabels: {{story: {prefix}}}}}}}
  condition: {{type: application, health: Degraded, duration: 10s}}
  channels: [receiver]
  actions: [{{type: rollback}}]
"""


async def a_drill_keeps_its_promises(stage: RealStage) -> list[str]:
    """One drill is killed in the middle and leaves its Application broken; the next one removes
    that, is recovered by the policies in force, and takes itself away."""
    await asyncio.to_thread(_helm_for_argocd, stage.bed.folder / "tools")
    repository, place = f"{stage.prefix}-chart", f"{stage.prefix}-drill"
    await asyncio.to_thread(stage.repositories.commit_files, repository, CHART)
    meta = {"name": place, "labels": {"recovery.gitops.dev/drill": "allowed"}}
    await stage.client.create(NAMESPACES, "", {"metadata": meta})
    await stage.policies(POLICIES.format(prefix=stage.prefix))
    words = [
        "drill",
        "--repo",
        stage.repositories.url(repository),
        "--path",
        "chart",
        "--in",
        place,
    ]
    words += ["--labels", f"story={stage.prefix}", "--channels", "receiver", "--timeout", "10m"]

    async with stage.controller():
        killed = await _begin(stage, *words)
        await stage.until("broken", lambda: _broken_by(stage, place, killed), 240)
        killed.kill()
        await killed.wait()
        assert await _left(stage, place) != []
        led = await _begin(stage, *words, "-o", "json")
        out, err = await asyncio.wait_for(led.communicate(), 900)
        told = (out + err).decode()
        assert led.returncode == 0, told
        report: dict[str, Any] = json.loads(out)
        assert all(promise["kept"] for promise in report["promises"]), told
        assert len(report["promises"]) == 8
        what = "\n".join(entry["what"] for entry in report["timeline"])
        for part in ("was killed; it is cleaned up first", "Synced Degraded", "rollback Succeeded"):
            assert part in what, what
        assert await _left(stage, place) == []
        assert any("recovery-drill-" in note["title"] for note in stage.received)
    return []


def _helm_for_argocd(tools: Path) -> None:
    """Argo CD's repo-server finds its tools there."""
    if not (tools / "helm").exists():
        with contextlib.suppress(FileExistsError):
            (tools / "helm").symlink_to(helm.ready())


async def _begin(stage: RealStage, *words: str) -> asyncio.subprocess.Process:
    env = {
        **os.environ,
        "KUBECONFIG": str(stage.bed.kubeconfig),
        "RECOVERY_NAMESPACE": stage.namespace,
    }
    program = shutil.which("recovery", path=str(Path(sys.executable).parent))
    assert program is not None
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(program, *words, env=env, stdout=pipe, stderr=pipe)


async def _broken_by(stage: RealStage, namespace: str, drill: asyncio.subprocess.Process) -> bool:
    if drill.returncode is not None:
        raise AssertionError(b"".join(await drill.communicate()).decode())
    return b":recovery-drill-" in await stage.client.list(DEPLOYMENTS, namespace)


async def _left(stage: RealStage, namespace: str) -> list[str]:
    found = []
    for item in wire.listed(await stage.client.list(APPLICATIONS, "argocd")).items:
        app = wire.application(item)
        if app.destination.namespace == namespace:
            found.append(app.name)
    for what in (DEPLOYMENTS, LEASES):
        items = wire.listed(await stage.client.list(what, namespace)).items
        found += [wire.identity(item).metadata.name for item in items]
    return found


DRILL_STORIES = (a_drill_keeps_its_promises,)
