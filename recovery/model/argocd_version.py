"""Differences between the versions of Argo CD that we work with (2.14 to 3.6), all of it in this
one place."""

from __future__ import annotations

import re

from msgspec import Struct


class ArgoCDFeatures(Struct, frozen=True):
    """One version's ways; ``version`` is empty as long as nobody has said which it is."""

    version: tuple[int, ...] = ()

    @property
    def known(self) -> bool:
        """Has Argo CD told its version?"""
        return bool(self.version)

    @property
    def drops_enabled(self) -> bool:
        """Whether the CRD has no ``automated.enabled`` and drops it in silence: auto-sync is
        suspended by taking ``automated`` out (since 3.1.0:
        pkg/apis/application/v1alpha1/types.go:SyncPolicyAutomated). Unknown: it is written and read
        back."""
        return self.known and self.version < (3, 1)

    @property
    def keeps_health(self) -> bool:
        """Health of every resource stands in the Application itself (default before 3.0:
        controller.resource.health.persist); else it is in the resource tree alone. Both are read,
        whatever the version says."""
        return self.known and self.version < (3, 0)

    @property
    def stamps_refreshes(self) -> bool:
        """A refresh carries a second annotation, so that a second request is not lost while the
        first is served (since 3.6: controller/appcontroller.go:handleRefreshAnnotation)."""
        return self.version >= (3, 6)

    @property
    def terminates_in_windows(self) -> bool:
        """An operation that a closed sync window holds can be ended (3.4.13, 3.5.7, 3.6.1:
        controller/sync.go:SyncAppState)."""
        v = self.version
        return v >= (3, 6, 1) or (3, 5, 7) <= v < (3, 6) or (3, 4, 13) <= v < (3, 5)

    def __str__(self) -> str:
        return ".".join(map(str, self.version)) or "unknown"


def dialect_of(version: str) -> ArgoCDFeatures:
    """From what ``/api/version`` says, such as ``v3.2.11+abc``; an odd word reads as unknown."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version.strip())
    return (
        ArgoCDFeatures(tuple(int(part or 0) for part in found.groups()))
        if found
        else ArgoCDFeatures()
    )
