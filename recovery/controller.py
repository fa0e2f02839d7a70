"""The straight line for one subject: see, judge, claim, act, record, tell, look again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from recovery.clock import Clock
from recovery.decide import storms, unreconciled
from recovery.decide.circuit_breaker import undone
from recovery.decide.engine import bereft, decide
from recovery.decide.holds import LEDGER, TAKEN_BACK, returning, settled
from recovery.decide.reminders import News, said
from recovery.decide.storms import StormSituation
from recovery.model.application import Application
from recovery.model.connection import ProbeResult
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.names import SubjectKey
from recovery.model.recovery import PendingNotification, Recovery
from recovery.model.situation import Situation
from recovery.model.storm import STORM, STORM_MEMBER, uid_of
from recovery.model.unreconciled import SHARD, UID, UnreconciledApplications

log = structlog.get_logger(__name__)

RETRY_CONFLICT = timedelta(seconds=1)
IN_DOUBT = timedelta(seconds=5)
SHORTEST_REQUEUE = timedelta(milliseconds=100)
"""Between two looks at one subject where nothing was done."""
ELSEWHERE = timedelta(seconds=15)
"""Between two looks at what another replica acts on, where nothing is seen to change."""
UNTAKEN = timedelta(minutes=1)
"""After so long that nobody took a first message, it counts as due."""
RECOVERY = "recovery"
"""Kind of the keys that stand for a recovery itself (its messages were delivered)."""


class SnapshotBuilder(Protocol):
    """Puts together what bears on a subject."""

    def situation(self, key: SubjectKey) -> Situation | None:
        """Everything about it, now; None when it is not there."""

    def gone(self, key: SubjectKey) -> bool:
        """Is it certain that it is not there any more?"""

    def found(self, key: SubjectKey, evidence: ProbeResult) -> None:
        """An action saw something of its subject by the way."""

    def wrote(self, raw: bytes) -> None:
        """An action changed an application, and this is how the API server answered."""


class Groups(Protocol):
    """Groups of applications that have something in common."""

    def weather(self, key: SubjectKey) -> StormSituation | None:
        """A storm by its key, now; None when nothing is in force."""

    def frost(self) -> UnreconciledApplications | None:
        """The applications that Argo CD does not look at, now; None when nothing is in force."""

    def members(self, key: SubjectKey) -> list[SubjectKey]:
        """The ill of a storm's group."""


class Claims(Protocol):
    """Keeps what was claimed, before an effect, and what came of it."""

    async def claim(self, decision: Decision) -> Recovery | None:
        """Save the intent; raises when somebody was faster."""

    async def record(
        self,
        decision: Decision,
        claimed: Recovery | None,
        outcome: Outcome,
        repositories: tuple[str, ...],
    ) -> Recovery | None:
        """Save what came of a claimed step; None where it could not be saved."""

    async def amend(self, name: str, change: Callable[[Recovery], Recovery]) -> None:
        """Save a change that is no decision."""

    def open_at(self, key: SubjectKey) -> tuple[Recovery, ...]:
        """Open recoveries of whatever was called this."""

    def get(self, name: str) -> Recovery | None:
        """The recovery of this name, or None."""


class Actions(Protocol):
    """Starts the effect of a decision."""

    async def carry_out(
        self, situation: Situation, decision: Decision, recovery: Recovery | None
    ) -> Outcome:
        """Start the decision's step and say what came of it at once."""


class Records(Protocol):
    """Writes decisions, effects and transitions to log, Events and metrics."""

    def note(self, key: SubjectKey, decisions: tuple[Decision, ...], *, ours: bool) -> None:
        """The decisions of one pass; those that are another replica's to carry out are only
        shown."""

    def seen(self, key: SubjectKey, situation: Situation | None) -> None:
        """Write down what changed in the state of a subject of ours; None: it is gone."""

    def effect(
        self, key: SubjectKey, decision: Decision, outcome: Outcome, recovery: Recovery | None
    ) -> None:
        """Write down one effect with its outcome."""

    def transition(
        self, app: Application | None, before: Recovery | None, after: Recovery | None
    ) -> None:
        """Write down a change of a recovery's phase."""


