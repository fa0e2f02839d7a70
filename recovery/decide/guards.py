"""Reasons not to act now. Each guard is one function and one line in GUARDS; the first refusal is
the answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from recovery.causes.remedy_matrix import cause_of
from recovery.decide import circuit_breaker, remedies
from recovery.decide.approvals import (
    approval_required,
    approved,
    awaiting,
    how_to_approve,
    mode_of,
    plans,
)
from recovery.decide.budgets import (
    REFRESH_EVERY,
    disruption_budget,
    in_flight_limit,
    rate_limited,
    restart_rate_limit,
)
from recovery.decide.circuit_breaker import trust_key
from recovery.decide.connections import DOWN, down
from recovery.decide.guard_request import GuardRequest, Objection, begun, under_way
from recovery.decide.reconciled import RECONCILE_SKIPPED
from recovery.decide.windows import Closed, maintenance, sync_windows
from recovery.model.application import Application, Health, Phase, Sync, named, short
from recovery.model.cause import NotifyWhen
from recovery.model.connection import Cluster
from recovery.model.duration import spell
from recovery.model.policy import Mode, SubjectType
from recovery.model.selector import Selector
from recovery.model.situation import Situation
from recovery.model.storm import STORM_MEMBER
from recovery.model.text import shell
from recovery.model.timestamps import aware
from recovery.model.window import Pause

MANY_INHERITED = 5
"""More unwell subjects than this at a first install, and nothing is touched until a person says
so."""
UNCOMPARED_WITHIN = timedelta(seconds=30)
"""An operation that has just ended shows in the sync status only after the next comparison, seconds
later."""
ROLLS_WITHIN = timedelta(hours=1)
"""A rollout that is newer than the illness may be the fix: for so long nobody replaces its pods
while Argo CD calls it Progressing."""
REMEDY_FORBIDDEN = "RemedyForbidden"
"""The guard that knows the cause."""
NOT_PERMITTED = "NotPermitted"
CIRCUIT_OPEN, OBSERVE_ONLY = "CircuitOpen", "ObserveOnly"
"""The guards that let it watch only."""
IN_FLIGHT_LIMIT = "InFlightLimit"


class Refusal(Struct, frozen=True):
    """A guard's refusal: who said no, why, and when to ask again."""

    by: str
    message: str
    again: timedelta
    keeps: bool
    tells: bool
    tells_after: timedelta = timedelta(minutes=30)
    awaiting: str = ""
    """What a person may approve, and it goes; empty where no approval lets it go."""


class Guard(Struct, frozen=True):
    """One reason not to act, and how its refusal is treated."""

    name: str
    ask: Callable[[GuardRequest], str | Closed | Objection | None]
    """Why not, with the numbers; empty for no objection. Closed says by itself when to ask again,
    an Objection when to tell."""
    again: timedelta = timedelta(minutes=5)
    """Ask again after this time even if nothing is seen to change."""
    keeps: bool = True
    """Its refusal is worth a Recovery object."""
    tells: bool = True
    """Held back by it for long, people are told."""
    subject: bool = False
    """It is about the subject, not about a step: it binds every step, also one that only speaks."""
    tells_after: timedelta = timedelta(minutes=30)
    """After so long of it people are told, once."""
    about: frozenset[str] = frozenset({"application"})
    """The types of subject it is asked about."""
    approvable: bool = False
    """A person's approval of the step lets it go."""


def stale_cache(a: GuardRequest) -> str:
    """The cache may be stale: a watch has been silent for too long, or the fleet is not listed
    yet."""
    return "" if a.situation.freshness.fresh else a.situation.freshness.message


