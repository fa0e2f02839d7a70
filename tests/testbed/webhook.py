"""An admission webhook that says no, and that can be away."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.testbed.processes import free_port


class Webhook:
    """Over TLS on loopback, with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve."""
        key, cert = self._folder / "key.pem", self._folder / "cert.pem"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=policy",
            "-addext",
        ]
        await asyncio.to_thread(
            subprocess.run,
            [*command, "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True,
            capture_output=True,
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        app = web.Application()
        app.router.add_post("/", self._review)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def stop(self) -> None:
        """Be away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _review(self, request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        status = {"message": "images have to come from registry.example/approved"}
        return web.json_response(
            {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": uid, "allowed": False, "status": status},
            }
        )

    def configuration(self, name: str, label: str, port: int = 0) -> dict[str, Any]:
        """Asks it about ConfigMaps with this label; another port is one where nobody answers."""
        ca = base64.b64encode((self._folder / "cert.pem").read_bytes()).decode()
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"{name}.policies.example",
                    "clientConfig": {
                        "url": f"https://127.0.0.1:{port or self.port}/",
                        "caBundle": ca,
                    },
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["configmaps"],
                        }
                    ],
                    "objectSelector": {"matchLabels": {"asks": label}},
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "timeoutSeconds": 3,
                    "failurePolicy": "Fail",
                }
            ],
        }
