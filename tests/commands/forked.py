"""The command as a person runs it, in a process of its own that need not import everything anew.

One process imports the commands once; each run is a fork of it with its own environment, arguments
and standard streams. That the installed program starts by itself is asked in test_commands.py and
by the wheel's test.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60
INHERITED = ("RECOVERY_", "ARGOCD_", "KUBE", "COLUMNS")
"""What of the environment of the tests no command is to see."""
_SERVER = """
import gc, json, os, signal, sys
from importlib import import_module
import kubernetes_asyncio.client, kubernetes_asyncio.config
from recovery import cli
for name in ("kube.asyncio_client", *("commands." + name for name in sorted(set(cli.COMMANDS.values())))):
    import_module("recovery." + name)
gc.freeze()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(asked["seconds"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = ["recovery", *asked["words"]]
        for number, path in enumerate(asked["streams"]):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # no interpreter is taken down: that costs as much as most commands
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def _server() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run(*words: str, text: str | bytes = "", **env: str) -> subprocess.CompletedProcess[str]:
    """The command with these words; its exit code and what it printed. Raises TimeoutExpired after
    60 s."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(INHERITED)}
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        streams[0].write_bytes(text if isinstance(text, bytes) else text.encode())
        asked = {
            "words": words,
            "env": clean | env,
            "streams": [str(each) for each in streams],
            "seconds": SECONDS,
        }
        with _ONE_AT_A_TIME:
            server = _server()
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            code = int(server.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(words, SECONDS)
        out, err = (each.read_text() for each in streams[1:])
        assert "Traceback" not in out + err
        return subprocess.CompletedProcess(words, code, out, err)
