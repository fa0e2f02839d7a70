"""Repositories in memory: commits of whole manifests."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

from msgspec import Struct

Manifests = tuple[dict[str, Any], ...]


class Commit(Struct, frozen=True):
    """A revision and what it wants."""

    sha: str
    manifests: Manifests


class Git:
    """Branch heads by repository URL; each repository holds one application's manifests."""

    def __init__(self) -> None:
        self._commits: dict[str, list[Commit]] = {}
        self.registered: dict[str, str] = {}
        """Repositories that Argo CD has a Secret for, and the password in it."""
        self.password = ""
        """What the server wants of registered ones."""
        self.up = True

    def trouble(self, url: str) -> str:
        """Error that Argo CD gets when it reads there; empty when it can."""
        if not self.up:
            return (
                f'failed to list refs: Get "{url}/info/refs?service=git-upload-pack": dial tcp'
                " 10.0.0.9:443: connect: connection refused"
            )
        if url in self.registered and self.registered[url] != self.password:
            return "failed to list refs: authentication required: Unauthorized"
        return ""

    def commit(self, url: str, manifests: Manifests) -> str:
        """Add a commit; its hash, 40 hexadecimal digits."""
        commits = self._commits.setdefault(url, [])
        sha = hashlib.sha1(f"{url}#{len(commits)}".encode(), usedforsecurity=False).hexdigest()
        commits.append(Commit(sha, manifests))
        return sha

    def head(self, url: str) -> Commit | None:
        """The newest commit of a repository, or None."""
        commits = self._commits.get(url)
        return commits[-1] if commits else None

    def at(self, url: str, sha: str) -> Commit | None:
        """The commit of this hash in a repository, or None."""
        return next((c for c in self._commits.get(url, ()) if c.sha == sha), None)


def built(commit: Commit, source: dict[str, Any]) -> list[dict[str, Any]]:
    """Manifests that a commit wants with the images that the Application's own source sets
    (``spec.source.kustomize.images``)."""
    images = {
        str(image).rpartition(":")[0]: str(image)
        for image in (source.get("kustomize") or {}).get("images") or ()
    }
    found = []
    for manifest in commit.manifests:
        made = deepcopy(manifest) if images else manifest
        for container in (
            ((made.get("spec") or {}).get("template") or {}).get("spec", {}).get("containers") or ()
            if images
            else ()
        ):
            container["image"] = images.get(
                container["image"].rpartition(":")[0], container["image"]
            )
        found.append(made)
    return found
