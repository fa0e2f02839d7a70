"""Bare git repositories, one an application, read by Argo CD over file://."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "test"), ("EMAIL", "test@example.com"))
}


class Repositories:
    """Keeps a bare repository and a work tree for each name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Where the bare repositories are."""
        return self._folder

    def url(self, name: str) -> str:
        """Where Argo CD reads it."""
        return f"file://{self._folder / name}.git"

    def commit(self, name: str, manifests: tuple[dict[str, Any], ...]) -> str:
        """Commit exactly these manifests and push; the hash."""
        return self.commit_files(name, {"all.yaml": yaml.safe_dump_all(manifests)})

    def commit_files(self, name: str, files: dict[str, str]) -> str:
        """Commit these files, beside those that are there already, and push; the hash."""
        bare, tree = self._folder / f"{name}.git", self._folder / name
        if not bare.exists():
            self._git(self._folder, "init", "-q", "--bare", "-b", "main", str(bare))
            self._git(self._folder, "init", "-q", "-b", "main", str(tree))
            self._git(tree, "remote", "add", "origin", str(bare))
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        self._git(tree, "add", "-A")
        self._git(tree, "commit", "-q", "--allow-empty", "-m", "change")
        self._git(tree, "push", "-q", "origin", "main")
        return self._git(tree, "rev-parse", "HEAD").strip()

    def _git(self, where: Path, *words: str) -> str:
        return subprocess.run(
            ["git", *words],
            cwd=where,
            env={**os.environ, **WHO},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
