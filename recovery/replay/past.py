"""Judge the past: ``decide`` in virtual time, until it would first have acted on an application.

From then on the past is not what would have been: the application is not judged again until it was
well.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from msgspec import Struct, structs

from recovery.causes.catalogue import BY_NAME
from recovery.decide.conditions import holds
from recovery.decide.engine import decide
from recovery.decide.guards import IN_FLIGHT_LIMIT, REMEDY_FORBIDDEN
from recovery.decide.routing import channels_of
from recovery.exported import OfflineFleet
from recovery.model.application import (
    Application,
    Deploy,
    Destination,
    Health,
    Operation,
    Phase,
    Sync,
)
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.decision import Decision, Kind
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies, Policy
from recovery.model.recorded import RecordedGroup, RecordedState
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase
from recovery.model.situation import HealthyRevision
from recovery.replay.timeline import Change, Name

INSPECTED_AFTER = timedelta(seconds=5)
"""From a change to a closer look at pods and resources."""
COMPARED_AFTER = timedelta(seconds=1)
"""Argo CD compares an application anew as soon as its operation is over."""
LONG_BEFORE = datetime.fromtimestamp(0, UTC)
COUNTED_FOR = timedelta(hours=25)
"""How long an action counts: budgets look back an hour, and one application's own a day."""
JUDGED_AFTER, JUDGED_SHARE = timedelta(seconds=30), 10
"""What is held back is judged again after this time at the earliest, or a tenth of how long it has
not been well, unless it changes."""
HOME = "argocd"
UNNAMED = "(unnamed)"
"""Namespace of applications that were never ill, which no source names."""
Group = tuple[str, str, str, tuple[str, ...], str]
"""Project, server, cluster, repositories, ApplicationSet."""
EVERY_CHANNEL = "every channel"
"""Stands for those of the Secret, where nothing names one."""


class Acted(Struct, frozen=True):
    """The first step that would have been carried out."""

    policy: str
    action: str
    at: datetime
    destructive: bool
    channels: tuple[str, ...] = ()


class Incident(Struct):
    """A time in which an application was not well by the condition of some policy."""

    name: Name
    project: str
    state: str
    began: datetime
    policies: tuple[str, ...]
    ended: datetime | None = None
    acted: Acted | None = None
    undecided: Acted | None = None
    """What would have been done if the cause, which the metric lacks, calls for it; else a person
    would have been called."""
    held_by: dict[str, str] = {}
    """Guards that would have held it back, by policy's first refusal, each with its words."""
    storm: str = ""

    @property
    def judged(self) -> bool:
        """Something would have been done: from then on the past is not what would have been."""
        return self.acted is not None or self.undecided is not None

    @property
    def lasted(self) -> timedelta | None:
        """Until it was well; None while it was not."""
        return self.ended - self.began if self.ended else None