def deleting(a: GuardRequest) -> Objection | None:
    """The application is being deleted. People are notified if its deletion does not end."""
    app, finding = a.situation.subject, a.situation.finding
    if not app.deleting:
        return None
    since = f" since {app.deleting_since:%Y-%m-%d %H:%M} UTC" if app.deleting_since else ""
    held = f" (finalizers: {', '.join(app.finalizers)})" if app.finalizers else ""
    stuck = finding is not None and finding.cause == "DeletionStuck"
    more = (
        f" Its deletion is stuck. {cause_of(finding).advised()}"
        if finding is not None and stuck
        else ""
    )
    return Objection(
        f"it is being deleted{since}{held}.{more}" if more else f"it is being deleted{since}{held}",
        NotifyWhen.at_once if stuck else NotifyWhen.never,
    )


def paused(a: GuardRequest) -> str | Closed:
    """Recovery is paused: by `recovery pause`, in the policy file, or by the annotation ``paused``
    on the application or its project (true, a reason, or a time until when)."""
    about, project = a.situation.about, a.situation.project
    if under_way(a):
        return ""
    said = (
        [(f"{'application ' * isinstance(about, Application)}{about.key}", about.mark("paused"))]
        if isinstance(about, Application | Cluster)
        else []
    )
    if isinstance(about, Application):
        said.append((f"project {about.project}", project.mark("paused") if project else ""))
    for where, value in said:
        if value.strip().lower() in ("", "false", "no"):
            continue
        until = aware(value)
        if until is not None and a.situation.now >= until:
            continue
        if until is not None:
            return Closed(f"{where} is annotated recovery.gitops.dev/paused: {value[:100]}", until)
        return f"{where} is annotated recovery.gitops.dev/paused: {value[:100]}"
    for pause in (*a.situation.policies.pauses, *a.situation.pauses):
        if pause.holds_back(about, a.situation.now):
            return _paused_by(pause, a)
    return ""


def _paused_by(pause: Pause, a: GuardRequest) -> str | Closed:
    what = "everything" if pause.selector == Selector() else f"{a.situation.about.key}"
    until = f", until {pause.until:%Y-%m-%d %H:%M} UTC" if pause.until else ""
    words = (
        f"{what} is paused by {pause.by or 'somebody'}: {pause.reason or 'no reason given'}{until}"
    )
    words += f"; `recovery resume {shell(pause.name)}` ends it" if pause.name else ""
    return Closed(words, pause.until) if pause.until else words


def reconcile_skipped(a: GuardRequest) -> str:
    """Argo CD does not reconcile the application (annotation skip-reconcile), so what it shows is
    not trusted."""
    return a.situation.unreconciled


def not_permitted(a: GuardRequest) -> str:
    """Argo CD would refuse every operation: the AppProject does not permit this application."""
    return a.situation.foreign


def protected(a: GuardRequest) -> str:
    """The application is Argo CD itself, this controller, or a preview of a pull request."""
    if a.situation.subject.control_plane:
        return "it deploys Argo CD or this controller"
    made_by = a.situation.application_set
    return (
        f"it is a preview made from a pull request by ApplicationSet {made_by.name}"
        if made_by and made_by.pull_requests
        else ""
    )


def pre_existing(a: GuardRequest) -> str:
    """The subject was unhealthy before the controller was installed, as were many others; `recovery
    adopt` ends this."""
    count = a.situation.fleet.inherited_unwell
    if not inherited(a.situation) or count <= MANY_INHERITED:
        return ""
    return (
        f"it was unhealthy before this controller was installed, as were {count} in all (limit"
        f" {MANY_INHERITED}); `recovery adopt` includes them"
    )


def known_bad_revision(a: GuardRequest) -> str:
    """The application was rolled back from this very revision."""
    app = a.situation.subject
    if app.unreadable:
        return (
            f"its annotation recovery.gitops.dev/hold is not honoured ({app.unreadable}); `recovery"
            f" release {shell(app.key)}` removes it"
        )
    if app.hold and a.step.kind.syncs and app.expected_out_of_sync:
        known = app.hold.names(app)
        why = (
            "is known to be bad (KnownBadRevision)"
            if known
            else f"is not known to be the fix of {app.hold.bad[0][:7]}"
        )
        return f"{short(app.revisions)} {why}; `recovery release {shell(app.key)}` ends the hold"
    return ""


