"""The policies ConfigMap, watched: a good edit applies at once, a bad one changes nothing and is
reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import structlog
from msgspec import Struct

from recovery.model.action import ActionKind
from recovery.model.policy import Policies
from recovery.observe import wire_types
from recovery.observe.adoption import Adoptions, adoptions
from recovery.policies import KEY, Defaults, InvalidPolicies, Problem, parse

log = structlog.get_logger(__name__)


class ConfigMap(Struct, rename="camel"):
    """A ConfigMap, as far as policies need it."""

    metadata: wire_types.Meta
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None


decode = msgspec.json.Decoder(ConfigMap).decode


class PolicySource:
    """The last good policies, and what is wrong with the newest text if it is not good."""

    def __init__(
        self,
        actions: Mapping[str, ActionKind],
        defaults: Defaults,
        changed: Callable[[Policies], None],
        refused: Callable[[ConfigMap, str], None],
    ) -> None:
        self.actions = actions
        self._defaults = defaults
        self._changed = changed
        self._refused = refused
        self.policies: Policies | None = None
        self.error = "the ConfigMap has not been read yet"
        self.errors = 0
        """Texts refused since the start."""
        self.adoptions = Adoptions()
        self._text: str | None = None

    def put(self, item: ConfigMap) -> None:
        """The ConfigMap as it is now."""
        self.adoptions = adoptions(item.metadata.annotations or {})
        text = (item.data or {}).get(KEY)
        if text is not None and text == self._text:
            return
        self._text = text
        try:
            if text is None:
                others = (
                    ", ".join(sorted({**(item.data or {}), **(item.binary_data or {})})) or "none"
                )
                raise InvalidPolicies(
                    [Problem(0, 0, "", f"the ConfigMap has no key {KEY} (its keys: {others})")]
                )
            policies = parse(text, self.actions, self._defaults)
        except InvalidPolicies as error:
            self._refuse(item, str(error))
            return
        except Exception as error:
            # Whatever a text may do to the parser: it is refused, and what was good stays in force.
            log.exception("the policies could not be read")
            self._refuse(item, f"the text cannot be read ({type(error).__name__})")
            return
        self.policies, self.error = policies, ""
        log.info(
            "policies in force", hash=policies.hash, policies=[p.name for p in policies.policies]
        )
        for warning in policies.warnings:
            log.warning("policies", warning=warning)
        self._changed(policies)

    def drop(self, namespace: str, name: str) -> None:
        """Drop a deleted ConfigMap: the last good policies stay."""
        self._text = None
        self._refuse(
            ConfigMap(wire_types.Meta(name, namespace)), f"the ConfigMap {namespace}/{name} is gone"
        )

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """After a whole list: is it there at all?"""
        if not names:
            self._text = None
            missing = f"the ConfigMap is not there; create it in {scope} with a key {KEY}"
            if self.error != missing:
                self._refuse(None, missing)

    def _refuse(self, item: ConfigMap | None, message: str) -> None:
        self.error = message
        self.errors += 1
        kept = (
            f"the policies of {self.policies.hash} stay in force"
            if self.policies
            else "nothing is in force"
        )
        log.error("policies refused", error=message, kept=kept)
        if item is not None:
            self._refused(item, f"{message}; {kept}")
