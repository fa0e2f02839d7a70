"""Texts of notifications, in words: what, where, since when, why, what was done, what is next, how
to stop it."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from recovery.causes.envelope import essential
from recovery.causes.remedy_matrix import cause_of, loudness
from recovery.decide.circuit_breaker import ALL_PROJECTS, Circuit
from recovery.decide.connections import connection, worst
from recovery.decide.guards import MANY_INHERITED
from recovery.model.application import Application, short
from recovery.model.cause import Diagnosis
from recovery.model.commit import Deployed
from recovery.model.connection import Cluster, Connection, Repository, Verdict
from recovery.model.duration import spell
from recovery.model.move import UserRequest
from recovery.model.policy import Policy, Severity
from recovery.model.recovery import (
    PendingNotification,
    Recovery,
    RecoveryPhase,
    StepOutcome,
    StepRecord,
)
from recovery.model.situation import Situation
from recovery.model.text import plain, shell

EVIDENCE = 15_000
"""Characters of evidence a Recovery keeps: it has to stay a small object."""
SPOKEN = ("notify", "escalate")
SHOWN_TARGETS = 5
"""Of what a step touched, so many are named; `recovery explain` names all."""
REMINDED_WITHIN = timedelta(hours=1)
"""After each whole day that a hold stands, people are reminded of it within this time: what was
said is not remembered over a restart."""
DEFAULT_CHANNELS = "default"
"""Stands for defaults.channels among those that were told."""


def place(about: Application | Repository | Cluster) -> str:
    """``shop/cart (prod-eu)``, ``cluster prod-eu``, ``repository https://git.example/shop.git``."""
    if not isinstance(about, Application):
        return f"{about.key.kind} {about.name}"
    app = about
    return f"{app.key} ({app.destination.cluster})" if app.destination.cluster else str(app.key)


def state(app: Application) -> str:
    """The state in words: ``OutOfSync and Degraded at 9f2c1aa``."""
    return f"{app.sync.value} and {app.health.value} at {short(app.revisions)}"


def standing(situation: Situation) -> str:
    """How the subject is now: ``Failed: Argo CD's live read: unreachable (connection refused)``."""
    about = situation.about
    if isinstance(about, Application):
        return state(about)
    word, words = connection(about, situation.now)
    return f"{word.value} ({about.applications} applications depend on it): {words}"


def done(recovery: Recovery) -> str:
    """Actions tried in this attempt, one clause a step."""
    clauses = []
    for step in recovery.in_attempt():
        if step.outcome and step.reason != "Notified":
            target = f" {targets(step)}" if step.targets else ""
            why = (
                f" ({step.message})"
                if step.message and step.outcome is not StepOutcome.Succeeded
                else ""
            )
            clauses.append(f"{step.action}{target} {step.outcome.value}{why}")
    return "; ".join(clauses) or "nothing yet"


def targets(step: StepRecord) -> str:
    """Targets that a step touched, for people: ``Deployment/cart`` for
    apps/v1/Deployment/shop/cart; a few of many."""
    names = [
        "/".join(t.split("/")[2::2]) if t.count("/") == 4 else t
        for t in step.targets[:SHOWN_TARGETS]
    ]
    more = (
        f" and {len(step.targets) - SHOWN_TARGETS} more"
        if len(step.targets) > SHOWN_TARGETS
        else ""
    )
    return ", ".join(plain(name, 120) for name in names) + more


