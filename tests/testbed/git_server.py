"""Git over HTTP with a password: ``git http-backend`` behind a few lines, as a process of its own
that can be killed."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path

from aiohttp import web

USER = "argo"


def _allowed(request: web.Request, password: Path) -> bool:
    """Read anew for every request: a password may be rotated."""
    wanted = base64.b64encode(f"{USER}:{password.read_text().strip()}".encode()).decode()
    return request.headers.get("Authorization", "") == f"Basic {wanted}"


def serve(folder: str, port: int, password: Path) -> None:
    """Until killed."""
    program = "git-http-backend"
    path = os.popen("git --exec-path").read().strip()  # noqa: S605 (the test bed's own git)

    async def answer(request: web.Request) -> web.Response:
        if not _allowed(request, password):
            return web.Response(
                status=401, headers={"WWW-Authenticate": 'Basic realm="git"'}, text="who are you?"
            )
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": USER,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        process = await asyncio.create_subprocess_exec(
            f"{path}/{program}",
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(
            status=status,
            body=body,
            headers={k: v for k, v in headers.items() if k.lower() != "content-length"},
        )

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handler_cancellation=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
