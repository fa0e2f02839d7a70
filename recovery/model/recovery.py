"""The record of one incident: one policy on one subject, from the day's first doubt to its end."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct, field, structs

from recovery.model.api_name import api_name
from recovery.model.application import Hold
from recovery.model.move import Relocation, UserRequest
from recovery.model.names import SubjectKey
from recovery.model.policy import ActionSpec

NOT_CLAIMED = "NotClaimed"
"""The object has no status: it was only just made, or a backup was restored."""


class RecoveryPhase(Enum):
    """Where a recovery stands (``status.phase``)."""

    Remediating = "Remediating"
    """A step is running."""
    Verifying = "Verifying"
    """The cure is seen and has to last."""
    BackingOff = "BackingOff"
    """An attempt failed; the next one waits."""
    Suppressed = "Suppressed"
    """A guard said no; looked at again."""
    Stalled = "Stalled"
    """Out of remedies; manual intervention required."""
    Resolved = "Resolved"
    """Cured, for long enough."""
    Superseded = "Superseded"
    """Overtaken: the subject, the policy or the need for it is gone."""

    @property
    def over(self) -> bool:
        """Nothing more will be done for it."""
        return self in (RecoveryPhase.Resolved, RecoveryPhase.Superseded)


class StepOutcome(Enum):
    """How a step ended, from Succeeded to TimedOut."""

    Succeeded = "Succeeded"
    Failed = "Failed"
    TimedOut = "TimedOut"
    Skipped = "Skipped"


class Claim(Struct, frozen=True, rename=api_name):
    """State of the subject when we decided to act: the fence around the effect."""

    resource_version: str = ""
    operation_started_at: datetime | None = None
    history_id: int = -1
    """The newest history id; -1 when there was none."""
    health: str = ""
    """Of an application: how it was."""
    revision: str = ""
    """Of an application: what was deployed."""


class Debt(Enum):
    """How what a step took from an application stands. The record is the truth of it; the
    annotation mirrors it."""

    none = ""
    """Nothing is owed, or an older version wrote it: then the annotation alone tells."""
    open = "open"
    """It is owed, from the claim of the first write on."""
    returning = "returning"
    """Giving it back was decided and is on its way."""
    settled = "settled"
    """It was given back, or a person has taken it."""


class StepRecord(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """One action in one attempt. Without an outcome it is running."""

    attempt: int
    index: int
    """Its place among the policy's actions, from 0."""
    action: str
    started_at: datetime
    claim: Claim = Claim()
    claimed_at: datetime | None = None
    """When its newest write was claimed; a step of several writes, or one in doubt, is claimed more
    than once."""
    stage: str = ""
    """How far a step of several writes has come."""
    sent: bool = False
    """Its effect went out; False after a crash means that nobody knows."""
    deadline: datetime | None = field(default=None, name="deadlineTime")
    """Until when its effect is waited for, where that is longer than its settle time."""
    ended_at: datetime | None = None
    outcome: StepOutcome | None = None
    reason: str = ""
    message: str = ""
    targets: tuple[str, ...] = ()
    """What it touches: workloads, or the revision gone back to."""
    effects: tuple[datetime, ...] = field(default=(), name="effectTimes")
    """Of a step that touches its targets one by one: when each of them was touched; at most 200."""
    owes: Hold | None = field(default=None, name="hold")
    """Of a rollback: what is owed back from its first write on, as it stood when that was claimed.
    The annotation on the Application says the same, and is honoured for no more than this."""
    debt: Debt = Debt.none
    """How that stands."""
    review: str = ""
    """``Reverted`` by a person, or ``Worsened``: the application was worse afterwards."""