def manual_sync(a: GuardRequest) -> str:
    """Syncing is the owner's decision: a manual sync policy is a release gate, and so is drift with
    selfHeal off."""
    app = a.situation.subject
    if not (a.step.kind.syncs or a.policy.condition.status) or app.mark("sync") == "allowed":
        return ""
    if any(getattr(step.parameters, "manual_apps", False) for step in a.policy.actions):
        return ""
    operation = app.operation
    same = operation is not None and operation.revisions == app.revisions
    if not app.auto_sync:
        asked = operation is not None and same and not operation.partial and not operation.automated
        if operation and asked and operation.phase in (Phase.Failed, Phase.Error):
            # Somebody asked for this revision, all of it and in earnest, and did not get it.
            return ""
        ways = (
            "`manual_apps: true` on the sync action, or the annotation recovery.gitops.dev/sync:"
            " allowed, lets it be synced"
        )
        return (
            f"auto-sync is off and no sync of {short(app.revisions)} was requested: a manual"
            " sync policy is"
            f" a release gate; {ways}"
        )
    compared = (
        operation
        and operation.finished_at
        and app.reconciled_at
        and app.reconciled_at > operation.finished_at
    )
    if (
        operation
        and same
        and operation.phase is Phase.Succeeded
        and compared
        and not app.self_heal
        and app.sync is Sync.OutOfSync
    ):
        return (
            f"{short(app.revisions)} was synced and has drifted since, and selfHeal is off:"
            " drift is the owner's decision"
        )
    return ""


def operation_in_progress(a: GuardRequest) -> str:
    """An operation of another writer is in progress."""
    app, operation = a.situation.subject, a.situation.subject.operation
    mine = f"{a.recovery.name}/" if a.recovery else "\0"
    if app.requested and not app.requested.recovery.startswith(mine):
        return (
            f"an operation by {_who(app.requested.username, app.requested.automated)} was requested"
        )
    if operation and not operation.phase.over and not operation.recovery.startswith(mine):
        what = "waits for its retry" if operation.retrying else f"is {operation.phase.value}"
        since = f" since {operation.started_at:%H:%M:%S}" if operation.started_at else ""
        return (
            f"an operation by {_who(operation.username, operation.automated)} {what}{since}:"
            f" {operation.message[:160]}"
        )
    if (
        operation
        and operation.finished_at
        and not operation.recovery.startswith(mine)
        and app.sync is not Sync.Synced
    ):
        ago = a.situation.now - operation.finished_at
        uncompared = app.reconciled_at is None or app.reconciled_at < operation.finished_at
        if uncompared and ago < UNCOMPARED_WITHIN:
            return f"an operation ended {spell(ago)} ago and Argo CD has not compared it since"
    began = a.recovery.unhealthy_since if a.recovery else None
    waits = Health.Progressing not in (a.policy.condition.health or ()) and a.step.kind.destructive
    younger = app.deployed_at is not None and began is not None and began < app.deployed_at
    if (
        waits
        and younger
        and app.deployed_at
        and app.health is Health.Progressing
        and a.situation.now - app.deployed_at < ROLLS_WITHIN
    ):
        since = spell(a.situation.now - app.deployed_at)
        return (
            f"{short(app.deployed)} was deployed {since} ago, after it became unhealthy, and is"
            " being rolled out: it is Progressing"
        )
    parent = a.situation.parent
    if parent is not None and parent.operating and a.step.kind.syncs:
        return f"its parent application {parent.key} is being synced"
    rolling = a.situation.application_set
    if rolling and rolling.rolling and (a.step.kind.syncs or a.step.kind.destructive):
        return (
            f"ApplicationSet {rolling.name} syncs its applications itself, step by step"
            " (RollingSync)"
        )
    return ""


