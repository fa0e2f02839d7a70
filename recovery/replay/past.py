"""Judge the past: ``decide`` in virtual time, until it would first have acted on an application.

From then on the past is not what would have been: the application is not judged again until it was
well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from msgspec import Struct, structs

from recovery.decide.conditions import holds
from recovery.decide.engine import decide
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.routing import channels_of
from recovery.exported import OfflineFleet
from recovery.model.application import Application, Destination, Health, Sync
from recovery.model.cause import Observations
from recovery.model.decision import Decision, Kind
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies, Policy
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase
from recovery.replay.timeline import Change, Name, PastState

COUNTED_FOR = timedelta(hours=2)
"""How long an action counts in the budgets of the others; they look back an hour."""
JUDGED_AFTER, JUDGED_SHARE = timedelta(seconds=30), 10
"""What is held back is judged again after this time at the earliest, or a tenth of how long it has
not been well, unless it changes."""
HOME = "argocd"
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
    def lasted(self) -> timedelta | None:
        """Until it was well; None while it was not."""
        return self.ended - self.began if self.ended else None


class Past:
    """A fleet that is led through its past."""

    def __init__(self, policies: Policies, start: datetime) -> None:
        self._policies = policies
        self._fleet = OfflineFleet(policies, start, home=HOME, has_token=True, projects_known=False)
        self._states: dict[Name, PastState] = {}
        self._open: dict[Name, Incident] = {}
        self._recoveries: dict[Name, Recovery] = {}
        self._numbers = count()
        self._at_work: list[tuple[datetime, int, Recovery]] = []
        self._spent: deque[tuple[datetime, Recovery]] = deque()
        self._timers: list[tuple[datetime, Name]] = []
        self._storms: dict[Name, SubjectKey] = {}
        """Storms that are not over, each under a name that no application has."""
        self._due: dict[Name, datetime] = {}
        self.incidents: list[Incident] = []

    def known(self, names: Iterable[tuple[Name, PastState]], at: float) -> None:
        """These are there, whatever they are like: shares of a fleet are reckoned of all."""
        now = _time(at)
        self._fleet.at(now)
        for name, state in names:
            if name not in self._states:
                self._states[name] = state
                self._fleet.store.put(_application(name, _well(state), now))

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
        if change.state is None and before is None:
            return
        state = change.state or _well(before or PastState("Synced", "Healthy"))
        self._states[name] = state
        app = _application(name, state, now)
        self._fleet.store.put(app)
        if state.well:
            self._well(name, now)
        else:
            self._ill(name, app, now)

    def _ill(self, name: Name, app: Application, now: datetime) -> None:
        meant = tuple(p.name for p in self._policies.policies if _meant(p, app))
        incident = self._open.get(name)
        if incident is None and meant:
            state = f"{app.sync.value} {app.health.value}"
            incident = Incident(name, app.project, state, now, meant)
            self._open[name] = incident
            self.incidents.append(incident)
        elif incident is not None and not meant:
            self._over(name, now)
            return
        if incident is not None:
            more = dict.fromkeys((*incident.policies, *meant))
            incident.policies = tuple(more)
            self._judge(name, now)

    def _well(self, name: Name, now: datetime) -> None:
        self._due.pop(name, None)
        self._over(name, now)

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
            until, _, recovery = heappop(self._at_work)
            over = structs.replace(
                recovery, phase=RecoveryPhase.Resolved, reason="Recovered", resolved_at=until
            )
            self._fleet.begun(over)
            self._spent.append((until + COUNTED_FOR, over))
        while self._spent and self._spent[0][0] <= now:
            self._fleet.forget(self._spent.popleft()[1])

    def _judge(self, name: Name, now: datetime) -> None:
        incident = self._open.get(name)
        if incident is None or incident.acted is not None or incident.undecided is not None:
            return
        self._fleet.at(now)
        self._settle(now)
        app = self._fleet.store.applications[name]
        # A closer look is taken within seconds, and the metric has nothing of what it would show.
        self._fleet.store.examined(app.uid, name, Observations(now))
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
        dues = []
        later = now + max(JUDGED_AFTER, (now - incident.began) / JUDGED_SHARE)
        for decision in decide(situation):
            if decision.by == REMEDY_FORBIDDEN and situation.finding is None:
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
        again = min((d.again_at for d in decisions if d.again_at), default=now + JUDGED_AFTER)
        self._wake(name, max(again, now + timedelta(seconds=15)))

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
            self._fleet.begun(recovery)
            heappush(self._at_work, (now + step.settle, next(self._numbers), recovery))


def _meant(policy: Policy, app: Application) -> bool:
    condition = policy.condition
    return (
        condition.type.value == "application"
        and not condition.cause
        and holds(condition, app)
        and policy.selector.selects(app)
    )


def _well(state: PastState) -> PastState:
    return structs.replace(state, sync="Synced", health="Healthy")


def _application(name: Name, state: PastState, now: datetime) -> Application:
    """The Application as far as the metric tells; its revision is not known, and no operation."""
    return Application(
        namespace=name[0],
        name=name[1],
        uid=f"{name[0]}/{name[1]}",
        resource_version="1",
        project=state.project,
        destination=Destination(server=state.server, namespace=state.namespace),
        repositories=(state.repository,) if state.repository else (),
        auto_sync=state.auto_sync,
        sync=Sync.__members__.get(state.sync, Sync.Unknown),
        health=Health.__members__.get(state.health, Health.Unknown),
        health_since=now,
        resources=1,
        reconciled_at=now,
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
