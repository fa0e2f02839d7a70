"""Adoptions: what people have taken on that was unhealthy before the controller came: annotations
on the policies' ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from recovery.model.application import Application
from recovery.model.connection import Cluster, Repository
from recovery.model.names import PREFIX
from recovery.model.selector import Selector
from recovery.model.timestamps import aware

log = structlog.get_logger(__name__)
ADOPTED_AT = PREFIX + "adopted-at"
"""Annotation on the ConfigMap: `recovery adopt` of everything says when."""
ADOPTED = PREFIX + "adopted"
"""Annotation on the ConfigMap: who was adopted by name or project, and when; JSON, a list of
Adoption."""
MAX_ADOPTIONS = 500
"""Entries that are read: an annotation holds 256 KiB at most, with all others."""


class Adoption(Struct, frozen=True, omit_defaults=True):
    """One `recovery adopt` with a selection."""

    at: datetime
    """UTC."""
    projects: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def selector(self) -> Selector:
        """The subjects that this adoption includes."""
        return Selector(projects=self.projects, namespaces=self.namespaces, names=self.names)


class Adoptions(Struct, frozen=True):
    """Every adoption that is written on the policies' ConfigMap."""

    everything_at: datetime | None = None
    chosen: tuple[Adoption, ...] = ()

    def of(self, about: Application | Repository | Cluster) -> datetime | None:
        """When it was last taken on; None for never."""
        found = [
            each.at
            for each in self.chosen
            if each.selector != Selector() and each.selector.selects(about)
        ]
        return max([*found, *([self.everything_at] if self.everything_at else [])], default=None)


def adoptions(annotations: Mapping[str, str]) -> Adoptions:
    """As the ConfigMap says; what cannot be read takes nobody on, and is logged."""
    everything, text = aware(annotations.get(ADOPTED_AT)), annotations.get(ADOPTED, "")
    try:
        chosen = msgspec.json.decode(text, type=tuple[Adoption, ...]) if text else ()
        if any(each.at.tzinfo is None for each in chosen):
            raise ValueError("a time without a zone")
    except (msgspec.DecodeError, ValueError) as error:
        log.warning(
            "an annotation cannot be read, and takes nobody on",
            annotation=ADOPTED,
            why=str(error)[:200],
        )
        chosen = ()
    return Adoptions(everything, chosen[-MAX_ADOPTIONS:])
