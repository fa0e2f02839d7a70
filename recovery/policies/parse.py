"""A policy file, or a ConfigMap that holds one, to the policies in force."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct, inspect

from recovery.causes.catalogue import BY_NAME
from recovery.decide.windows import wrong_with
from recovery.model.action import ActionKind
from recovery.model.duration import Duration
from recovery.model.notification_config import LOUDNESS, NotificationConfig, ReceiverOptions
from recovery.model.policy import (
    ActionSpec,
    Backoff,
    Condition,
    Mode,
    Policies,
    Policy,
    Severity,
    Step,
    SubjectType,
)
from recovery.model.storm import StormLimits
from recovery.model.timestamps import aware
from recovery.model.window import Pause, Window
from recovery.policies import templates
from recovery.policies.advice import advice
from recovery.policies.grammar import (
    ActionText,
    BackoffText,
    ConditionText,
    DefaultsText,
    Document,
    PauseText,
    PolicyText,
    StormText,
    WindowText,
)
from recovery.policies.nodes import compose
from recovery.policies.reading import MISSING, Problem, Reader, did_you_mean, readable

T = TypeVar("T")
MAX_CHANNELS, LONGEST_CHAIN = 200, 200
KEY = "policies.yaml"


class Defaults(Struct, frozen=True):
    """Defaults that the environment gives where neither policy nor ``defaults`` does."""

    attempts: int = 3
    """MAX_RECOVERY_ATTEMPTS."""
    backoff: timedelta = timedelta(seconds=300)
    """RECOVERY_INTERVAL."""


class InvalidPolicies(Exception):
    """The file is not usable; ``problems`` holds all that is wrong with it, in the file's order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__(
            "; ".join(str(p) for p in self.problems[:5])
            + (f" and {len(problems) - 5} more" if len(problems) > 5 else "")
        )


def parse(
    raw: bytes | str, actions: Mapping[str, ActionKind], defaults: Defaults | None = None
) -> Policies:
    """Read a policy file or a ConfigMap manifest; InvalidPolicies with every problem when it is not
    usable."""
    nodes, problems = compose(raw)
    if problems:
        raise InvalidPolicies(problems)
    held = next((block for node in nodes if (block := _in_config_map(node))), None)
    if held is not None:
        return _within(held, raw if isinstance(raw, str) else raw.decode(), actions, defaults)
    if len(nodes) != 1:
        message = (
            "the file is empty: write `recovery_policies:` and a list"
            if not nodes
            else "more than one document: a policy file has one"
        )
        raise InvalidPolicies([Problem(1, 1, "", message)])
    reader = Reader()
    document = reader.read(nodes[0], inspect.type_info(Document), "")
    resolver = _Resolver(reader, actions, defaults or Defaults())
    policies = resolver.resolve(document) if document is not MISSING else None
    if document is MISSING:
        resolver.look_anyway(nodes[0])
    if reader.problems or policies is None:
        raise InvalidPolicies(reader.problems)
    text = raw if isinstance(raw, bytes) else raw.encode()
    return msgspec.structs.replace(policies, hash=hashlib.sha256(text).hexdigest()[:12])


def steps_from(
    written: tuple[ActionSpec, ...], actions: Mapping[str, ActionKind]
) -> tuple[Step, ...] | None:
    """The steps a running attempt began with, from what the Recovery kept; None when they cannot be
    read any more."""
    try:
        steps = []
        for one in written:
            kind = actions[one.type]
            parameters = msgspec.convert(one.parameters, kind.parameters, dec_hook=_duration)
            timeout = Duration.parse(one.timeout) if one.timeout else None
            steps.append(
                Step(kind, parameters, one, timeout, Mode(one.mode) if one.mode else Mode.act)
            )
        return tuple(steps)
    except (KeyError, ValueError, msgspec.ValidationError):
        return None