def noted(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    *,
    severity: str,
    channels: tuple[str, ...],
    words: str = "",
) -> PendingNotification:
    """A ``notify`` step's message, at its place in an attempt that has not cured it."""
    last = recovery.attempt >= recovery.max_attempts
    tail = f"; attempt {recovery.attempt} of {recovery.max_attempts}" + (
        ", the last one" if last else ", another follows"
    )
    body = f"{words}\n" if words else ""
    ill = _for_so_long(recovery, situation.now)
    body += (
        f"{standing(situation)} {ill}. Tried: {done(recovery)}{tail}. {_facts(situation, recovery)}"
    )
    body += f"{_what_to_do(situation.finding)}{_stop(recovery)}"
    key = f"{recovery.name}/{recovery.attempt}/{len(recovery.in_attempt())}"
    cause = f": {situation.finding.what}" if situation.finding else ""
    return PendingNotification(
        key,
        f"{place(situation.about)}: {policy.name}, not recovered"
        f" yet{cause}{_tried_in_short(recovery)}",
        body,
        _loud(situation, severity),
        channels,
    )


def _loud(situation: Situation, severity: str) -> str:
    return loudness(situation.finding.cause, severity) if situation.finding else severity


def escalated(
    situation: Situation, recovery: Recovery, *, severity: str, channels: tuple[str, ...]
) -> PendingNotification:
    """Notification that a recovery requires manual intervention."""
    finding = situation.finding
    ill = _for_so_long(recovery, situation.now)
    body = (
        f"{standing(situation)} {ill}. Attempt {recovery.attempt} of {recovery.max_attempts}."
        f" Tried: {done(recovery)}."
    )
    goes_on = recovery.running is not None and recovery.attempt < recovery.max_attempts
    body += f" {_facts(situation, recovery)}{_what_to_do(finding)}"
    body += _stop(recovery) if goes_on else _then(recovery)
    body += (
        "\nEvidence:\n" + "\n".join(f"- {line}" for line in recovery.evidence[:12])
        if recovery.evidence
        else ""
    )
    return PendingNotification(
        f"{recovery.name}/escalate",
        f"{place(situation.about)} requires manual intervention:"
        f" {finding.what if finding else 'cause unknown'}{_tried_in_short(recovery)}",
        body,
        _loud(situation, severity),
        channels,
    )


def acted(situation: Situation, recovery: Recovery, words: str) -> PendingNotification:
    """Something destructive was done; told to everyone whatever the policy says."""
    step = recovery.running
    key = f"{recovery.name}/{step.attempt}.{step.index}{step.stage}" if step else recovery.name
    policy = next((p for p in situation.policies.policies if p.name == recovery.policy), None)
    why = policy.sentence if policy else standing(situation)
    why += (
        f" (attempt {recovery.attempt} of {recovery.max_attempts})"
        if recovery.attempt and recovery.max_attempts
        else ""
    )
    body = (
        f"{words}\nWhy: {why}."
        f" {_facts(situation, recovery)}{_what_to_do(situation.finding)}{_stop(recovery)}"
    )
    return PendingNotification(key, f"{place(situation.about)}: {words}"[:250], body)


def resolved(
    situation: Situation, recovery: Recovery, channels: tuple[str, ...]
) -> PendingNotification:
    """Notification that a recovery is over, and how."""
    cure = next(
        (
            s
            for s in reversed(recovery.steps)
            if s.outcome is StepOutcome.Succeeded and s.reason != "Notified"
        ),
        None,
    )
    by = f"after {_did(cure)}" if cure else "by itself"
    took = spell(situation.now - (recovery.unhealthy_since or recovery.opened_at))
    title = f"{place(situation.about)} recovered {by}"
    body = (
        f"{standing(situation)}; it was unhealthy for {took}. Tried: {done(recovery)}."
        f" {_facts(situation, recovery)}"
    )
    return PendingNotification(
        f"{recovery.name}/resolve/{situation.now:%Y%m%dT%H%M%S}",
        title,
        body,
        Severity.info.value,
        channels,
        resolves=True,
    )


