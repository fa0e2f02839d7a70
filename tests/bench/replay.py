"""``python -m tests.bench.replay``: a month of 10,000 applications, replayed by the command."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.replay.made_up_log import log_lines

APPLICATIONS, DAYS, AN_HOUR = 10_000, 30, 45


def main() -> None:
    """Print what came out, how long it took and the most memory (MiB) that it needed."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "controller.log"
        log.write_text("\n".join(log_lines(APPLICATIONS, DAYS, AN_HOUR)))
        begun = time.monotonic()
        command = [Path(sys.executable).parent / "recovery", "replay", log]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        took = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\n{took:.0f} s, {peak:.0f} MiB")


if __name__ == "__main__":
    main()
