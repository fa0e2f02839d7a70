"""Processes of the test bed: each with its log, stopped by its id, also when a test fails."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One program, its output in a file."""

    def __init__(
        self, name: str, command: list[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)

    def start(self) -> Process:
        """Start it."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=self._env
            )
        return self

    @property
    def pid(self) -> int:
        """Its id; 0 when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and reap it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self, grace: float = 5) -> int:
        """SIGTERM, then kill -9 after ``grace`` seconds; the exit code."""
        if self._process is None:
            return 0
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
            if self.log.exists()
            else ""
        )


def wait_for(
    what: str, holds: Callable[[], bool], seconds: float, process: Process | None = None
) -> None:
    """Poll until it holds; RuntimeError with the process's last words when it ends or the time is
    over."""
    until = time.monotonic() + seconds
    while not holds():
        if process is not None and process.code is not None:
            raise RuntimeError(
                f"{process.name} ended with {process.code} while waiting for {what}:\n{process.tail()}"
            )
        if time.monotonic() > until:
            raise RuntimeError(
                f"{what}: not within {seconds}s" + (f"\n{process.tail()}" if process else "")
            )
        time.sleep(0.1)


def listening(port: int) -> bool:
    """Does anybody answer on this port?"""
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex(("127.0.0.1", port)) == 0