class Messages(Protocol):
    """Takes on notifications, and knows what became of them."""

    def tell(self, recovery: Recovery | None) -> None:
        """Send the pending notifications of this recovery."""

    def say(self, note: PendingNotification) -> None:
        """Send one message that belongs to no recovery."""

    def news(self, recovery: str) -> News:
        """Results of a recovery's messages that are not recorded yet."""

    def forget(self, recovery: str, news: News) -> None:
        """Forget the results that are recorded by now."""


class Reminds(Protocol):
    """Reminders that are owed to people while a recovery lasts."""

    def __call__(self, recovery: Recovery) -> tuple[Recovery, datetime | None]:
        """The same with what is due to be said, and when to look again."""


class Controller:
    """Everything it needs is handed in; it owns nothing but the order of things."""

    def __init__(
        self,
        scene: SnapshotBuilder,
        crowds: Groups,
        claims: Claims,
        actions: Actions,
        records: Records,
        messages: Messages,
        again: Callable[[SubjectKey, datetime | None], None],
        clock: Clock,
        holds: Callable[[str], bool],
        reminds: Reminds,
    ) -> None:
        """``holds`` says whether a subject (by UID) is ours to act on; one that is not is judged,
        and no more."""
        self._scene = scene
        self._crowds = crowds
        self._claims = claims
        self._actions = actions
        self._records = records
        self._messages = messages
        self._again = again
        self._clock = clock
        self._holds = holds
        self._reminds = reminds

    async def reconcile(self, key: SubjectKey) -> None:
        """One pass. A lost claim ends it with an exception; the caller queues the key again."""
        if key.kind == RECOVERY:
            await self._talk(key)
            return
        if key.kind == STORM:
            await self._storm(key)
            return
        if key.kind == SHARD:
            await self._shard(key)
            return
        situation = self._scene.situation(key)
        if situation is None and not self._scene.gone(key):
            return  # not known yet: nothing is said about it
        decisions = decide(situation) if situation else self._bereft(key)
        uids = (
            [situation.about.uid]
            if situation
            else [d.recovery.subject.uid for d in decisions if d.recovery]
        )
        if not all(map(self._holds, uids)):
            self._look_on(key, decisions)
            if (
                situation is not None
                and situation.storm
                and any(d.by == STORM_MEMBER for d in decisions)
            ):
                self._again(
                    situation.storm[0], None
                )  # the storm may be ours, whoever has its members
            return
        self._records.seen(key, situation)
        self._records.note(key, decisions, ours=True)
        for decision in decisions:
            await self._carry(key, situation, decision)

    async def _talk(self, key: SubjectKey) -> None:
        """Record results of a recovery's messages is written down; what is due by now is said."""
        news, now = self._messages.news(key.name), self._clock.now()
        again: datetime | None = None

        def change(held: Recovery) -> Recovery:
            nonlocal again
            after = said(held, news, now) if news else held
            if self._holds(held.subject.uid):
                after, again = self._reminds(after)
            return after

        await self._claims.amend(key.name, change)
        self._messages.forget(key.name, news)
        after = self._claims.get(key.name)
        if after is not None and self._holds(after.subject.uid):
            self._messages.tell(after)
        if again is not None:
            self._again(key, max(again, now + SHORTEST_REQUEUE))

    def _look_on(self, key: SubjectKey, decisions: tuple[Decision, ...]) -> None:
        """Another replica acts on it: what would be decided is shown all the same, and looked at
        again in its time."""
        self._records.note(key, decisions, ours=False)
        soon = self._clock.now() + ELSEWHERE
        if any(d.kind in (Kind.Remediate, Kind.Resolve) for d in decisions):
            self._again(key, soon)  # whoever has it does it now; should nobody, it is found out
        elif dues := [d.again_at for d in decisions if d.again_at]:
            self._again(key, max(min(dues), soon))

    async def _storm(self, key: SubjectKey) -> None:
        weather = self._crowds.weather(key)
        decisions = storms.judge(weather) if weather else ()
        if not self._holds(uid_of(key)):
            self._look_on(key, decisions)
            return
        self._records.note(key, decisions, ours=True)
        for decision in decisions:
            await self._carry(key, None, decision)
            if decision.kind is Kind.Resolve or decision.reason == storms.APPROVED:
                for member in self._crowds.members(key):
                    self._again(member, None)

    async def _shard(self, key: SubjectKey) -> None:
        """Applications that Argo CD does not look at any more: one incident for all of them."""
        frost = self._crowds.frost()
        decisions = unreconciled.judge(frost) if frost else ()
        if not self._holds(UID):
            self._look_on(key, decisions)
            return
        self._records.note(key, decisions, ours=True)
        for decision in decisions:
            await self._carry(key, None, decision)

    def _bereft(self, key: SubjectKey) -> tuple[Decision, ...]:
        # What is away from home on its account has to be brought back, whatever became of the
        # subject.
        return tuple(bereft(r, self._clock.now()) for r in self._claims.open_at(key) if not r.owed)

    async def _carry(
        self, key: SubjectKey, situation: Situation | None, decision: Decision
    ) -> None:
        before = self._claims.get(decision.recovery.name) if decision.recovery else None
        hold = (
            situation.subject.hold
            if situation is not None
            and decision.policy == LEDGER
            and decision.kind is Kind.Remediate
            else None
        )
        if hold is not None:
            # Before it goes out: a crash right after it must not make our own release somebody's
            # who took it back.
            taken = decision.reason == TAKEN_BACK
            await self._claims.amend(
                hold.recovery,
                lambda held: returning(undone(held, decision.message) if taken else held),
            )
        claimed = await self._claims.claim(decision)
        after, again = claimed, decision.again_at
        if situation is not None and decision.kind is Kind.Remediate:
            outcome = await self._actions.carry_out(situation, decision, claimed)
            self._records.effect(key, decision, outcome, claimed)
            if outcome.evidence is not None:
                self._scene.found(key, outcome.evidence)
            if outcome.wrote:
                self._scene.wrote(outcome.wrote)
            repositories = (
                situation.about.repositories if isinstance(situation.about, Application) else ()
            )
            after = await self._claims.record(decision, claimed, outcome, repositories)
            unclaimed = claimed is None and outcome.result not in (Result.Conflict, Result.InDoubt)
            again = decision.again_at if unclaimed else self._next_look(outcome)
            if claimed is not None and after is None:
                again = (
                    self._clock.now() + IN_DOUBT
                )  # not recorded: the API server is given a moment
            if hold is not None and outcome.result is Result.Done:
                await self._claims.amend(hold.recovery, settled)
            if claimed is None:
                for note in outcome.notes:
                    self._messages.say(note)
        app = situation.about if situation and isinstance(situation.about, Application) else None
        self._records.transition(app, before, after)
        self._messages.tell(after)
        if after is not None and after.notes and after.talk.first_at is None:
            # Should nobody have taken it by then, that is noted: who comes next is called all the
            # same.
            self._again(SubjectKey(RECOVERY, "", after.name), self._clock.now() + UNTAKEN)
        if situation is not None and situation.storm and decision.by == STORM_MEMBER:
            self._again(
                situation.storm[0], None
            )  # somebody was held back: it is looked at as one incident
        if again is not None:
            # A decision that asks for a look in the past would never let anything else have its
            # turn.
            acted = decision.kind is Kind.Remediate
            self._again(key, again if acted else max(again, self._clock.now() + SHORTEST_REQUEUE))

    def _next_look(self, outcome: Outcome) -> datetime:
        now = self._clock.now()
        # After a conflict the watch brings the newer object; in doubt, the API server is given a
        # moment.
        return now + {Result.Conflict: RETRY_CONFLICT, Result.InDoubt: IN_DOUBT}.get(
            outcome.result, timedelta()
        )
