"""helm, built from its module and kept outside the tree beside the test bed's other programs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.testbed.binaries import cache, say

VERSION = "v3.19.2"


def ready() -> Path:
    """The program; built when it is not there yet (about two minutes on 2 cores)."""
    folder = cache().parent / f"helm-{VERSION}"
    program = folder / "helm"
    if not program.exists():
        say(f"building helm {VERSION}, once (cached in {folder}) ...")
        began = time.monotonic()
        building = folder / f"building-{os.getpid()}"
        building.mkdir(parents=True)
        env = {**os.environ, "GOBIN": str(building)}
        subprocess.run(
            ["go", "install", f"helm.sh/helm/v3/cmd/helm@{VERSION}"], cwd="/", env=env, check=True
        )
        (building / "helm").rename(program)
        building.rmdir()
        say(f"built helm in {time.monotonic() - began:.0f}s")
    return program