def held_back(
    situation: Situation, recovery: Recovery, by: str, message: str, channels: tuple[str, ...]
) -> PendingNotification:
    """Held back by a guard for half an hour."""
    finding = situation.finding
    title = (
        f"{place(situation.about)} is not being recovered"
        + (f": {finding.what}" if finding else "")
        + f", suppressed by {by}"
    )
    body = (
        f"{standing(situation)} {_for_so_long(recovery, situation.now)}; suppressed by {by}:"
        f" {message}{_plan(recovery)}"
    )
    body += f"{_commits(situation.deployed)}{_what_to_do(finding)}{_then(recovery)}"
    return PendingNotification(
        f"{recovery.name}/suppressed/{recovery.suppressed_since or situation.now:%Y%m%dT%H%M%S}",
        title,
        body,
        Severity.warning.value,
        channels,
    )


def incurable(
    situation: Situation, recovery: Recovery, message: str, policy: Policy
) -> PendingNotification:
    """The cause is known, and only people can mend it."""
    finding = situation.finding
    title = (
        f"{place(situation.about)} requires manual intervention:"
        f" {finding.what if finding else 'cause unknown'}{_tried_in_short(recovery)}"
    )
    spoken = dict.fromkeys(
        c for step in policy.actions if step.kind.speaks for c in step.parameters.channels
    )
    body = f"{standing(situation)} {_for_so_long(recovery, situation.now)}; {message}"
    body += f"{_commits(situation.deployed)}{_what_to_do(finding)}{_then(recovery)}"
    key = f"{recovery.name}/incurable/{recovery.cause}"
    return PendingNotification(
        key, title, body, _loud(situation, policy.severity.value), policy.channels or tuple(spoken)
    )


def approval_expired(
    situation: Situation, recovery: Recovery, late: UserRequest, channels: tuple[str, ...]
) -> PendingNotification:
    """An approval was not used in time."""
    what = " ".join(late.step.split(" ")[:2])
    body = (
        f"{late.by} approved step {what} at {late.at:%H:%M:%S} UTC, and it was not done."
        f" {recovery.message}"
    )
    key = f"{recovery.name}/approval/{late.at:%Y%m%dT%H%M%S}"
    return PendingNotification(
        key,
        f"{place(situation.about)}: an approval was not used",
        f"{body}{_stop(recovery)}",
        Severity.warning.value,
        channels,
    )


def still_held(app: Application, now: datetime) -> PendingNotification | None:
    """A day's reminder of an open hold, with the command that ends it; None on its first day, and
    later than an hour into each further one: whoever starts then has not been asked to repeat it.
    """
    hold = app.hold
    age = now - hold.since if hold and hold.since else timedelta()
    if hold is None or age.days < 1 or age % timedelta(days=1) > REMINDED_WITHIN:
        return None
    days = "1 day" if age.days == 1 else f"{age.days} days"
    body = f"{state(app)}.{_held(app)}\nRecord: {hold.recovery}"
    return PendingNotification(
        f"{app.uid}/held/{hold.recovery}/{age.days}",
        f"{place(app)} has been on hold for {days}",
        body,
        Severity.warning.value,
    )


def asks_to_release(app: Application, now: datetime) -> PendingNotification:
    """Git has moved on, and nobody can tell whether the application's own manifests have: a person
    is asked, once a day."""
    hold, at = app.hold, short(app.revisions)
    title = f"{place(app)}: is {at} the fix?"
    body = (
        f"{state(app)}. Git has moved on to {at}, and it cannot be told whether its own manifests"
        " changed with it: "
    )
    body += f"the hold stays until it is released. Deploy it: recovery release {shell(app.key)}"
    return PendingNotification(
        f"{app.uid}/asked/{hold.recovery if hold else ''}/{now:%Y%m%d}",
        title,
        body,
        Severity.warning.value,
    )


def circuit_opened(key: str, circuit: Circuit) -> PendingNotification:
    """A policy acts no more: one page for all that it would have done."""
    policy, _, rest = key.partition("/")
    project = rest.partition("/")[2]
    where = "" if project in ("", ALL_PROJECTS) else f" in project {project}"
    until = f" It tries again at {circuit.until:%H:%M} UTC." if circuit.until else ""
    body = (
        f"{circuit.words}.{until} Look at what they have in common; edit the policy to close the"
        " circuit."
    )
    title = f"policy {policy} only observes{where}: its actions do not help"
    return PendingNotification(
        f"{_circuit(key)}/{circuit.since:%Y%m%dT%H}", title, body, Severity.critical.value
    )