def action_reverted(a: GuardRequest) -> str:
    """A person reverted this action for this revision. It is not repeated until another revision is
    deployed."""
    if not a.step.kind.destructive or begun(a) or under_way(a):
        return ""
    app, known = a.situation.subject, (*a.situation.past, *((a.recovery,) if a.recovery else ()))
    found = circuit_breaker.taken_back(known, named(app.deployed))
    if found is None:
        return ""
    step, recovery = found
    return (
        f"a person undid the {step.action} of {recovery.name} for {short(app.deployed)}; not"
        " repeated until another revision is deployed"
    )


def remedy_forbidden(a: GuardRequest) -> Objection | None:
    """The action does not fix the cause, or would make it worse, or the cause of what it would
    replace is unknown."""
    if begun(a) or under_way(a):
        return None
    words = remedies.objection(a.situation, a.policy, a.step, a.recovery)
    if not words:
        return None
    # A repository or a cluster that has failed is an incident of its own: one message, not one for
    # each application. Where no policy is about any of them, nobody else tells.
    about = {policy.condition.type for policy in a.situation.policies.policies}
    repository = a.situation.failed and SubjectType.repository in about
    common = repository or (a.situation.cluster_failed and SubjectType.cluster in about)
    finding = a.situation.finding
    return Objection(
        words,
        NotifyWhen.never if common else cause_of(finding).tells if finding else NotifyWhen.at_once,
    )


def inspection_pending(a: GuardRequest) -> str:
    """No inspection is newer than the last change yet. Running workloads are not touched without
    one; nor is a remedy retried that was suppressed for its cause before a restart."""
    known = a.recovery is not None and bool(a.recovery.notified_causes)
    return (
        a.situation.unseen
        if (a.step.kind.destructive or known) and not begun(a) and not under_way(a)
        else ""
    )


def not_reconciling(a: GuardRequest) -> str:
    """Argo CD does not reconcile the application: what it shows is outdated, and no request would
    be executed."""
    return a.situation.frozen if not under_way(a) else ""


def dependency(a: GuardRequest) -> str:
    """The application is unhealthy because its repository or cluster is."""
    if a.situation.cluster_failed:
        return a.situation.cluster_failed
    return a.situation.failed[0] if a.situation.failed and a.step.kind.fetches else ""


def recovery_deleted(a: GuardRequest) -> str:
    """A person deleted the subject's recovery. It is left alone until it has been healthy once."""
    held = a.situation.sight.dismissed
    known = a.recovery is not None and bool(a.recovery.version)
    if known or a.policy.name not in held:
        return ""
    return "its recovery was deleted by hand; nothing is done until it has been healthy once"


def storm(a: GuardRequest) -> str:
    """The application is a member of a storm: one incident, handled as one."""
    return a.situation.storm[1] if a.situation.storm and not under_way(a) else ""


def dependency_first(a: GuardRequest) -> str:
    """Another application that this one depends on is unhealthy and recovers first."""
    return "" if under_way(a) else a.situation.waits_for


def outside_window(a: GuardRequest) -> Closed | None:
    """A sync window of Argo CD or a maintenance window of the policy file is closed for this
    action."""
    situation, kind = a.situation, a.step.kind
    if kind.speaks or begun(a) or under_way(a):
        return None
    about, closed = situation.about, None
    if isinstance(about, Application) and situation.project and (kind.syncs or kind.destructive):
        closed = sync_windows(about, situation.project.windows, situation.now)
    return closed or maintenance(about, kind.name, situation.policies.windows, situation.now)


def correlated_incident(a: GuardRequest) -> str:
    """Several clusters, or repositories of one host, failed at the same time: one incident,
    reported once."""
    return a.situation.together if a.recovery is None or not a.recovery.version else ""


