"""Unhealthy applications and since when, counted by what they share: the fleet, a cluster, a
project, a repository, an ApplicationSet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

from recovery.model.application import Application
from recovery.model.connection import ident
from recovery.model.storm import SLOW_PREFIX, GroupCount, whole_of

Group = tuple[str, str]
Name = tuple[str, str]
Entries = list[tuple[datetime, Name]]
K = TypeVar("K")


def groups_of(app: Application) -> tuple[Group, ...]:
    """Groups that it shares with others, the largest first."""
    more = (
        (("applicationset", f"{app.namespace}/{app.application_set}"),)
        if app.application_set
        else ()
    )
    repositories = dict.fromkeys(ident(url) for url in app.repositories)
    return (
        ("fleet", ""),
        ("cluster", app.destination.cluster),
        ("project", app.project),
        *(("repository", each) for each in repositories),
        *more,
    )


def slow_groups_of(app: Application) -> tuple[Group, ...]:
    """Groups that it shares with others that may fail them one by one: a database of its namespace,
    a cluster that fills up."""
    where = app.destination
    found = [(kind, name) for kind, name in groups_of(app) if kind != "fleet"]
    return tuple(
        (f"{SLOW_PREFIX}{kind}", name)
        for kind, name in (*found, ("namespace", f"{where.cluster}: {where.namespace}"))
    )


class UnhealthyIndex:
    """Kept up with every change; a question costs the logarithm of the ill, and of whose they are
    as much for each project."""

    def __init__(self, groups_of: Callable[[Application], tuple[Group, ...]] = groups_of) -> None:
        self._groups_of = groups_of
        self._totals: Counter[Group] = Counter()
        self._projects: dict[Group, str | Counter[str]] = {}
        """Whose a group's applications are: one project, as for most repositories, or how many of
        each."""
        self._onsets: dict[Name, datetime] = {}
        self._ill: defaultdict[Group, Entries] = defaultdict(list)
        self._ill_of: defaultdict[tuple[Group, str], Entries] = defaultdict(list)
        """The same by project, for what several share."""

    def joined(self, app: Application) -> None:
        """Count an application that came or changed."""
        for group in self._groups_of(app):
            known = self._projects.get(group)
            if known is None:
                self._projects[group] = app.project
            elif isinstance(known, Counter):
                known[app.project] += 1
            elif known != app.project:
                self._projects[group] = Counter({known: self._totals[group], app.project: 1})
            self._totals[group] += 1

    def left(self, app: Application) -> None:
        """Uncount an application: it is not there any more, or not as it was."""
        self.found(app, None)
        for group in self._groups_of(app):
            self._totals[group] -= 1
            known = self._projects.get(group)
            if isinstance(known, Counter):
                known[app.project] -= 1
                if not known[app.project]:
                    del known[app.project]
            if not self._totals[group]:
                del self._totals[group]
                self._projects.pop(group, None)

    def found(self, app: Application, onset: datetime | None) -> None:
        """Since when it is ill; None for well."""
        name = (app.namespace, app.name)
        before = self._onsets.get(name)
        if before == onset:
            return
        for group in self._groups_of(app):
            _moved(self._ill, group, name, before, onset)
            if group[0] not in ("project", f"{SLOW_PREFIX}project"):
                _moved(self._ill_of, (group, app.project), name, before, onset)
        if onset is None:
            del self._onsets[name]
        else:
            self._onsets[name] = onset

    def onset(self, app: Application) -> datetime | None:
        """Since when the application is unhealthy, or None."""
        return self._onsets.get((app.namespace, app.name))

    def onsets(self, group: Group) -> list[datetime]:
        """Since when each ill one of a group is, the oldest first."""
        return [at for at, _ in self._entries(group)]

    def _entries(self, group: Group) -> Entries:
        whole, project = whole_of(group)
        return (self._ill_of.get((whole, project)) if project else self._ill.get(group)) or []

    def _total(self, group: Group) -> int:
        whole, project = whole_of(group)
        known = self._projects.get(whole)
        return (
            known[project] if project and isinstance(known, Counter) else self._totals.get(whole, 0)
        )

    def crowd(self, group: Group, since: datetime, until: datetime) -> GroupCount:
        """Those of a group, or of a project's part of one, that fell ill in this time and still
        are."""
        return _counted(group, self._entries(group), self._total(group), since, until)

    def parts(self, group: Group, since: datetime, until: datetime) -> dict[str, GroupCount]:
        """The same by the project whose they are, where several have applications in the group and
        these fell ill; else empty."""
        known = self._projects.get(group)
        if not isinstance(known, Counter) or len(known) < 2:
            return {}
        found = {
            project: _counted(group, entries, total, since, until)
            for project, total in known.items()
            if (entries := self._ill_of.get((group, project)))
        }
        return {project: crowd for project, crowd in found.items() if crowd.fallen}

    def shared_by(self, group: Group) -> int:
        """How many projects have applications in a group."""
        known = self._projects.get(group)
        return len(known) if isinstance(known, Counter) else int(known is not None)

    def members(self, group: Group, since: datetime, until: datetime) -> Iterator[Name]:
        """Members of a group, the first that fell ill first."""
        entries = self._entries(group)
        first, last = _between(entries, since, until)
        return (name for _, name in entries[first:last])


def _moved(
    index: defaultdict[K, Entries],
    key: K,
    name: Name,
    before: datetime | None,
    onset: datetime | None,
) -> None:
    entries = index[key]
    if before is not None:
        del entries[bisect_left(entries, (before, name))]
    if onset is not None:
        insort(entries, (onset, name))
    if not entries:
        del index[key]


def _counted(
    group: Group, entries: Entries, total: int, since: datetime, until: datetime
) -> GroupCount:
    first, last = _between(entries, since, until)
    began = entries[first][0] if first < last else since
    return GroupCount(group[0], group[1], last - first, total - first, total, began)


def _between(entries: Entries, since: datetime, until: datetime) -> tuple[int, int]:
    return bisect_left(entries, since, key=lambda e: e[0]), bisect_right(
        entries, until, key=lambda e: e[0]
    )