def circuit_closed(key: str, circuit: Circuit, now: datetime) -> PendingNotification:
    """Notification that the policy acts again: the incident that was opened for it is over, and for
    no other policy or project."""
    policy, _, rest = key.partition("/")
    project = rest.partition("/")[2]
    where = "" if project in ("", ALL_PROJECTS) else f" in project {project}"
    title = f"policy {policy} acts again{where}"
    body = f"It only observed since {circuit.since:%Y-%m-%d %H:%M} UTC."
    return PendingNotification(
        f"{_circuit(key)}/resolve/{now:%Y%m%dT%H%M%S}",
        title,
        body,
        Severity.info.value,
        (DEFAULT_CHANNELS,),
        resolves=True,
    )


def _circuit(key: str) -> str:
    """An incident for each policy and project: what stands before the first slash of a note's
    key."""
    return f"circuit-{key.replace('/', '.')}"


def unvouched(app: Application) -> PendingNotification:
    """An annotation speaks of a hold, and no record does: nothing is switched on for it, and a
    person is told, once."""
    body = f"{state(app)}. {app.unreadable}. Undo: recovery release {shell(app.key)}"
    return PendingNotification(
        f"{app.uid}/unvouched",
        f"{place(app)}: its hold has no Recovery",
        body,
        Severity.warning.value,
    )


def failed_over(
    situation: Situation, recovery: Recovery, message: str, channels: tuple[str, ...]
) -> PendingNotification:
    """Notification of what a failover came to, and that the cluster has to be repaired."""
    steps = sum(s.action == "failover" and s.outcome is not None for s in recovery.steps)
    body = message + _plan(recovery) + _stop(recovery)
    return PendingNotification(
        f"{recovery.name}/failed-over/{steps}",
        f"{place(situation.about)}: {message}"[:250],
        body,
        Severity.critical.value,
        channels,
    )


def split_brain(
    situation: Situation, recovery: Recovery, message: str, channels: tuple[str, ...]
) -> PendingNotification:
    """The old cluster is back while its applications run elsewhere."""
    # a cluster that comes and goes is told of once an hour
    key = f"{recovery.name}/split-brain/{situation.now:%Y%m%dT%H}"
    body = message + _plan(recovery) + f"\nRecord: {recovery.name}"
    return PendingNotification(
        key,
        f"{place(situation.about)} is reachable again: {len(recovery.owed)} applications still"
        " run elsewhere",
        body,
        Severity.critical.value,
        channels,
    )


def gave_back(app: Application, words: str) -> PendingNotification:
    """Notification that a hold ended, and why."""
    return PendingNotification(
        f"{app.uid}/release/{short(app.revisions)}",
        f"{place(app)}: {words}",
        f"{state(app)}. {words}.",
        Severity.info.value,
    )


def evidence(
    about: Application | Repository | Cluster, finding: Diagnosis | None = None
) -> tuple[str, ...]:
    """Evidence of what the subject looked like before the first step, for starting an operation
    erases the last one's result."""
    if not isinstance(about, Application):
        looks = sorted(about.evidence, key=lambda e: e.at)
        good = (
            f"last reachable at {about.good_at:%Y-%m-%d %H:%M:%SZ}"
            if about.good_at
            else "not reachable since this controller started"
        )
        return (
            f"{about.applications} applications depend on it; {good}",
            *(f"{e.at:%H:%M:%S} {e}" for e in looks),
        )
    app = about
    lines = [
        f"status: {state(app)}, deployed {short(app.deployed)}"
        + (f" at {app.deployed_at:%Y-%m-%d %H:%M:%SZ}" if app.deployed_at else "")
    ]
    if finding is not None:
        lines.append(
            f"cause: {finding.what}"
            f" ({finding.confidence.value}){f', {finding.about}' if finding.about else ''}"
        )
        lines += [f"seen: {line}" for line in finding.evidence]
    lines += [f"condition {c.type}: {essential(c.message, 1_000)}" for c in app.conditions[:20]]
    if operation := app.operation:
        by = "auto-sync" if operation.automated else operation.username or "unknown"
        lines.append(
            f"operation {operation.phase.value} at {short(operation.revisions)} by {by}:"
            f" {essential(operation.message, 1_000)}"
        )
        lines += [f"resource: {failure}" for failure in operation.failed]
    kept: list[str] = []
    for line in lines[:50]:
        if sum(map(len, kept)) + len(line) > EVIDENCE:
            return (*kept, "... and more, left out for size")
        kept.append(line)
    return tuple(kept)


