"""Queries of the page: rows by search and filter, of what the viewer may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from recovery.causes.catalogue import BY_NAME
from recovery.decide import statistics, totals
from recovery.decide.connections import connection
from recovery.decide.notifications import targets
from recovery.decide.totals import Totals, TotalsRow
from recovery.model.application import Application, Health, Sync
from recovery.model.connection import Connection, Repository
from recovery.model.duration import spell
from recovery.model.names import SubjectKey
from recovery.model.notification_config import Links
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.model.text import shell
from recovery.notify.compose import links_of, next_of
from recovery.read_model import ReadModel
from recovery.record.audit import Journal
from recovery.serve.pagination import Page, Query, folded, has, ordered, paged

CanView = Callable[[str], bool]
"""May the viewer see what belongs to this project? Empty: to none."""
_LOUD = {
    RecoveryPhase.Stalled: 0,
    RecoveryPhase.Remediating: 1,
    RecoveryPhase.Verifying: 2,
    RecoveryPhase.BackingOff: 3,
}
ADVICE = 12
"""Characters by which the beginning of an advice is known: a long message is cut within it."""
GROUPS, NAMES = 5, 100
"""Entries of a breakdown, and names of a folded row, that are shown."""
_ORDER = {Connection.Failed: 0, Connection.Unknown: 1, Connection.Successful: 2}


class Shown(Struct, frozen=True):
    """A recovery as a row of a table."""

    name: str
    subject: str
    policy: str
    phase: str
    cause: str
    attempt: str
    since: datetime
    ended: datetime | None
    took: str
    message: str
    next: str
    step: str
    """The step that runs, with how long it has."""
    person: bool
    """Nothing more is done until a person acts."""
    advice: str
    """What a person does against its cause."""
    others: tuple[str, ...] = ()
    """Further recoveries that read the same, by name; at most 100 of them."""
    count: int = 1
    """How many recoveries this row stands for."""


class Waiting(Struct, frozen=True):
    """A condition that holds, and is not acted upon yet; or a guard's no."""

    subject: str
    policy: str
    state: str
    message: str
    since: datetime | None
    due: datetime | None
    share: int
    """Of a clock: how much of its time is over, in percent."""
    others: tuple[str, ...] = ()
    """Further subjects of which the same is true; at most 100 of them."""
    count: int = 1
    """How many subjects this row stands for."""


class Breakdown(Struct, frozen=True):
    """Where the applications that are not well are: the largest groups of one kind."""

    by: str
    groups: tuple[tuple[str, int], ...]
    rest: int
    """Applications in groups that are not shown."""


class AppRow(Struct, frozen=True):
    """An application as a row of a table."""

    subject: str
    project: str
    cluster: str
    sync: str
    health: str
    cause: str
    held: bool


class Place(Struct, frozen=True):
    """A repository or a cluster as a row."""

    kind: str
    name: str
    state: str
    words: str
    applications: int
    good_at: datetime | None


class TimelineStep(Struct, frozen=True):
    """One step of a recovery, as its timeline shows it."""

    at: datetime
    number: str
    action: str
    targets: str
    outcome: str
    reason: str
    message: str
    took: str
    share: int
    """Of the longest step, in percent."""
    review: str


class Timeline(Struct, frozen=True):
    """All that is known of one recovery."""

    head: Shown
    kind: str
    project: str
    cluster: str
    steps: tuple[TimelineStep, ...]
    evidence: tuple[str, ...]
    relocations: tuple[str, ...]
    requests: tuple[str, ...]
    told: tuple[str, ...]
    to_tell: tuple[str, ...]
    undelivered: tuple[str, ...]
    commands: tuple[str, ...]
    """What to type next."""
    links: tuple[tuple[str, str], ...]
    """Name and address of what says more elsewhere."""