def quorum_pending(a: GuardRequest) -> str:
    """Too few probes agree that the cluster is down, or they have not agreed for the whole
    duration."""
    cluster = a.situation.about
    if not a.step.kind.relocates or not isinstance(cluster, Cluster) or begun(a):
        return ""
    agreed, words = down(cluster, a.situation.now)
    if not agreed:
        return words
    lasted = a.situation.now - a.situation.sight.clocks.get(DOWN, a.situation.now)
    if lasted < a.policy.condition.duration:
        return (
            f"cluster unreachable for {spell(lasted)} of"
            f" {spell(a.policy.condition.duration)} required: {words}"
        )
    return ""


def controller_isolated(a: GuardRequest) -> str:
    """Nothing outside answers: this controller may be isolated, not the cluster down. A person may
    approve."""
    if not a.step.kind.relocates or a.situation.witnessed or plans(a) or begun(a) or approved(a):
        return ""
    return (
        "no other remote cluster and no outside URL answered within the last minute: this"
        f" controller may be off; {how_to_approve(a)}, or set RECOVERY_WITNESS to an outside URL"
    )


def circuit_open(a: GuardRequest) -> str:
    """The circuit breaker is open: actions of this policy were reverted, made it worse or did not
    help."""
    about = a.situation.about
    project = about.project if isinstance(about, Application) else ""
    here, everywhere = (
        trust_key(a.policy.name, a.policy.hash, each)
        for each in (project, circuit_breaker.ALL_PROJECTS)
    )
    why = a.situation.distrusted.get(here) or a.situation.distrusted.get(everywhere, "")
    where = f" in project {project}" if project and here in a.situation.distrusted else ""
    return (
        f"policy {a.policy.name} only observes{where}: {why}; edit the policy to close the circuit"
        if why
        else ""
    )


def observe_only(a: GuardRequest) -> str:
    """The controller only observes: RECOVERY_ENABLED=false, or mode observe. Asked last, so that
    the answer says what would be done."""
    if not a.situation.enabled:
        return f"RECOVERY_ENABLED is false: would {a.step}"
    return f"mode is observe: would {a.step}" if mode_of(a) is Mode.observe else ""


_SOON = timedelta(seconds=15)
_STANDS = timedelta(seconds=20)
"""A cause is news when it has stood for so long: right after an operation Argo CD's picture is
still on its way."""
_LEAST = timedelta(seconds=1)
_CONNECTED = frozenset({"application", "repository", "cluster"})
_CLUSTER = frozenset({"cluster"})
_TOGETHER = frozenset({"cluster", "repository"})