def _did(step: StepRecord) -> str:
    return f"{step.action} {targets(step)}".strip()


def _for_so_long(recovery: Recovery, now: datetime) -> str:
    """``for 26m, since 02:04 UTC``: how long it takes already, and when to look in other logs."""
    since = recovery.unhealthy_since or recovery.opened_at
    day = "" if since.date() == now.date() else f"{since:%Y-%m-%d} "
    return f"for {spell(now - since)}, since {day}{since:%H:%M} UTC"


def _what_to_do(finding: Diagnosis | None) -> str:
    """The advice of its cause as a line of its own; empty where nobody knows."""
    return (
        f"\n{cause_of(finding).title}\nWhat to do: {cause_of(finding).advised(finding.variant)}"
        if finding
        else ""
    )


def _tried_in_short(recovery: Recovery) -> str:
    """For a lock screen: ``after 3 attempts (restart, rollback)``; empty where nothing went out."""
    went = dict.fromkeys(
        s.action
        for s in recovery.steps
        if s.sent and s.outcome and s.reason != "Notified" and s.action not in SPOKEN
    )
    if not went:
        return ", nothing was tried"
    return f", after {recovery.attempt} attempt{'s' * (recovery.attempt != 1)} ({', '.join(went)})"


def _why(app: Application) -> str:
    errors = [f"{c.type}: {essential(c.message, 240)}" for c in app.errors]
    operation = app.operation
    if not errors and operation and operation.phase.over and operation.message:
        errors = [essential(next(iter(operation.failed), operation.message), 240)]
    return f"Argo CD says: {errors[0]}." if errors else ""


def _commits(deployed: Deployed | None) -> str:
    """Commits: what changed since it last worked, who did it, and where to read it; empty where
    nobody has told."""
    if deployed is None:
        return ""
    last = f"\nGit wants: {deployed.bad}" if deployed.wanted else f"\nDeployed: {deployed.bad}"
    good = f"\nLast good: {deployed.good}" if deployed.good else ""
    return f"{last}{good}" + (f"\nCompare: {deployed.compare}" if deployed.compare else "")


def _held(app: Application) -> str:
    if app.hold is None:
        return ""
    if app.hold.target is not None:
        return (
            f"\nIt was moved from {app.hold.origin} to {app.hold.target}. Move it back: recovery"
            f" failback {shell(app.hold.recovery)}"
        )
    off = "Auto-sync is OFF" if app.hold.suspended else "It is on hold"
    return (
        f"\n{off} until a commit after {app.hold.bad[0][:7]}. Undo: recovery release"
        f" {shell(app.key)}"
    )


def _facts(situation: Situation, recovery: Recovery) -> str:
    """Further facts that a person needs of this kind of subject."""
    about = situation.about
    match about:
        case Application():
            return _why(about) + _commits(situation.deployed) + _held(about)
        case Repository():
            return whom(about, situation)
        case _:
            others = [
                c.name
                for c in situation.clusters
                if c.server != about.server and connection(c, situation.now)[0] is Connection.Failed
            ]
            also = f" Failed as well: {', '.join(others)}." if others else ""
            return whom(about, situation) + also + _plan(recovery)