class PageQueries:
    """Rows of the page, read from store and recoveries."""

    def __init__(
        self,
        known: ReadModel,
        journal: Journal,
        totals: Callable[[], Totals],
    ) -> None:
        self._totals = totals
        self._store = known.store
        self._recoveries = known.recoveries
        self._journal = journal
        self._connections = known.connections
        self._clock = known.clock
        self._source = known.source

    @property
    def _links(self) -> Links:
        policies = self._source.policies
        return policies.notices.words.links if policies else Links()

    @property
    def version(self) -> str:
        """Another one whenever something that is shown may have changed."""
        states = hash(
            tuple(connection(about, self._clock.now())[0] for about in self._connections.all())
        )
        counts = (
            self._recoveries.generation,
            self._journal.generation,
            self._store.generation,
        )
        return ".".join(map(str, (*counts, states)))

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._clock.now()

    def projects(self) -> set[str]:
        """All there are of which something is known."""
        return {app.project for app in self._store.applications.values()} | {
            r.subject.project for r in self._recoveries.all()
        }

    def open(self, sees: CanView, query: Query) -> Page[Any]:
        """Recoveries that are not over: those that need manual intervention first, then what is
        being done; those that read the same as one row."""
        found = [
            r for r in self._recoveries.all() if not r.phase.over and self._wanted(r, sees, query)
        ]
        found.sort(key=lambda r: (not r.needs_person, _LOUD.get(r.phase, 9), r.opened_at))
        return paged(folded(found, _reads), query, self._together)

    def past(self, sees: CanView, query: Query) -> Page[Any]:
        """Recoveries that are over, newest first."""
        found = [r for r in self._recoveries.all() if r.phase.over and self._wanted(r, sees, query)]
        found.sort(key=lambda r: r.resolved_at or r.opened_at, reverse=True)
        ordered(found, query, _PAST)
        return paged(found, query, self._shown)

    def since_installation(self, sees: CanView) -> tuple[datetime | None, list[TotalsRow]]:
        """Outcomes of every incident, by policy, and since when they are counted."""
        return totals.rows(self._totals(), self._recoveries.all(), sees)

    def waiting(self, sees: CanView, query: Query) -> Page[Any]:
        """Pending conditions with their clocks, and what a guard holds back before there is a
        recovery."""
        found = []
        for key, entries in self._journal.latest.items():
            for entry in entries:
                if entry.reason != "Pending" and (entry.kind != "Suppress" or entry.recovery):
                    continue
                if sees(self._project(key)) and has(
                    query.words, str(key), entry.policy, entry.message
                ):
                    found.append((key, entry))
        found.sort(key=lambda each: (each[1].again_at or "~", str(each[0])))
        return paged(folded(found, _held_alike), query, self._clocked)

    def applications(self, sees: CanView, query: Query) -> Page[Any]:
        """Applications by search; ``phase`` may be ill, held or well."""
        found = [
            app
            for app in self._store.applications.values()
            if sees(app.project) and self._fits(app, query)
        ]
        found.sort(key=lambda app: (app.namespace, app.name))
        ordered(
            found,
            query,
            {**_APPLICATIONS, "cause": lambda app: self._store.causes.get(app.uid, "")},
        )
        return paged(found, query, self._app)

    def connections(self, sees: CanView, query: Query) -> Page[Any]:
        """Repositories and clusters, those that failed first."""
        now = self._clock.now()
        found = []
        for about in self._connections.all():
            project = about.project if isinstance(about, Repository) else ""
            word, words = connection(about, now)
            if (
                sees(project)
                and has(query.words, about.name, word.value, words)
                and query.phase in ("", word.value)
            ):
                row = Place(
                    about.key.kind, about.name, word.value, words, about.applications, about.good_at
                )
                found.append((_ORDER[word], about.key.kind, about.name, row))
        rows = [each[3] for each in sorted(found, key=lambda each: each[:3])]
        ordered(rows, query, _PLACES)
        return paged(rows, query)

    def counts(self, sees: CanView) -> dict[str, int]:
        """For the head of the page."""
        apps = [app for app in self._store.applications.values() if sees(app.project)]
        recoveries = [
            r for r in self._recoveries.all() if not r.phase.over and sees(r.subject.project)
        ]
        return {
            "applications": len(apps),
            "ill": sum(_ill(app) for app in apps),
            "open": len(recoveries),
            "person": sum(r.needs_person for r in recoveries),
        }

    def breakdown(self, sees: CanView) -> list[Breakdown]:
        """Applications that are not well, by cause, project and cluster: where to look first."""
        ill = [app for app in self._store.applications.values() if _ill(app) and sees(app.project)]
        kinds: tuple[tuple[str, Callable[[Application], str]], ...] = (
            ("cause", lambda app: self._store.causes.get(app.uid, "") or "no cause known"),
            ("project", lambda app: app.project),
            ("cluster", lambda app: app.destination.cluster),
        )
        found = []
        for by, key in kinds:
            counted = Counter(map(key, ill)).most_common()
            found.append(
                Breakdown(
                    by, tuple(counted[:GROUPS]), sum(number for _, number in counted[GROUPS:])
                )
            )
        return found if ill else []

    def storms(self, sees: CanView) -> list[str]:
        """Storms that are on, in words."""
        return [
            f"{r.subject.name}: {r.message}"
            for r in self._recoveries.storms()
            if not r.phase.over and sees(r.subject.project)
        ]

    def days(self, sees: CanView) -> list[statistics.Day]:
        """Outcomes of the last seven days, by day."""
        return statistics.days(
            (r for r in self._recoveries.all() if sees(r.subject.project)), self._clock.now()
        )

    def policies(self, sees: CanView) -> list[str]:
        """Names of policies that have recoveries, for the filter."""
        return sorted({r.policy for r in self._recoveries.all() if sees(r.subject.project)})

    def timeline(self, name: str, sees: CanView) -> Timeline | None:
        """One recovery; None when there is none, or none for them to see."""
        r = self._recoveries.get(name)
        if r is None or not sees(r.subject.project):
            return None
        now = self._clock.now()
        lasted = [(s.ended_at or now) - s.started_at for s in r.steps]
        longest = max([*lasted, timedelta(seconds=1)])
        steps = tuple(
            TimelineStep(
                s.started_at,
                f"{s.attempt}.{s.index}",
                s.action,
                targets(s),
                s.outcome.value if s.outcome else "running",
                s.reason,
                s.message,
                spell(timedelta(seconds=round(took.total_seconds()))),
                round(100 * took / longest),
                s.review,
            )
            for s, took in zip(r.steps, lasted, strict=True)
        )
        subject = r.subject
        commands = [f"recovery explain {shell(subject)}", f"recovery history {shell(subject)}"]
        match subject.kind:
            case "Application":
                name = f"-n {shell(subject.namespace)} annotate application {shell(subject.name)}"
                stop = f"kubectl {name} recovery.gitops.dev/paused=true   # stops it"
            case "Repository" | "Cluster":
                stop = f"recovery pause {shell(subject)}   # stops it"
            case "Storm":
                commands, stop = [], f"recovery approve {shell(r.name)}   # lets its members go"
            case _:
                commands, stop = [], ""
        return Timeline(
            self._shown(r),
            subject.kind,
            subject.project,
            subject.cluster,
            steps,
            r.evidence,
            tuple(
                f"{m}: {m.phase.value}" + (f" ({m.reason})" if m.reason else "")
                for m in r.relocations
            ),
            tuple(
                f"{w.at:%Y-%m-%d %H:%M:%SZ} {w.by}: {w.type} {w.step}".rstrip() for w in r.requests
            ),
            r.talk.heard,
            tuple(n.title for n in r.notes),
            r.talk.undelivered,
            tuple(
                [*commands, *([stop] if stop and not r.phase.over else [])] or ["recovery status"]
            ),
            tuple(link for link in links_of(r, self._links) if link[0] != "Page"),
        )

    def _wanted(self, r: Recovery, sees: CanView, query: Query) -> bool:
        if (
            not sees(r.subject.project)
            or query.phase not in ("", r.phase.value)
            or query.policy not in ("", r.policy)
        ):
            return False
        return query.project in ("", r.subject.project) and has(
            query.words, r.name, str(r.subject), r.policy, r.message, r.cause
        )

    def _shown(self, r: Recovery) -> Shown:
        running, now = r.running, self._clock.now()
        step = (
            f"{running.action} for"
            f" {spell(timedelta(seconds=round((now - running.started_at).total_seconds())))}"
            if running
            else ""
        )
        took = statistics.took(r)
        cause, _, variant = r.cause.partition("/")
        return Shown(
            r.name,
            str(r.subject),
            r.policy,
            r.phase.value,
            r.cause,
            f"{r.attempt}/{r.max_attempts}" if r.max_attempts else "",
            r.unhealthy_since or r.opened_at,
            r.resolved_at,
            spell(timedelta(seconds=round(took))) if took is not None else "",
            brief(r.message, cause, variant),
            next_of(r),
            step,
            r.needs_person,
            BY_NAME[cause].advised(variant) if cause in BY_NAME else "",
        )

    def _together(self, alike: Sequence[Recovery]) -> Shown:
        names = tuple(r.name for r in alike[1 : NAMES + 1])
        return structs.replace(self._shown(alike[0]), others=names, count=len(alike))

    def _clocked(self, alike: Sequence[tuple[SubjectKey, Any]]) -> Waiting:
        key, entry = alike[0]
        about = (
            self._store.applications.get((key.namespace, key.name))
            if key.kind == "application"
            else self._connections.get(key)
        )
        sight = self._store.sights.get(about.uid) if about is not None else None
        since = min(sight.clocks.values(), default=None) if sight else None
        due = (
            datetime.fromisoformat(entry.again_at)
            if entry.again_at and entry.reason == "Pending"
            else None
        )
        share = 0
        if since is not None and due is not None and due > since:
            share = max(0, min(100, round(100 * (self._clock.now() - since) / (due - since))))
        word = f"held back by {entry.by}" if entry.by else entry.reason.lower()
        others = tuple(str(other) for other, _ in alike[1 : NAMES + 1])
        return Waiting(
            str(key), entry.policy, word, entry.message, since, due, share, others, len(alike)
        )

    def _project(self, key: SubjectKey) -> str:
        if key.kind == "application":
            app = self._store.applications.get((key.namespace, key.name))
            return app.project if app else ""
        about = self._connections.get(key)
        return about.project if isinstance(about, Repository) else ""

    def _fits(self, app: Application, query: Query) -> bool:
        cause = self._store.causes.get(app.uid, "") or "no cause known"
        if query.project not in ("", app.project) or not has(
            query.words, str(app.key), app.project, app.destination.cluster, cause
        ):
            return False
        match query.phase:
            case "ill":
                return _ill(app)
            case "held":
                return app.hold is not None
            case "well":
                return not _ill(app)
            case "":
                return True
            case _:
                return False

    def _app(self, app: Application) -> AppRow:
        cause = self._store.causes.get(app.uid, "")
        return AppRow(
            str(app.key),
            app.project,
            app.destination.cluster,
            app.sync.value,
            app.health.value,
            cause,
            app.hold is not None,
        )

    def subject(self, key: SubjectKey) -> tuple[str, bool]:
        """The project of a subject, and whether it is known."""
        if key.kind == "application":
            app = self._store.applications.get((key.namespace, key.name))
            return (app.project, True) if app else ("", False)
        about = self._connections.get(key)
        return (about.project if isinstance(about, Repository) else "", about is not None)