class Past:
    """A fleet that is led through its past."""

    def __init__(self, policies: Policies, start: datetime, *, causes: bool = False) -> None:
        """``causes``: the source tells what was diagnosed."""
        self._policies = policies
        self._causes = causes
        self._fleet = OfflineFleet(policies, start, home=HOME, has_token=True, projects_known=False)
        self._states: dict[Name, RecordedState] = {}
        self._open: dict[Name, Incident] = {}
        self._recoveries: dict[Name, Recovery] = {}
        self._numbers = count()
        self._at_work: list[tuple[datetime, int, Name, Recovery]] = []
        self._working: dict[Name, Recovery] = {}
        self._spent: deque[tuple[datetime, Recovery]] = deque()
        self._timers: list[tuple[datetime, Name]] = []
        self._waiting: set[Name] = set()
        """Held by nothing but the number of recoveries that are in progress."""
        self._storms: dict[Name, SubjectKey] = {}
        """Storms that are not over, each under a name that no application has."""
        self._due: dict[Name, datetime] = {}
        self._unnamed: Counter[Group] = Counter()
        """Applications of which only the number is known."""
        self.incidents: list[Incident] = []

    def known(self, names: Iterable[tuple[Name, RecordedState]], at: float) -> None:
        """These are there, whatever they are like: shares of a fleet are reckoned of all."""
        now = _time(at)
        self._fleet.at(now)
        for name, state in names:
            if name not in self._states:
                self._states[name] = well = _well(state)
                self._fleet.store.put(_application(name, well, now))

    def counted(self, groups: Iterable[RecordedGroup], at: float) -> None:
        """So many share this and that, those that are known by name among them."""
        now = _time(at)
        self._fleet.at(now)
        named = Counter(_group(state) for state in self._states.values())
        wanted: Counter[Group] = Counter()
        for each in groups:
            wanted[each.shares] += each.count
        wanted -= named
        for group in dict.fromkeys((*wanted, *self._unnamed)):
            have = self._unnamed[group]
            for number in range(have, wanted[group]):
                name = UNNAMED, f"{hash(group)}-{number}"
                self._fleet.store.put(_application(name, _of_group(group), now))
            for number in range(wanted[group], have):
                self._fleet.store.drop(UNNAMED, f"{hash(group)}-{number}")
        self._unnamed = wanted

    def lead(self, changes: Iterable[Change], until: float) -> None:
        """Through these changes, in their order, and on to a moment."""
        for change in changes:
            self._wait_until(_time(change.at))
            self._change(change)
        self._wait_until(_time(until))
        self._fleet.at(_time(until))

    def _wait_until(self, moment: datetime) -> None:
        """Judge those again whose time has come."""
        while self._timers and self._timers[0][0] <= moment:
            at, name = heappop(self._timers)
            if self._due.get(name) != at:
                continue
            del self._due[name]
            if name in self._storms:
                self._judge_storm(name, at)
            else:
                self._judge(name, at)

    def _change(self, change: Change) -> None:
        now, name = _time(change.at), change.name
        self._fleet.at(now)
        before = self._states.get(name)
        if change.gone:
            self._gone(name, now)
            return
        if change.state is None and before is None:
            return
        if before is None and change.state is not None:
            self._named(change.state)
        state = change.state or _well(before or RecordedState("Synced", "Healthy"))
        self._states[name] = state
        if state == before and name in self._open:
            return  # it was only written again
        self._waiting.discard(name)
        old = self._seen_until_now(name)
        app = _application(name, state, now, old)
        if state != before:
            self._fleet.inspected(app, _diagnosis(state), _good(state))
            self._fleet.store.put(app)
        if state.well:
            self._well(name, now)
        else:
            self._ill(name, app, now)

    def _gone(self, name: Name, now: datetime) -> None:
        self._well(name, now)
        self._states.pop(name, None)
        self._fleet.store.drop(*name)

    def _named(self, state: RecordedState) -> None:
        """One of those of which only the number is known has a name from now on."""
        group = _group(state)
        if self._unnamed[group] > 0:
            self._unnamed[group] -= 1
            self._fleet.store.drop(UNNAMED, f"{hash(group)}-{self._unnamed[group]}")

    def _seen_until_now(self, name: Name) -> Application | None:
        """The Application until this moment: what it runs may have proved good meanwhile."""
        old = self._fleet.store.applications.get(name)
        if old is not None:
            self._fleet.store.look(old)
        return old

    def _ill(self, name: Name, app: Application, now: datetime) -> None:
        cause = self._states[name].cause.partition("/")[0]
        meant = tuple(p.name for p in self._policies.policies if _meant(p, app, cause))
        incident = self._open.get(name)
        if incident is None and meant:
            state = f"{app.sync.value} {app.health.value}"
            incident = Incident(name, app.project, state, now, meant)
            self._open[name] = incident
            self.incidents.append(incident)
        elif incident is not None and not meant:
            if not incident.judged:
                self._over(name, now)
            return
        if incident is not None:
            more = dict.fromkeys((*incident.policies, *meant))
            incident.policies = tuple(more)
            # A closer look comes first, and takes its time.
            self._wake(name, now + INSPECTED_AFTER)

    def _well(self, name: Name, now: datetime) -> None:
        self._due.pop(name, None)
        self._waiting.discard(name)
        self._over(name, now)
        working = self._working.pop(name, None)
        if working is not None:
            self._done(working, now)

    def _over(self, name: Name, now: datetime) -> None:
        incident = self._open.pop(name, None)
        if incident is not None:
            incident.ended = now
        held = self._recoveries.pop(name, None)
        if held is not None:
            self._fleet.forget(held)

    def _settle(self, now: datetime) -> None:
        """Actions whose outcome nobody knows are taken to be at work for as long as an effect may
        take to show; each counts in the budgets for as long as they look back."""
        while self._at_work and self._at_work[0][0] <= now:
            until, _, name, recovery = heappop(self._at_work)
            if self._working.get(name) is recovery:
                del self._working[name]
                self._done(recovery, until)
        while self._spent and self._spent[0][0] <= now:
            self._fleet.forget(self._spent.popleft()[1])

    def _done(self, recovery: Recovery, at: datetime) -> None:
        over = structs.replace(
            recovery, phase=RecoveryPhase.Resolved, reason="Recovered", resolved_at=at
        )
        self._fleet.begun(over)
        self._spent.append((at + COUNTED_FOR, over))

    def _judge(self, name: Name, now: datetime) -> None:
        incident = self._open.get(name)
        if incident is None or incident.judged:
            return
        self._fleet.at(now)
        self._settle(now)
        app = self._fleet.store.applications[name]
        if self._still_waits(name, app):
            self._wake(name, _later(incident.began, now))
            return
        self._fleet.inspected(app, _diagnosis(self._states[name]))
        situation = self._fleet.situation(app)
        if situation is None:
            return
        if situation.storm:
            key = situation.storm[0]
            incident.storm = incident.storm or key.name
            if ("", key.name) not in self._storms:
                # Its record is what keeps the members back until it is over.
                self._storms["", key.name] = key
                self._wake(("", key.name), now)
        dues, later = [], _later(incident.began, now)
        decisions = decide(situation)
        held = {d.by for d in decisions if d.reason != "AnotherPolicy"}
        if held == {IN_FLIGHT_LIMIT}:
            self._waiting.add(name)
        for decision in decisions:
            unknown = situation.finding is None and not self._causes
            if decision.by == REMEDY_FORBIDDEN and unknown:
                incident.undecided = self._undecided(decision, now)
                return
            if decision.kind is Kind.Remediate and decision.step is not None:
                self._acts(incident, decision, app, now)
                return
            if decision.kind is Kind.Suppress and decision.reason != "AnotherPolicy":
                incident.held_by.setdefault(decision.by, decision.message)
            if decision.recovery is not None:
                self._recoveries[name] = decision.recovery
                self._fleet.begun(decision.recovery)
            if decision.again_at is not None:
                waits = decision.kind is Kind.Wait
                dues.append(decision.again_at if waits else max(decision.again_at, later))
        if dues:
            self._wake(name, max(min(dues), now + timedelta(seconds=1)))

    def _still_waits(self, name: Name, app: Application) -> bool:
        """Nothing but others that are at work held it, they still do, and it can be of no storm: a
        judgement of all of it would end the same, and most judgements of a busy fleet do."""
        if name not in self._waiting:
            return False
        if self._fleet.full(app, self._recoveries.get(name)):
            return True
        self._waiting.discard(name)
        return False

    def _wake(self, name: Name, due: datetime) -> None:
        self._due[name] = due
        heappush(self._timers, (due, name))

    def _judge_storm(self, name: Name, now: datetime) -> None:
        """As the controller does: one incident for all its members, over after a quiet while."""
        self._fleet.at(now)
        key = self._storms[name]
        decisions = self._fleet.storm(key)
        for decision in decisions:
            if decision.recovery is not None:
                self._fleet.begun(decision.recovery)
            if decision.kind is Kind.Resolve:
                del self._storms[name]
                for member in self._fleet.members(key):
                    self._judge((member.namespace, member.name), now)
                return
        if not decisions:
            del self._storms[name]
            return
        again = min((d.again_at for d in decisions if d.again_at), default=now)
        self._wake(name, max(again, now + JUDGED_AFTER))

    def _undecided(self, decision: Decision, now: datetime) -> Acted:
        """The first remedy of the policy: whether it is tried hangs on a cause."""
        policy = next(p for p in self._policies.policies if p.name == decision.policy)
        step = next((s for s in policy.actions if s.kind.cures(s.parameters)), policy.actions[0])
        return Acted(policy.name, step.kind.name, now, step.kind.destructive)

    def _acts(
        self, incident: Incident, decision: Decision, app: Application, now: datetime
    ) -> None:
        step, recovery = decision.step, decision.recovery
        if step is None:
            return
        policy = next((p for p in self._policies.policies if p.name == decision.policy), None)
        told: tuple[str, ...] = ()
        if step.kind.destructive or step.kind.speaks:
            severity = policy.severity.value if policy else "high"
            named = tuple(getattr(step.parameters, "channels", ()))
            note = PendingNotification(
                "", "", "", severity, channels=named or (policy.channels if policy else ())
            )
            told = channels_of(note, recovery, (), app, self._policies) or (EVERY_CHANNEL,)
        incident.acted = Acted(decision.policy, step.kind.name, now, step.kind.destructive, told)
        self._recoveries.pop(incident.name, None)
        if recovery is not None:
            *before, newest = recovery.steps
            sent = structs.replace(newest, sent=True)
            recovery = structs.replace(recovery, steps=(*before, sent))
            self._fleet.begun(recovery)
            self._working[incident.name] = recovery
            due = now + step.settle
            heappush(self._at_work, (due, next(self._numbers), incident.name, recovery))


