"""The real control plane and Argo CD, built from their own modules and kept outside the tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).parent / "go"
VERSION = "v1.34.4"
ARGOCD = "v3.2.11"
BUILT = ("kube-apiserver", "argocd", "kube-controller-manager", "kubectl")
PARTS = (
    "argocd-server",
    "argocd-repo-server",
    "argocd-application-controller",
    "argocd-applicationset-controller",
)
DEBIAN = {"etcd": "etcd-server", "redis-server": "redis-server", "git": "git"}


def say(text: str) -> None:
    """Progress for people; never part of a result."""
    print(f"[testbed] {text}", file=sys.stderr, flush=True)


def cache() -> Path:
    """Where the binaries of exactly these sources are kept."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(SOURCE).as_posix().encode() + path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "gitops-recovery-testbed" / digest.hexdigest()[:16]


def ready() -> Path:
    """The folder with all binaries; builds what is missing, and says so (about 9 minutes from
    nothing on 2 cores)."""
    _debian()
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION} -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
    for name in BUILT:
        target = folder / name
        if target.exists():
            continue
        say(f"building {name}, once (cached in {folder}) ...")
        began = time.monotonic()
        building = target.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["go", "build", "-ldflags", flags, "-o", str(building), f"./{name}"],
            cwd=SOURCE,
            check=True,
        )
        building.rename(target)
        say(f"built {name} in {time.monotonic() - began:.0f}s")
    for name in PARTS:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to("argocd")
    return folder


def crds() -> Path:
    """Argo CD's CRDs, from its module."""
    where = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3"],
        cwd=SOURCE,
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(where.stdout.strip()) / "manifests" / "crds"


def _debian() -> None:
    missing = sorted(
        {package for program, package in DEBIAN.items() if shutil.which(program) is None}
    )
    if missing:
        say(f"installing {', '.join(missing)} ...")
        quiet = {
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            "check": True,
            "stdout": subprocess.DEVNULL,
        }
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], **quiet
        )


if __name__ == "__main__":
    say(f"binaries are in {ready()}")
