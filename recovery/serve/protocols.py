"""Views: what there is to see, as the HTTP faces ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from recovery.model.names import SubjectKey
from recovery.serve.pagination import Page, Query


class CanView(Protocol):
    """May the viewer see what belongs to this project?"""

    def __call__(self, project: str, /) -> bool: ...


class PageQueries(Protocol):
    """Rows of the page, as the HTTP server asks for them."""

    @property
    def version(self) -> str:
        """Another one whenever something that is shown may have changed."""

    def projects(self) -> set[str]:
        """Names of all projects that are known."""

    def open(self, sees: CanView, query: Query) -> Page[Any]: ...
    def past(self, sees: CanView, query: Query) -> Page[Any]: ...
    def since_installation(self, sees: CanView) -> tuple[datetime | None, list[Any]]: ...
    def waiting(self, sees: CanView, query: Query) -> Page[Any]: ...
    def applications(self, sees: CanView, query: Query) -> Page[Any]: ...
    def connections(self, sees: CanView, query: Query) -> Page[Any]: ...
    def counts(self, sees: CanView) -> dict[str, int]: ...
    def breakdown(self, sees: CanView) -> list[Any]: ...
    def storms(self, sees: CanView) -> list[str]: ...
    def days(self, sees: CanView) -> list[Any]: ...
    def policies(self, sees: CanView) -> list[str]: ...
    def timeline(self, name: str, sees: CanView) -> Any: ...
    def subject(self, key: SubjectKey) -> tuple[str, bool]: ...


class Views(Protocol):
    """Views on the controller's state, for API and status."""

    def ready(self) -> tuple[str, ...]:
        """Why it is not ready, one sentence a reason; empty when it is."""

    def details(self) -> Mapping[str, Any]:
        """Details that ``/ready`` tells besides: the policies in force, and what is wrong with a
        newer text."""

    def metrics(self) -> bytes:
        """The exposition text that /metrics serves."""

    def recoveries(self, sees: CanView) -> Mapping[str, Any]:
        """Recoveries, pending conditions and suppressions."""

    def explain(self, key: SubjectKey, sees: CanView) -> Mapping[str, Any] | None:
        """Everything decided about one subject; None when it is not known."""

    @property
    def browsing(self) -> PageQueries | None:
        """Rows for the page; None while there are none."""


class Starting:
    """Before anything is there to be seen."""

    browsing = None

    def ready(self) -> tuple[str, ...]:
        return ("starting",)

    def details(self) -> Mapping[str, Any]:
        return {}

    def metrics(self) -> bytes:
        return b""

    def recoveries(self, sees: CanView) -> Mapping[str, Any]:  # noqa: ARG002 (nothing is known yet)
        return {"recoveries": [], "pending": [], "ready": False}

    def explain(self, key: SubjectKey, sees: CanView) -> Mapping[str, Any] | None:  # noqa: ARG002 (nothing is known yet)
        return None
