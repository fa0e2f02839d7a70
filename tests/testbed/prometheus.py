"""Debian's Prometheus on loopback."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.testbed.processes import Process, free_port, wait_for


def installed() -> None:
    """Install it where it is not."""
    if shutil.which("prometheus") is None:
        words = ("install", "-y", "-qq", "--no-install-recommends", "prometheus")
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
        subprocess.run(["apt-get", *words], check=True, capture_output=True)


@contextmanager
def scraping(
    folder: Path, job: str, target: str, interval: str = "1s", rules: tuple[Path, ...] = ()
) -> Iterator[int]:
    """A Prometheus that scrapes this; its port. Stopped afterwards, also when a test fails."""
    port = free_port()
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    words = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = Process("prometheus", ["prometheus", *words], folder / "log").start()
    try:
        wait_for("Prometheus", lambda: _ready(port), 30, process)
        yield port
    finally:
        process.stop()


def _ready(port: int) -> bool:
    try:
        return bool(
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2).status == 200
        )
    except OSError:
        return False
