"""Fifty secrets planted wherever an application, a project, a repository or a cluster can carry
one: none comes out anywhere."""

from __future__ import annotations

import base64
import io
import json
import secrets
import string
from typing import Any

import structlog

from recovery import logs
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS, EVENTS, PROJECTS, RECOVERIES, SECRETS
from recovery.model.names import SubjectKey
from recovery.record.checkpoint import CHECKPOINT_LABEL
from recovery.serve.auth import EVERYBODY
from recovery.simulate.environment import ARGOCD, OURS
from tests.play import Play, play
from tests.stage import policies as short_policies

ALPHABET = string.ascii_letters + string.digits
NAMES = (
    "pwd",
    "passphrase",
    "secret_access_key",
    "password",
    "passwd",
    "token",
    "secret",
    "api_key",
    "apiKey",
    "access_key",
    "client_secret",
    "private_key",
    "signature",
    "credential",
)


class Canaries:
    """Each is remembered in the form that must not come out."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def _new(self, length: int = 24) -> str:
        word = "Ca1" + "".join(secrets.choice(ALPHABET) for _ in range(length))
        self.all.append(word)
        return word

    def texts(self) -> list[str]:
        """Messages such as controllers, Git and clouds write them, each with a secret in it."""
        new = self._new
        named = [f"rpc error: {name}{sep}{new()} refused" for name in NAMES for sep in ("=", ": ")]
        return [
            *named,
            f"fatal: unable to access 'https://bot:{new()}@git.example/shop.git/': 403",
            f"https://{new()}@git.example/x.git: not found",
            f"ssh://deploy:{new()}@git.example:22/x",
            f"Authorization: Bearer {new()}",
            f'"Authorization": "Basic {new(30)}"',
            f"--password {new()} --insecure",
            f"-----BEGIN RSA PRIVATE KEY-----\n{new(60)}\n{new(60)}\n-----END RSA PRIVATE KEY-----",
            f"hook https://hooks.slack.com/services/T000/B000/{new()} failed",
            f"ghp_{new(33)}",
            f"github_pat_{new(40)}",
            f"glpat-{new(20)}",
            f"xoxb-1234-{new(20)}",
            f"eyJhbGciOiJIUzI1NiJ9.{new(30)}.{new(30)}",
            f"config {json.dumps({'password': new(), 'user': 'admin'})}",
            f"dsn postgres://app:{new()}@db:5432/app?sslmode=disable",
            f"redis://:{new()}@cache:6379/0",
            f"unexpected value {new(48)} in field",
            f"x-amz-signature={new(40)}&X-Amz-Date=20260302",
            f"helm --set db.password={new()} upgrade",
        ]


def test_no_planted_secret_is_found_in_any_output() -> None:
    canaries = Canaries()
    texts = canaries.texts()
    held = canaries._new(40)
    assert len(canaries.all) >= 50
    out = io.StringIO()

    async def script(p: Play) -> None:
        logs.configure("debug", "json", out)
        try:
            await _night(p, texts, held, out)
        finally:
            structlog.reset_defaults()
        everything = "\n".join(_outputs(p, out))
        assert "argocd/w-0" in everything, "there is something to look through"
        assert "refused" in everything
        found = [
            secret
            for secret in canaries.all
            if secret in everything or base64.b64encode(secret.encode()).decode() in everything
        ]
        assert found == []

    play(script)


async def _night(p: Play, texts: list[str], held: str, out: io.StringIO) -> None:
    await p.world.policies(
        short_policies("w", duration="10s") + "guards: {storm: {minimum: 1000, count: 1000}}\n"
    )
    await p.world.cluster.create(
        SECRETS,
        OURS,
        {
            "metadata": {"name": "recovery-channels"},
            "data": {"receiver": base64.b64encode(f"json://host/{held}".encode()).decode()},
        },
    )
    project = {"recovery.gitops.dev/paused": texts[0]}
    await p.world.cluster.create(
        PROJECTS, ARGOCD, {"metadata": {"name": "closed", "annotations": project}, "spec": {}}
    )
    async with p.controller() as app:
        app.outbox.default_channels = ("receiver",)
        for number, text in enumerate(texts):
            await p.world.cluster.create(APPLICATIONS, ARGOCD, _carrying(number, text, texts))
        p.world.argocd.running = False  # the status is as it was planted
        await p.clock.sleep(600)
        p.extra = [
            app.views.recoveries(EVERYBODY.sees),
            app.views.details(),
            app.views.metrics().decode(),
        ]  # type: ignore[attr-defined]
        p.extra += [
            app.views.explain(SubjectKey("application", "argocd", f"w-{n}"), EVERYBODY.sees)
            for n in range(len(texts))
        ]  # type: ignore[attr-defined]


def _carrying(number: int, text: str, texts: list[str]) -> dict[str, Any]:
    other = texts[(number + 7) % len(texts)]
    failed = {"kind": "Widget", "name": "w", "status": "SyncFailed", "message": other}
    state = {
        "phase": "Failed",
        "message": text,
        "startedAt": "2026-03-02T12:00:00Z",
        "finishedAt": "2026-03-02T12:00:01Z",
        "operation": {"sync": {}, "initiatedBy": {"username": "ada"}},
        "syncResult": {"revision": "a" * 40, "resources": [failed]},
    }
    annotations = {"recovery.gitops.dev/mode": "act"}
    if number % 5 == 0:
        annotations["recovery.gitops.dev/paused"] = text
    return {
        "metadata": {"name": f"w-{number}", "annotations": annotations},
        "spec": {
            "project": "closed" if number % 7 == 0 else "default",
            "source": {
                "repoURL": f"https://bot:{other.split()[-1][:60]}@git.example/w-{number}.git",
                "path": ".",
                "targetRevision": "HEAD",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {}},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": "a" * 40},
            "health": {"status": "Degraded", "lastTransitionTime": "2026-03-02T12:00:00Z"},
            "reconciledAt": "2026-03-02T12:00:05Z",
            "resources": [
                {
                    "kind": "Deployment",
                    "name": "w",
                    "namespace": "shop",
                    "group": "apps",
                    "version": "v1",
                }
            ],
            "conditions": [
                {"type": "SyncError", "message": text},
                {"type": "ComparisonError", "message": other},
            ],
            "operationState": state,
        },
    }


def _outputs(p: Play, out: io.StringIO) -> list[str]:
    """Everything that leaves the process."""
    import zlib

    kept = [out.getvalue(), *map(str, p.told), *map(str, p.extra)]  # type: ignore[attr-defined]
    for what in (RECOVERIES, EVENTS):
        kept += [json.dumps(item) for item in p.world.cluster.every(what)]
    for item in p.world.cluster.every(CONFIG_MAPS):
        if CHECKPOINT_LABEL in (item["metadata"].get("labels") or {}):
            kept.append(zlib.decompress(base64.b64decode(item["binaryData"]["sights"])).decode())
    return kept