def _meant(policy: Policy, app: Application, cause: str) -> bool:
    condition = policy.condition
    return (
        condition.type.value == "application"
        and holds(condition, app, cause)
        and policy.selector.selects(app)
    )


def _well(state: RecordedState) -> RecordedState:
    return structs.replace(state, sync="Synced", health="Healthy", operation="", cause="")


def _group(state: RecordedState) -> Group:
    where = state.server, state.cluster
    return (state.project, *where, state.repositories, state.application_set)


def _of_group(group: Group) -> RecordedState:
    project, server, cluster, repositories, application_set = group
    return RecordedState(
        "Synced",
        "Healthy",
        project=project,
        server=server,
        cluster=cluster,
        repositories=repositories,
        application_set=application_set,
    )


def _diagnosis(state: RecordedState) -> Diagnosis | None:
    cause, _, variant = state.cause.partition("/")
    if not cause:
        return None
    known = cause in BY_NAME  # another version may have had other names
    return Diagnosis(
        cause if known else "Unclassified", (), Confidence.likely, variant, state.about
    )


def _good(state: RecordedState) -> HealthyRevision | None:
    if state.good is None:
        return None
    return HealthyRevision(state.good, state.good_revisions, LONG_BEFORE)


def _application(
    name: Name, state: RecordedState, now: datetime, old: Application | None = None
) -> Application:
    """The Application as far as the source tells; what is as it was before has lasted."""
    health = Health(state.health)
    same = old is not None and old.health is health
    deploy = Deploy(state.deploy, state.deployed, now) if state.deploy is not None else None
    history = sorted({n for n in (state.good, state.deploy) if n is not None})
    sync = "Synced" if state.held and state.sync == "OutOfSync" else state.sync
    return Application(
        namespace=name[0],
        name=name[1],
        uid=f"{name[0]}/{name[1]}",
        resource_version="1",
        project=state.project,
        labels=state.labels or None,
        marks=state.marks or None,
        skipped=bool(state.ignored),
        destination=Destination(state.server, state.cluster, state.namespace),
        repositories=state.repositories,
        application_set=state.application_set,
        auto_sync=state.auto_sync,
        self_heal=state.self_heal,
        sync=Sync(sync),
        health=health,
        health_since=old.health_since if old is not None and same else now,
        revisions=state.revisions,
        operation=_operation(state, now, old.operation if old else None),
        deploy=deploy,
        history=tuple(history),
        resources=1,
        reconciled_at=now,
    )


def _operation(state: RecordedState, now: datetime, old: Operation | None) -> Operation | None:
    if not state.operation:
        return None
    phase = Phase(state.operation)
    if old is not None and (old.phase, old.revisions) == (phase, state.operation_revisions):
        return old
    over = now - COMPARED_AFTER if phase.over else None
    return Operation(phase, started_at=now, finished_at=over, revisions=state.operation_revisions)


def _later(began: datetime, now: datetime) -> datetime:
    return now + max(JUDGED_AFTER, (now - began) / JUDGED_SHARE)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
