"""Who is ill since when, counted by what they share: the fleet, a cluster, a project, a repository, an ApplicationSet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from recovery.model.application import Application
from recovery.model.connection import ident
from recovery.model.storm import Crowd

Group = tuple[str, str]
Name = tuple[str, str]


def groups_of(app: Application) -> tuple[Group, ...]:
    """What it shares with others, the largest first."""
    more = (("applicationset", f"{app.namespace}/{app.application_set}"),) if app.application_set else ()
    repositories = dict.fromkeys(ident(url) for url in app.repositories)
    return (
        ("fleet", ""),
        ("cluster", app.destination.cluster),
        ("project", app.project),
        *(("repository", each) for each in repositories),
        *more,
    )


class Illness:
    """Kept up with every change; a question costs the logarithm of the ill."""

    def __init__(self) -> None:
        self._totals: Counter[Group] = Counter()
        self._onsets: dict[Name, datetime] = {}
        self._ill: defaultdict[Group, list[tuple[datetime, Name]]] = defaultdict(list)

    def joined(self, app: Application) -> None:
        """It is there."""
        for group in groups_of(app):
            self._totals[group] += 1

    def left(self, app: Application) -> None:
        """It is not there any more, or not as it was."""
        self.found(app, None)
        for group in groups_of(app):
            self._totals[group] -= 1
            if not self._totals[group]:
                del self._totals[group]

    def found(self, app: Application, onset: datetime | None) -> None:
        """Since when it is ill; None for well."""
        name = (app.namespace, app.name)
        before = self._onsets.get(name)
        if before == onset:
            return
        for group in groups_of(app):
            entries = self._ill[group]
            if before is not None:
                del entries[bisect_left(entries, (before, name))]
            if onset is not None:
                insort(entries, (onset, name))
            if not entries:
                del self._ill[group]
        if onset is None:
            del self._onsets[name]
        else:
            self._onsets[name] = onset

    def onset(self, app: Application) -> datetime | None:
        """Since when it is ill."""
        return self._onsets.get((app.namespace, app.name))

    def onsets(self, group: Group) -> list[datetime]:
        """Since when each ill one of a group is, the oldest first."""
        return [at for at, _ in self._ill.get(group, [])]

    def crowd(self, group: Group, since: datetime, until: datetime) -> Crowd:
        """Those of a group that fell ill in this time and still are."""
        entries = self._ill.get(group, [])
        first, last = self._between(entries, since, until)
        total = self._totals[group]
        began = entries[first][0] if first < last else since
        return Crowd(group[0], group[1], last - first, total - first, total, began)

    def members(self, group: Group, since: datetime, until: datetime) -> Iterator[Name]:
        """Who they are, the first that fell ill first."""
        entries = self._ill.get(group, [])
        first, last = self._between(entries, since, until)
        return (name for _, name in entries[first:last])

    @staticmethod
    def _between(entries: list[tuple[datetime, Name]], since: datetime, until: datetime) -> tuple[int, int]:
        return bisect_left(entries, since, key=lambda e: e[0]), bisect_right(entries, until, key=lambda e: e[0])