def _duration(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError


def _in_config_map(node: yaml.Node) -> yaml.ScalarNode | None:
    """The block scalar of data[policies.yaml], when this document is a ConfigMap."""
    top = _children(node)
    kind, data = top.get("kind"), top.get("data")
    if kind is None or kind.value != "ConfigMap" or data is None:
        return None
    block = _children(data).get(KEY)
    if not isinstance(block, yaml.ScalarNode):
        mark = data.start_mark
        raise InvalidPolicies(
            [Problem(mark.line + 1, mark.column + 1, "data", f"the ConfigMap has no key {KEY}")]
        )
    return block


def _children(node: yaml.Node) -> dict[str, yaml.Node]:
    return {str(k.value): v for k, v in node.value} if isinstance(node, yaml.MappingNode) else {}


def _within(
    block: yaml.ScalarNode, outer: str, actions: Mapping[str, ActionKind], defaults: Defaults | None
) -> Policies:
    """Parse the text inside the ConfigMap, giving the outer file's lines."""
    try:
        return parse(str(block.value), actions, defaults)
    except InvalidPolicies as error:
        if block.style != "|":
            raise
        first = block.start_mark.line + 1  # the text begins in the line after the bar
        indent = _indent(outer.split("\n")[first:], str(block.value))
        moved = [
            Problem(p.line + first, p.column + indent, p.path, p.message) if p.line else p
            for p in error.problems
        ]
        raise InvalidPolicies(moved) from error


def _indent(outer: list[str], text: str) -> int:
    """How many columns YAML took off every line of the block."""
    for line, inner in zip(outer, text.split("\n"), strict=False):
        if inner.strip():
            return len(line.rstrip("\r")) - len(inner.rstrip("\r"))
    return 0


class _Resolver:
    """Written policies to policies in force; problems go to the reader."""

    def __init__(
        self, reader: Reader, actions: Mapping[str, ActionKind], defaults: Defaults
    ) -> None:
        self._reader = reader
        self._actions = actions
        self._environment = defaults

    def resolve(self, document: Document) -> Policies:
        """All policies; those with problems are left out (and the problems make the whole file
        unusable)."""
        names: dict[str, int] = {}
        policies = []
        for index, text in readable(document.recovery_policies):
            path = f"recovery_policies[{index}]"
            if text.name in names:
                self._reader.also(
                    None,
                    f"{path}.name",
                    f"{text.name!r} is the name of recovery_policies[{names[text.name]}] already",
                )
            names.setdefault(text.name, index)
            policies.append(self._policy(text, path, document.defaults))
        guards = document.guards
        return Policies(
            tuple(policies),
            guards.budget,
            document.ledger,
            document.defaults.channels or (),
            storm=_storm(guards.storm),
            windows=tuple(
                self._window(w, f"guards.windows[{i}]") for i, w in readable(guards.windows)
            ),
            pauses=tuple(self._pause(p, f"guards.pauses[{i}]") for i, p in readable(guards.pauses)),
            warnings=advice(document, policies),
            notices=self._notices(document),
        )

    def _notices(self, document: Document) -> NotificationConfig:
        if len(document.channels) > MAX_CHANNELS:
            self._reader.also(
                None,
                "channels",
                f"{len(document.channels)} entries; at most {MAX_CHANNELS} are allowed",
            )
            return NotificationConfig()
        for name, options in document.channels.items():
            for i, quiet in readable(options.quiet_hours):
                if why := wrong_with(quiet.schedule, quiet.timezone):
                    self._reader.also(None, f"channels.{name}.quiet_hours[{i}]", why)
                elif not quiet.duration or quiet.duration > timedelta(days=1):
                    self._reader.also(
                        None,
                        f"channels.{name}.quiet_hours[{i}].duration",
                        "write how long they last, up to 24h, such as 8h",
                    )
                if LOUDNESS[-1] in quiet.severities:
                    self._reader.also(
                        None,
                        f"channels.{name}.quiet_hours[{i}].severities",
                        "what is critical is never kept back",
                    )
            if name in (ways := _fallbacks(name, document.channels)):
                loop = " -> ".join((name, *ways[: ways.index(name) + 1]))
                self._reader.also(
                    None,
                    f"channels.{name}.fallback",
                    f"a channel cannot stand in for itself ({loop}); name another one",
                )
        for i, route in readable(document.routes):
            after = [later.after for _, later in readable(route.then)]
            if after != sorted(after):
                self._reader.also(
                    None,
                    f"routes[{i}].then",
                    "not in the order of their times; write the earliest first",
                )
            if not route.channels and not route.then:
                self._reader.also(
                    None, f"routes[{i}]", "leads nowhere; write channels, or then, or both"
                )
        for name in ("title", "body"):
            if why := templates.wrong_with(getattr(document.messages, name)):
                self._reader.also(
                    None, f"messages.{name}", f"not a template that can be used: {why}"
                )
        for name in ("page", "argocd", "runbook"):
            address = getattr(document.messages.links, name)
            if address and not address.startswith(("https://", "http://")):
                self._reader.also(
                    None,
                    f"messages.links.{name}",
                    f"{address[:80]!r} is no address; write https://HOST/PATH",
                )
        return NotificationConfig(document.routes, document.channels, document.messages)

    def _window(self, text: WindowText, path: str) -> Window:
        if why := wrong_with(text.schedule, text.timezone):
            self._reader.also(None, path, why)
        if not text.duration:
            self._reader.also(
                None,
                f"{path}.duration",
                "a window that is never open; write how long it lasts, such as 8h",
            )
        for action in text.actions:
            if action not in self._actions:
                self._reader.also(
                    None,
                    f"{path}.actions",
                    f"unknown action {action!r}{did_you_mean(action, self._actions)}",
                )
        return Window(text.schedule, text.duration, text.timezone, text.selector, text.actions)

    def _pause(self, text: PauseText, path: str) -> Pause:
        until = aware(text.until) if text.until else None
        if text.until and until is None:
            self._reader.also(
                None,
                f"{path}.until",
                f"{text.until!r} is no time; write one such as 2026-12-24T18:00:00Z",
            )
        return Pause(text.selector, text.reason, "the policy file", until)

    def look_anyway(self, root: yaml.Node) -> None:
        """When the file cannot be read as a whole, still report what is wrong with the actions in
        it."""
        policies = _children(root).get("recovery_policies")
        for i, policy in enumerate(
            policies.value if isinstance(policies, yaml.SequenceNode) else ()
        ):
            actions = _children(policy).get("actions")
            for j, action in enumerate(
                actions.value if isinstance(actions, yaml.SequenceNode) else ()
            ):
                fields = _children(action)
                kind = fields.get("type")
                if isinstance(kind, yaml.ScalarNode):
                    self._parameters(
                        str(kind.value),
                        f"recovery_policies[{i}].actions[{j}]",
                        fields.get("parameters"),
                    )

    def _policy(self, text: PolicyText, path: str, defaults: DefaultsText) -> Policy:
        condition = self._condition(text.condition, f"{path}.condition")
        steps = tuple(
            self._step(action, f"{path}.actions[{i}]", condition.type)
            for i, action in readable(text.actions)
        )
        attempts = text.attempts or defaults.attempts or self._environment.attempts
        return Policy(
            name=text.name,
            condition=condition,
            actions=tuple(step for step in steps if step is not None),
            selector=text.selector,
            mode=text.mode or defaults.mode or Mode.act,
            severity=text.severity or defaults.severity or Severity.high,
            attempts=attempts,
            backoff=self._backoff(text.backoff or defaults.backoff or BackoffText()),
            healthy_delay=_first(text.healthy_delay, defaults.healthy_delay, timedelta(seconds=30)),
            reset_after=_first(text.reset_after, defaults.reset_after, timedelta(minutes=10)),
            channels=text.channels or (),
        )

    def _condition(self, text: ConditionText, path: str) -> Condition:
        condition = Condition(
            text.type,
            text.duration,
            status=_many(text.status),
            health=_many(text.health),
            operation=_many(text.operation),
            cause=_many(text.cause),
            connection_state=_many(text.connection_state),
        )
        codes = {cause.code: name for name, cause in BY_NAME.items()}
        condition = msgspec.structs.replace(
            condition, cause=tuple(codes.get(each, each) for each in condition.cause)
        )
        of_app = ("status", "health", "operation", "cause")
        for cause in condition.cause:
            if cause not in BY_NAME:
                self._reader.also(
                    None, f"{path}.cause", f"unknown cause {cause!r}{did_you_mean(cause, BY_NAME)}"
                )
        given = [name for name in (*of_app, "connection_state") if getattr(condition, name)]
        application = text.type is SubjectType.application
        for name in given:
            if (name == "connection_state") is application and name != "cause":
                right = "status, health, operation or cause" if application else "connection_state"
                self._reader.also(
                    None, f"{path}.{name}", f"says nothing about {_a(text.type)}; use {right}"
                )
        if not given:
            needed = (
                "one of status, health, operation, cause" if application else "connection_state"
            )
            self._reader.also(None, path, f"a condition on {_a(text.type)} needs {needed}")
        return condition

    def _step(self, text: ActionText, path: str, subject: SubjectType) -> Step | None:
        parameters = self._parameters(
            text.type, path, self._reader.places.get(f"{path}.parameters")
        )
        kind = self._actions.get(text.type)
        if kind is None or parameters is MISSING:
            return None
        if subject.value not in kind.applies_to:
            what = f"works on {' and '.join(sorted(kind.applies_to))}, not on {subject.value}"
            self._reader.also(None, f"{path}.type", f"{text.type!r} {what}")
        if text.timeout is not None and not text.timeout:
            self._reader.also(None, f"{path}.timeout", "a step needs some time to show its effect")
        mode = text.mode.value if text.mode is not Mode.act else ""
        written = ActionSpec(
            text.type, text.parameters, str(text.timeout) if text.timeout else "", mode
        )
        return Step(kind, parameters, written, text.timeout, text.mode)

    def _parameters(self, name: str, path: str, node: yaml.Node | None) -> Any:
        kind = self._actions.get(name)
        if kind is None:
            return self._reader.also(
                None, f"{path}.type", f"unknown action {name!r}{did_you_mean(name, self._actions)}"
            )
        described = inspect.type_info(kind.parameters)
        if node is None or node.tag.endswith(":null"):
            return kind.parameters()
        return self._reader.read(node, described, f"{path}.parameters")

    def _backoff(self, text: BackoffText) -> Backoff:
        return Backoff(
            _first(text.duration, None, self._environment.backoff), text.factor, text.max_duration
        )


def _fallbacks(name: str, channels: Mapping[str, ReceiverOptions]) -> list[str]:
    """Receivers that stand in for it, and for that one, and so on; until nobody does or one comes a
    second time."""
    found: dict[str, None] = {}
    while (
        len(found) < LONGEST_CHAIN
        and name in channels
        and (name := channels[name].fallback)
        and name not in found
    ):
        found[name] = None
    return list(found)


def _storm(text: StormText) -> StormLimits:
    fleet, group = int(text.fleet.rstrip("%")), int(text.group.rstrip("%"))
    return StormLimits(text.window, text.minimum, fleet, group, text.count, text.cooldown)


def _a(kind: SubjectType) -> str:
    return f"{'an' if kind is SubjectType.application else 'a'} {kind.value}"


def _many(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,)


def _first(written: timedelta | None, default: timedelta | None, last: timedelta) -> timedelta:
    return written if written is not None else default if default is not None else last