_APPLICATIONS: dict[str, Callable[[Application], Any]] = {
    "application": lambda app: (app.namespace, app.name),
    "project": lambda app: app.project,
    "cluster": lambda app: app.destination.cluster,
    "sync": lambda app: app.sync.value,
    "health": lambda app: app.health.value,
}
_PLACES: dict[str, Callable[[Place], Any]] = {
    "name": lambda place: place.name,
    "kind": lambda place: place.kind,
    "state": lambda place: place.state,
    "applications": lambda place: place.applications,
}
_PAST: dict[str, Callable[[Recovery], Any]] = {
    "subject": lambda r: str(r.subject),
    "state": lambda r: r.phase.value,
    "cause": lambda r: (r.policy, r.cause),
    "since": lambda r: r.unhealthy_since or r.opened_at,
    "ended": lambda r: r.resolved_at or r.opened_at,
    "took": lambda r: statistics.took(r) or 0,
}
"""Columns by which lists are sorted."""


def _reads(r: Recovery) -> tuple[Any, ...] | None:
    """Key that makes two open recoveries read the same; None for one that is at work."""
    return None if r.running else (r.phase, r.policy, r.cause, r.attempt, r.message, r.subject.kind)


def _held_alike(each: tuple[SubjectKey, Any]) -> tuple[Any, ...] | None:
    """Key that makes two held-back conditions read the same; None for one whose clock runs."""
    entry = each[1]
    return (
        None if entry.reason == "Pending" else (entry.policy, entry.by, entry.reason, entry.message)
    )


def _ill(app: Application) -> bool:
    return app.sync is not Sync.Synced or app.health not in (Health.Healthy, Health.Suspended)


def brief(message: str, cause: str, variant: str) -> str:
    """Why, without what a row says in its other columns: the cause in words, and at the end what a
    person does against it, which may be cut. A message that goes on after that says more than this,
    and stays as it is."""
    if cause not in BY_NAME:
        return message
    why, told, rest = message.partition(f" {BY_NAME[cause].title}")
    advice = BY_NAME[cause].advised(variant)
    said = next((n for n in range(len(advice), ADVICE - 1, -1) if rest.endswith(advice[:n])), 0)
    return f"{why}{rest[:-said].rstrip()}" if told and said else message
