"""The wheel with what it says it needs, in an environment that has nothing else: as `pip install`
gives it to an evaluator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recovery import __version__

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e
APPLICATION = """{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
 "metadata": {"name": "cart", "namespace": "argocd", "uid": "u"}, "spec": {"project": "default",
 "source": {"repoURL": "https://git.example/cart.git"}, "destination": {"server": "https://kubernetes.default.svc"}},
 "status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Degraded"}}}"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``recovery`` of a wheel that was installed with its dependencies, in the versions that are
    pinned."""
    place = tmp_path_factory.mktemp("bare")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(place),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    pins = re.findall(
        r"^[A-Za-z0-9_.-]+==[^ ;\\\\]+", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE
    )
    (place / "pins.txt").write_text("\n".join(pins))
    subprocess.run([sys.executable, "-m", "venv", str(place / "env")], check=True)
    install = [
        str(place / "env/bin/pip"),
        "install",
        "-q",
        "--disable-pip-version-check",
        "-c",
        str(place / "pins.txt"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, env=_bare(place))
    return place / "env/bin/recovery"


def _bare(place: Path) -> dict[str, str]:
    kept = {
        k: v
        for k, v in os.environ.items()
        if k.startswith(("PIP_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_"))
    }
    return {**kept, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(place))}


WORDS = {
    "version": (["--version"], "", __version__),
    "client": (["version", "--client"], "", f"client: {__version__}"),
    "help": (["--help"], "", "explain"),
    "check": (["check", str(ROOT / "config/policies.yaml")], "", "application-sync-failure"),
    "plan": (["plan", "-f", "-"], APPLICATION, "1 application"),
    "explain": (["explain", "-f", "-"], APPLICATION, "cart"),
    "schema": (["schema"], "", "recovery_policies"),
}


@pytest.mark.parametrize(("words", "given", "told"), WORDS.values(), ids=WORDS)
def test_every_way_that_needs_no_cluster_runs(
    program: Path, words: list[str], given: str, told: str
) -> None:
    done = subprocess.run(
        [str(program), *words],
        input=given,
        capture_output=True,
        text=True,
        cwd=program.parent,
        env=_bare(program.parent),
    )

    assert done.returncode in (0, 1), done.stderr
    assert told in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_runs(program: Path) -> None:
    done = subprocess.run(
        [str(program), "demo"],
        capture_output=True,
        text=True,
        cwd=program.parent,
        env=_bare(program.parent),
        timeout=300,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
