"""``make bench``: the controller as its own process against a server process with 10,000
Applications of 26 KB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from msgspec import Struct

from tests.testbed.processes import Process, free_port, wait_for

LIMIT_MIB = 160
BIN = Path(sys.executable).parent


class Run(Struct):
    """What one size showed."""

    applications: int
    peak_mib: float
    settled_kib: float
    cpu_ready: float
    cpu_change_ms: float
    reactions: list[float]


def main() -> int:
    """Run the sizes and print a table; 1 when memory is above its limit."""
    runs = [measure(count) for count in (100, 5_000, 10_000)]
    small, middle, large = runs
    further = (large.settled_kib - middle.settled_kib) / (large.applications - middle.applications)
    print(f"\n{'applications of 26 KB':<26}" + "".join(f"{r.applications:>12,}" for r in runs))
    print(f"{'peak memory, MiB':<26}" + "".join(f"{r.peak_mib:>12.1f}" for r in runs))
    print(f"{'CPU to ready, s':<26}" + "".join(f"{r.cpu_ready:>12.2f}" for r in runs))
    print(f"{'CPU a change, ms':<26}" + "".join(f"{r.cpu_change_ms:>12.2f}" for r in runs))
    print(f"{'reaction p50, s':<26}" + "".join(f"{_at(r.reactions, 0.5):>12.2f}" for r in runs))
    print(f"{'reaction p99, s':<26}" + "".join(f"{_at(r.reactions, 0.99):>12.2f}" for r in runs))
    print(
        f"a further application: {further:.2f} KiB; a change at 10,000 costs {large.cpu_change_ms / small.cpu_change_ms:.2f} of one at 100"
    )
    if large.peak_mib > LIMIT_MIB or further > 4:
        print(
            f"FAILED: at most {LIMIT_MIB} MiB in all and 4 KiB a further application",
            file=sys.stderr,
        )
        return 1
    return 0


def measure(count: int) -> Run:
    """One server, one controller."""
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.server", str(count)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        config = Path(folder) / "kubeconfig"
        context = {"name": "b", "context": {"cluster": "b", "user": "b"}}
        clusters, users = [{"name": "b", "cluster": {"server": url}}], [{"name": "b", "user": {}}]
        config.write_text(
            json.dumps(
                {
                    "current-context": "b",
                    "contexts": [context],
                    "clusters": clusters,
                    "users": users,
                }
            )
        )
        listen = free_port()
        env = {
            "KUBECONFIG": str(config),
            "RECOVERY_LISTEN": f"127.0.0.1:{listen}",
            "RECOVERY_NAMESPACE": "gitops-system",
            "RECOVERY_LOG_FORMAT": "json",
        }
        controller = Process(
            "controller", [str(BIN / "recovery"), "run"], Path(folder) / "log", env
        ).start()
        try:
            wait_for("ready", lambda: _ready(listen), 120, controller)
            ready = _cpu(controller.pid)
            time.sleep(3)
            settled = _status(controller.pid, "VmRSS")
            number = min(count, 300)
            before = _cpu(controller.pid)
            urllib.request.urlopen(f"{url}/change?count={number}&rate=50", timeout=120).read()
            time.sleep(5)
            spent = _cpu(controller.pid) - before
            reactions = list(
                json.load(urllib.request.urlopen(f"{url}/reactions", timeout=10)).values()
            )
            assert len(reactions) == number, (
                f"{len(reactions)} of {number} changes were acted on\n{controller.tail()}"
            )
            peak = _status(controller.pid, "VmHWM")
            return Run(count, peak / 1024, settled, ready, spent / number * 1000, sorted(reactions))
        finally:
            controller.stop()
            server.kill()
            server.wait()
            server.stdout.close()


def _ready(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).status == 200
    except OSError:
        return False


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> float:
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(name)
    )
    return float(line.split()[1])


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    sys.exit(main())