def whom(about: Repository | Cluster, situation: Situation) -> str:
    """Contact: who can repair it, and where."""
    found = worst(about, situation.now)
    kind, what = (
        ("repository", about.url) if isinstance(about, Repository) else ("cluster", about.server)
    )
    if found is Verdict.credentials_refused:
        return (
            f"Its credentials are refused: no outage. Change them in {secret_of(kind, what, about)}"
        )
    if found is Verdict.tls:
        where = secret_of(kind, what, about)
        return (
            "Its certificate is not trusted or not valid any more: no outage. Whoever runs it"
            f" renews it, or the CA in {where}"
        )
    if found is Verdict.api_partial:
        return (
            "It answers, but a part of its API does not (a webhook, an APIService, missing rights):"
            " no outage. Its operators must look"
        )
    return ""


def secret_of(kind: str, what: str, about: Repository | Cluster) -> str:
    """The Secret that holds its credentials, or the command that names it; no Secret has to be read
    for that."""
    if isinstance(about, Cluster) and about.secret:
        return f"the Secret {about.secret} in Argo CD's namespace"
    field = base64.b64encode(what.encode()).decode()
    key = "url" if kind == "repository" else "server"
    return (
        "the Secret that this prints: kubectl -n argocd get secrets -l"
        f" argocd.argoproj.io/secret-type={kind} -o"
        f" jsonpath='{{.items[?(@.data.{key}==\"{field}\")].metadata.name}}'"
    )


def _plan(recovery: Recovery) -> str:
    lines = [
        f"- {m}: {m.phase.value}"
        + (f" to {m.target}" if m.phase.value != "Refused" else "")
        + (f" ({m.reason})" if m.reason else "")
        for m in recovery.relocations[:20]
    ]
    more = (
        f"\n- ... and {len(recovery.relocations) - 20} more"
        if len(recovery.relocations) > 20
        else ""
    )
    return "\nApplications:\n" + "\n".join(lines) + more if lines else ""


def _stop(recovery: Recovery) -> str:
    subject = recovery.subject
    if subject.kind != "Application":
        return f"\nSee: recovery explain {shell(subject)}\nRecord: {recovery.name}"
    return (
        f"\nStop it: kubectl -n {shell(subject.namespace)} annotate application"
        f" {shell(subject.name)} recovery.gitops.dev/paused=true\nRecord: {recovery.name}"
    )


def _then(recovery: Recovery) -> str:
    """Where nothing runs there is nothing to stop: where to look, and how to go on."""
    reset = (
        f"\nThen: recovery reset {shell(recovery.name)}"
        if recovery.phase is not RecoveryPhase.Suppressed
        else ""
    )
    return f"\nSee: recovery explain {shell(recovery.subject)}{reset}\nRecord: {recovery.name}"


def adoption_digest(unwell: list[Application]) -> PendingNotification | None:
    """Digest of what was unwell before we came, by state and project; None when there was
    nothing."""
    if not unwell:
        return None
    groups: dict[str, int] = {}
    for app in unwell:
        group = f"{app.sync.value} and {app.health.value} in project {app.project or '(none)'}"
        groups[group] = groups.get(group, 0) + 1
    lines = [
        f"{count} {group}" for group, count in sorted(groups.items(), key=lambda g: -g[1])[:20]
    ]
    careful = (
        "They are left alone; `recovery adopt` includes them."
        if len(unwell) > MANY_INHERITED
        else "They are recovered, but not rolled back or pruned."
    )
    body = (
        "Unhealthy before this controller was installed:\n"
        + "\n".join(f"- {line}" for line in lines)
        + f"\n{careful}"
    )
    return PendingNotification(
        f"adoption/{len(unwell)}/{unwell[0].uid}",
        f"{len(unwell)} applications were unhealthy before installation",
        body,
        Severity.info.value,
    )