GUARDS = (
    Guard(
        "StaleCache",
        stale_cache,
        again=timedelta(seconds=5),
        keeps=False,
        subject=True,
        about=_CONNECTED,
    ),
    Guard("Deleting", deleting, subject=True),
    Guard("Paused", paused, subject=True, about=_CONNECTED),
    Guard(RECONCILE_SKIPPED, reconcile_skipped, subject=True, tells_after=timedelta()),
    Guard(NOT_PERMITTED, not_permitted),
    Guard("Protected", protected, keeps=False, tells=False, subject=True),
    Guard(
        "RecoveryDeleted",
        recovery_deleted,
        keeps=False,
        tells=False,
        subject=True,
        about=_CONNECTED,
    ),
    Guard("PreExisting", pre_existing, keeps=False, tells=False, subject=True, about=_CONNECTED),
    Guard("KnownBadRevision", known_bad_revision),
    Guard("ManualSync", manual_sync),
    Guard("ActionReverted", action_reverted, tells_after=timedelta()),
    Guard(
        "InspectionPending",
        inspection_pending,
        again=timedelta(seconds=5),
        keeps=False,
        tells=False,
    ),
    Guard(REMEDY_FORBIDDEN, remedy_forbidden, again=timedelta(minutes=1)),
    Guard("Dependency", dependency, again=_SOON, tells=False),
    Guard("DependencyFirst", dependency_first, again=_SOON, tells=False),
    Guard(STORM_MEMBER, storm, again=timedelta(minutes=1), keeps=False, tells=False, subject=True),
    Guard(
        "NotReconciling",
        not_reconciling,
        again=timedelta(minutes=1),
        keeps=False,
        tells=False,
        subject=True,
    ),
    Guard("OperationInProgress", operation_in_progress, again=timedelta(seconds=30)),
    Guard(
        "CorrelatedIncident",
        correlated_incident,
        again=_SOON,
        keeps=False,
        tells=False,
        subject=True,
        about=_TOGETHER,
    ),
    Guard("OutsideWindow", outside_window, about=_CONNECTED),
    Guard("QuorumPending", quorum_pending, again=timedelta(seconds=5), tells=False, about=_CLUSTER),
    Guard(
        "ControllerIsolated",
        controller_isolated,
        again=_SOON,
        tells_after=timedelta(),
        about=_CLUSTER,
        approvable=True,
    ),
    Guard(
        "ApprovalRequired",
        approval_required,
        tells_after=timedelta(),
        about=_CONNECTED,
        approvable=True,
    ),
    Guard("RateLimited", rate_limited, again=REFRESH_EVERY, keeps=False),
    Guard(IN_FLIGHT_LIMIT, in_flight_limit, again=_SOON),
    Guard("RestartRateLimit", restart_rate_limit, again=timedelta(seconds=5), tells=False),
    Guard("DisruptionBudget", disruption_budget, again=timedelta(minutes=1), about=_CONNECTED),
    Guard(CIRCUIT_OPEN, circuit_open, again=timedelta(minutes=5), about=_CONNECTED),
    Guard(OBSERVE_ONLY, observe_only, tells=False, about=_CONNECTED),
)


def refusal(asked: GuardRequest) -> Refusal | None:
    """The first guard that says no to this step, or None."""
    kind = asked.step.kind
    return _first(
        asked,
        lambda g: (
            g.name == OBSERVE_ONLY or (g.name not in kind.exempt and (g.subject or not kind.speaks))
        ),
    )


def barred(asked: GuardRequest) -> Refusal | None:
    """The first guard that is about the subject as a whole, or None: asked before it is asked which
    step fits."""
    return _first(asked, lambda guard: guard.subject)


def _first(asked: GuardRequest, binds: Callable[[Guard], bool]) -> Refusal | None:
    kind = asked.situation.about.key.kind
    for guard in GUARDS:
        if kind not in guard.about or not binds(guard) or not (no := guard.ask(asked)):
            continue
        if isinstance(no, Objection):
            tells, after = (
                no.tells is not NotifyWhen.never,
                _STANDS if no.tells is NotifyWhen.at_once else guard.tells_after,
            )
            return Refusal(
                guard.name, no.message, guard.again, keeps=tells, tells=tells, tells_after=after
            )
        message, again = (
            (no.message, max(no.until - asked.situation.now, _LEAST))
            if isinstance(no, Closed)
            else (no, guard.again)
        )
        this = awaiting(asked) if guard.approvable else ""
        return Refusal(
            guard.name, message, again, guard.keeps, guard.tells, guard.tells_after, this
        )
    return None


def silenced(asked: GuardRequest) -> Refusal | None:
    """The off switch alone, for what is no step: a call for a person when all attempts are used
    up."""
    message = observe_only(asked)
    return (
        Refusal(OBSERVE_ONLY, message, timedelta(minutes=5), keeps=True, tells=False)
        if message
        else None
    )


def inherited(situation: Situation) -> bool:
    """Was it unwell before we came, and has nobody taken it on since?"""
    sight, adopted = situation.sight, situation.adopted_at
    return sight.inherited and not (adopted is not None and sight.first_seen <= adopted)


def _who(username: str, automated: bool) -> str:
    return "Argo CD's auto-sync" if automated else username or "somebody"
