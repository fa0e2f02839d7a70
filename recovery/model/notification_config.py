"""Configuration of notifications: who is told, where, when and in which words: all of it written in
the policy file, none of it a credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, field

from recovery.model.commit import HOSTS
from recovery.model.duration import Duration, default
from recovery.model.selector import Selector

LOUDNESS = ("info", "warning", "high", "critical")
"""Severities, the loudest last."""
GitHost = Annotated[str, Meta(pattern=r"^(github|gitlab|gitea|forgejo|bitbucket)$")]
Loud = Annotated[str, Meta(pattern=r"^(critical|high|warning|info)$")]


class MuteTimeInterval(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours in which a channel hears nothing of these severities; what waits is told at their end,
    if it still matters."""

    schedule: Annotated[str, Meta(pattern=r"^\S+ \S+ \S+ \S+ \S+$")]
    """When they begin: five fields of cron."""
    duration: Duration
    timezone: str = "UTC"
    severities: tuple[Loud, ...] = ("info", "warning")


class ReceiverOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How one channel is spoken to."""

    group_wait: Duration = default(seconds=30)
    """The first message leaves at once; those of the time after it are one message."""
    repeat_interval: Duration = default(hours=4)
    """How often it is reminded of what is still ill; 0s means never."""
    fallback: str = ""
    """The channel that is told when this one does not answer."""
    quiet_hours: tuple[MuteTimeInterval, ...] = ()


class EscalationStep(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of an escalation: while it is still ill, these are told too."""

    after: Duration
    """Since people were first told of it."""
    channels: Annotated[tuple[str, ...], Meta(min_length=1)]


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the messages of some recoveries go. The first route that matches is taken."""

    channels: tuple[str, ...] = ()
    """None: where they would have gone anyway; only ``then`` is of interest."""
    policies: tuple[str, ...] = ()
    """Globs; none means all."""
    severities: tuple[Loud, ...] = ()
    selector: Selector = Selector()
    then: tuple[EscalationStep, ...] = ()


class Flapping(Struct, frozen=True, forbid_unknown_fields=True):
    """A subject that fails again and again is notified once, as flapping."""

    times: Annotated[int, Meta(ge=2, le=100)] = 4
    within: Duration = default(hours=1)


class Links(Struct, frozen=True, forbid_unknown_fields=True):
    """Where people can see more. Addresses without credentials."""

    page: str = ""
    """Of this controller: https://recovery.example."""
    argocd: str = ""
    """Of Argo CD: https://argocd.example."""
    runbook: str = ""
    """``{cause}``, ``{policy}``, ``{project}``, ``{name}`` are filled in."""
    git: dict[str, GitHost] = {}
    """Git hosts of your own whose pages compare two commits, besides the public ones:
    ``{gitlab.example: gitlab}``."""

    @property
    def hosts(self) -> Mapping[str, str]:
        """Every host that a message may link to, and its kind."""
        return {**HOSTS, **{host.lower(): kind for host, kind in self.git.items()}}


class MessageTemplates(Struct, frozen=True, forbid_unknown_fields=True):
    """How messages look. Templates are Jinja2 in a sandbox."""

    links: Links = Links()
    title: Annotated[str, Meta(max_length=1_000)] = ""
    body: Annotated[str, Meta(max_length=8_000)] = ""
    flapping: Flapping = field(default_factory=Flapping)


class NotificationConfig(Struct, frozen=True):
    """Receivers, routes, silences and templates that are in force."""

    routes: tuple[Route, ...] = ()
    channels: dict[str, ReceiverOptions] = {}
    words: MessageTemplates = MessageTemplates()

    def delivery(self, channel: str) -> ReceiverOptions:
        """How this channel is spoken to."""
        return self.channels.get(channel, PLAIN)


PLAIN = ReceiverOptions()
