"""Groups: what many have in common at this moment: storms, and applications that Argo CD does not
look at any more."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import islice

from msgspec import structs

from recovery.decide.conditions import in_force
from recovery.decide.storms import (
    SHOWN_MEMBERS,
    StormSituation,
    approved_at,
    common,
    many,
    over,
    part_stands,
    words,
)
from recovery.model.application import Application
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies
from recovery.model.recovery import Recovery
from recovery.model.situation import Situation
from recovery.model.storm import (
    SLOW_PREFIX,
    SLOW_WINDOW,
    GroupCount,
    StormLimits,
    Wall,
    part_of,
    uid_of,
    whole_of,
)
from recovery.model.unreconciled import UID, UnreconciledApplications
from recovery.observe.unhealthy_index import UnhealthyIndex, groups_of, slow_groups_of
from recovery.read_model import ReadModel

_PROJECT = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")


class Groups:
    """Counts over all applications, for the judgement of what stands for many."""

    def __init__(
        self,
        known: ReadModel,
    ) -> None:
        self._store = known.store
        self._recoveries = known.recoveries
        self._source = known.source
        self._clock = known.clock
        self._freshness = known.freshness

    def storm(self, app: Application, base: Situation) -> tuple[SubjectKey, str] | None:
        """The storm that an ill application is a member of: one that is known, else what is seen of
        one."""
        onset, limits = self._store.illness.onset(app), base.policies.storm
        if onset is None:
            return None
        held = [
            p.condition.duration
            for p in base.policies.policies
            if p.condition.symptom in base.sight.clocks
        ]
        window = max(limits.window, *held) if held else limits.window
        app = self._store.counted(app)
        groups = (*groups_of(app), *self._parts(app))
        slow = slow_groups_of(app) if self._store.slow.onset(app) is not None else ()
        known = {r.subject.name: r for r in self._recoveries.storms()}
        for group in (*groups, *slow):
            within = SLOW_WINDOW if group in slow else window
            crowd = self._count(group, onset, within)
            storm = known.get(crowd.key.name)
            if storm is not None and (storm.unhealthy_since or storm.opened_at) - within <= onset:
                let_go = approved_at(storm, base.now)
                if let_go is not None and (onset <= let_go or base.recovery is not None):
                    return None  # a person has let it go; what falls ill later is another matter
                if let_go is None and self._member(group, storm, onset, within):
                    return crowd.key, f"{storm.message} ({storm.name})"
        crowd_in_common = common(
            (self._crowd(group, onset - window, onset + window, limits) for group in groups), limits
        )
        # Before it, for that long: they fall ill in a row, and those that come later are the next
        # ones of it.
        crowd_in_common = crowd_in_common or common(
            (self._crowd(group, onset - SLOW_WINDOW, onset, limits) for group in slow), limits
        )
        return (
            (crowd_in_common.key, words(crowd_in_common, limits, window))
            if crowd_in_common
            else None
        )

    def crowded(self, app: Application, policies: Policies) -> bool:
        """May it be a member of a storm? Many of one of its groups fell ill when it did, whosever
        they are, or with a storm that is known. Without either it is none, unless of one that is
        slow and not known yet."""
        onset, limits = self._store.illness.onset(app), policies.storm
        if onset is None:
            return False
        held = (p.condition.duration for p in policies.policies if in_force(p))
        window = max([limits.window, *held])
        groups = groups_of(app)
        if any(many(self._count(group, onset, window), limits) for group in groups):
            return True
        known = {r.subject.name: r for r in self._recoveries.storms()}
        if not known:
            return False
        slow = slow_groups_of(app) if self._store.slow.onset(app) is not None else ()
        for group in (*groups, *self._parts(app), *slow):
            within = SLOW_WINDOW if group in slow else window
            storm = known.get(self._count(group, onset, within).key.name)
            if storm is not None and self._member(group, storm, onset, within):
                return True
        return False

    def _count(self, group: tuple[str, str], onset: datetime, window: timedelta) -> GroupCount:
        return self._of(group).crowd(group, onset - window, onset + window)

    def _of(self, group: tuple[str, str]) -> UnhealthyIndex:
        return self._store.slow if group[0].startswith(SLOW_PREFIX) else self._store.illness

    def _member(
        self, group: tuple[str, str], storm: Recovery, onset: datetime, window: timedelta
    ) -> bool:
        """Did it fall ill with this storm? A storm ends at its edges: who falls ill long after the
        last of it is no member, however long its members stay ill."""
        edge = storm.unhealthy_since or storm.opened_at
        for at in self._of(group).onsets(group):
            if at >= onset:
                break
            if edge <= at <= edge + window:
                edge = at
        return onset <= edge + window

    def weather(self, key: SubjectKey) -> StormSituation | None:
        """A storm by its key: what is judged of it, and who its members are."""
        policies = self._source.policies
        if policies is None:
            return None
        now = self._clock.now()
        group, _, name = key.name.partition("/")
        illness = self._of((group, name))
        opened, past = self._recoveries.of(uid_of(key))
        window = max(
            [
                policies.storm.window,
                *(p.condition.duration for p in policies.policies if in_force(p)),
            ]
        )
        window = SLOW_WINDOW / 2 if group.startswith(SLOW_PREFIX) else window
        let_go = approved_at(opened, now) if opened else None
        began = (
            let_go or opened.unhealthy_since
            if opened and opened.unhealthy_since
            else self._began((group, name), now, window, policies.storm)
        )
        crowd = self._crowd((group, name), began, now, policies.storm)
        if opened:
            # Those that were let go and fell ill once more while they are recovered are no new
            # ones.
            again = (
                sum(
                    self._recoveries.follows(SubjectKey("application", *each))
                    for each in illness.members((group, name), began, now)
                )
                if let_go
                else 0
            )
            crowd = structs.replace(crowd, since=began, fallen=crowd.fallen - again)
        before = (
            self._crowd((group, name), opened.unhealthy_since, let_go, policies.storm)
            if opened and opened.unhealthy_since and let_go
            else None
        )
        members = tuple(
            f"{ns}/{app}"
            for ns, app in islice(illness.members((group, name), began, now), SHOWN_MEMBERS)
        )
        return StormSituation(
            now,
            crowd,
            members,
            policies.storm,
            policies.channels,
            before,
            opened,
            len(past),
            self._freshness(),
        )

    def frost(self) -> UnreconciledApplications | None:
        """The applications that Argo CD does not look at any more: what is judged of them."""
        policies, frozen = self._source.policies, self._store.frozen
        if policies is None:
            return None
        ill = [
            app
            for name in sorted(self._store.standing & frozen.keys())
            if (app := self._store.applications.get(name)) is not None
        ]
        opened, past = self._recoveries.of(UID)
        clusters = tuple(sorted({app.destination.cluster for app in ill}))
        why, newest = (
            frozen[ill[0].namespace, ill[0].name] if ill else "",
            past[-1].name if past else "",
        )
        members = tuple(str(app.key) for app in ill[:SHOWN_MEMBERS])
        total = len(self._store.applications)
        return UnreconciledApplications(
            self._clock.now(),
            clusters,
            members,
            len(ill),
            total,
            why,
            policies.channels,
            opened,
            newest,
            self._freshness(),
        )

    def _crowd(
        self, group: tuple[str, str], since: datetime, until: datetime, limits: StormLimits
    ) -> GroupCount:
        """A crowd, with whose they are where that decides whether it is a storm of all of them."""
        illness = self._of(group)
        crowd = illness.crowd(group, since, until)
        whole, project = whole_of(group)
        if project:
            of = self._crowd(whole, since, until, limits)
            return structs.replace(crowd, wall=Wall(stands=part_stands(crowd, project, of, limits)))
        if (
            group[0] in ("project", f"{SLOW_PREFIX}project")
            or not many(crowd, limits)
            or (shared_by := illness.shared_by(group)) < 2
        ):
            return crowd
        parts = illness.parts(group, since, until)
        storms = frozenset(
            project
            for project in parts
            if many(self._store.illness.crowd(("project", project), since, until), limits)
        )
        return structs.replace(
            crowd, wall=Wall({p: (c.fallen, c.of) for p, c in parts.items()}, shared_by, storms)
        )

    def _parts(self, app: Application) -> tuple[tuple[str, str], ...]:
        """The project's part of each group that several share; applications without a project of
        their own have none."""
        if not _PROJECT.fullmatch(app.project):
            return ()
        shared = (
            group
            for group in groups_of(app)
            if group[0] != "project" and self._store.illness.shared_by(group) > 1
        )
        return tuple(part_of(group, app.project) for group in shared)

    def _began(
        self, group: tuple[str, str], now: datetime, window: timedelta, limits: StormLimits
    ) -> datetime:
        """Since when what is seen now is a storm: the window that holds most of those that fell
        ill."""
        onsets = [onset for onset in self._of(group).onsets(group) if onset <= now]
        crowds = [
            (self._crowd(group, at, at + 2 * window, limits), at) for at in dict.fromkeys(onsets)
        ]
        best = max(
            (c for c in crowds if over(c[0], limits)), key=lambda c: c[0].fallen, default=None
        )
        return best[1] if best else now

    def members(self, key: SubjectKey) -> list[SubjectKey]:
        """The ill of a storm's group: looked at again when it is over."""
        group, _, name = key.name.partition("/")
        now = self._clock.now()
        found = self._of((group, name)).members((group, name), now - timedelta(days=366), now)
        return [SubjectKey("application", namespace, app) for namespace, app in found]