class PendingNotification(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """A message to people, kept with its recovery until it is delivered (at least once)."""

    key: str
    """The same key means the same message: a receiver that can, drops the second one."""
    title: str
    body: str
    severity: str = "high"
    channels: tuple[str, ...] = ()
    """Empty: wherever nobody asked for a special place (defaults.channels)."""
    resolves: bool = False
    reached: tuple[str, ...] = ()
    """Channels that have it already, while others are still waited for."""

    @property
    def incident(self) -> str:
        """Key that all messages of one recovery share."""
        return self.key.partition("/")[0]


class NotificationStatus(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """Receivers that have heard of a recovery, and what they are still owed."""

    heard: tuple[str, ...] = ()
    """Channels that took a message of it; ``pagerduty@KEY`` where that was an incident shared with
    others."""
    threads: dict[str, str] = {}
    """By channel: what it answered to the first message, for the ones that follow."""
    first_at: datetime | None = None
    """When it was first told of."""
    last_at: datetime | None = None
    """When there was last news of it; a reminder is none."""
    repeated: dict[str, datetime] = {}
    """By channel: when it was last reminded."""
    paged: int = 0
    """How many steps of its route's escalation are done."""
    repeats: int = 0
    undelivered: tuple[str, ...] = ()
    """What nobody took, ``channel: why``; the newest 10."""
    due_at: datetime | None = None
    """When a message of it was due and nobody had taken it yet: that nobody could be told is itself
    a reason to go on."""


class Subject(Struct, frozen=True):
    """The application, repository or cluster that an incident is about."""

    kind: str
    namespace: str
    name: str
    uid: str
    project: str = ""
    cluster: str = ""

    @property
    def key(self) -> SubjectKey:
        """Key in the queue."""
        return SubjectKey(self.kind.lower(), self.namespace, self.name)

    def __str__(self) -> str:
        return str(self.key)


class Condition(Struct, frozen=True, rename=api_name):
    """How a recovery stands, in the three words that every Kubernetes tool knows."""

    type: str
    """Ready, Reconciling or Stalled."""
    status: str
    """True or False."""
    reason: str
    message: str
    last_transition_at: datetime
    """When the status last changed."""
    observed_generation: int = 0


class Recovery(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """One incident. Times are UTC. Steps are bounded to 50, notes to 20, evidence to 16 KiB."""

    name: str
    policy: str
    policy_hash: str
    subject: Subject
    opened_at: datetime
    phase: RecoveryPhase
    cause: str = ""
    unhealthy_since: datetime | None = None
    """When its condition began to hold, as far as this controller has watched: what a duration is
    counted from."""
    earliest: datetime | None = field(default=None, name="earliestTime")
    """The earliest that is known of this illness, by Argo CD's own stamp: what tells whether a
    deploy can have caused it."""
    reason: str = ""
    message: str = ""
    attempt: int = 0
    max_attempts: int = 0
    steps: tuple[StepRecord, ...] = ()
    actions: tuple[ActionSpec, ...] = ()
    """The actions the running attempt began with; an edit of the policy does not change them."""
    next_attempt_at: datetime | None = None
    healthy_since: datetime | None = None
    suppressed_since: datetime | None = None
    suppression_told: bool = field(default=False, name="suppressionNotified")
    awaiting: str = ""
    """The step that waits for a person, as an approval has to name it: ``attempt.index action
    digest``; empty when none does."""
    observe_only: bool = False
    """It would have acted, and was told only to watch."""
    notified_causes: tuple[str, ...] = ()
    """Causes that people were told of because no cure is left: each once, also where two of them
    alternate."""
    resolved_at: datetime | None = None
    stalled_times: tuple[datetime, ...] = ()
    fingerprint: str = ""
    """Of the failure, when it stalled: a different failure reopens it."""
    escalated: bool = False
    told: tuple[str, ...] = ()
    """Channels that heard of it and are owed the resolve; ``default`` stands for
    defaults.channels."""
    initial_resources: int = 0
    """How many resources the subject had when it fell ill: fewer than one afterwards is no cure."""
    evidence: tuple[str, ...] = ()
    relocations: tuple[Relocation, ...] = ()
    """Of a failover: its plan, and how far each application has come; at most 500."""
    requests: tuple[UserRequest, ...] = ()
    """What people asked for by command and is not done yet, with the approvals that were used and
    those that expired; at most 10."""
    asked: tuple[UserRequest, ...] = ()
    """All that stands in the object's spec, as people wrote it."""
    notes: tuple[PendingNotification, ...] = ()
    talk: NotificationStatus = NotificationStatus()
    conditions: tuple[Condition, ...] = ()
    """For tools: the same as phase, reason and message."""
    version: str = ""
    """resourceVersion of the object that holds it; empty before it is saved."""
    generation: int = 0
    """Of the object: how often its spec was changed."""
    spec_outdated: bool = False
    """Is what its spec says is owed other than what its status says? The next write mends it."""

    @property
    def running(self) -> StepRecord | None:
        """The step that has no outcome yet."""
        return self.steps[-1] if self.steps and self.steps[-1].outcome is None else None

    @property
    def debt(self) -> StepRecord | None:
        """The newest step that may have taken something which is still owed; None for nothing. One
        that was never sent took nothing."""
        open_ones = (
            s
            for s in reversed(self.steps)
            if s.debt in (Debt.open, Debt.returning) and (s.sent or s.stage)
        )
        return next(open_ones, None)

    @property
    def unclaimed(self) -> bool:
        """Was it only made, and nothing claimed in it? Who opens this incident takes it over."""
        return self.reason == NOT_CLAIMED and self.debt is None and not self.owed

    @property
    def needs_person(self) -> bool:
        """Nothing more is done by itself until a person acts. What is held back passes by itself
        and is no call."""
        return self.phase is RecoveryPhase.Stalled

    @property
    def owed(self) -> tuple[Relocation, ...]:
        """Applications that are away from home on its account."""
        return tuple(move for move in self.relocations if move.phase.owed)

    def in_attempt(self, number: int | None = None) -> tuple[StepRecord, ...]:
        """The steps of one attempt, by default the current one."""
        wanted = self.attempt if number is None else number
        return tuple(step for step in self.steps if step.attempt == wanted)

    def token(self, step: StepRecord) -> str:
        """Token that an operation written for this step carries in its info, so that it is found
        again after a crash.

        With the time of opening: a recovery that was deleted by hand and is opened again has the
        same name, and must not take the old one's operation for its own.
        """
        return f"{self.name}/{step.attempt}.{step.index}/{int(self.opened_at.timestamp())}"

    def with_last(self, step: StepRecord) -> Recovery:
        """The same with its newest step replaced."""
        return structs.replace(self, steps=(*self.steps[:-1], step))

    def with_step(self, step: StepRecord) -> Recovery:
        """The same with one more step; the oldest beyond 50 are let go, but for rollbacks: a hold
        hangs on them."""
        steps = (*self.steps, step)
        while (
            len(steps) > 50
            and (spare := next((i for i, s in enumerate(steps) if s.action != "rollback"), None))
            is not None
        ):
            steps = (*steps[:spare], *steps[spare + 1 :])
        return structs.replace(self, steps=steps)

    def heard_by(self, *channels: str) -> Recovery:
        """The same with more channels that are owed the resolve."""
        return structs.replace(self, told=tuple(dict.fromkeys((*self.told, *channels))))

    def with_notes(self, *notes: PendingNotification) -> Recovery:
        """The same with more to tell; the oldest beyond 20 are let go."""
        known = {note.key for note in self.notes}
        new = tuple(note for note in notes if note.key not in known)
        return structs.replace(self, notes=(*self.notes, *new)[-20:]) if new else self
