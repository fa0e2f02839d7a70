"""Not too much at once, not too much within an hour, and not too fast."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.decide.guard_request import GuardRequest, begun, under_way
from recovery.decide.storms import RESUMES
from recovery.decide.windows import Closed
from recovery.model.application import Application
from recovery.model.duration import spell
from recovery.model.policy import Budget
from recovery.model.situation import Fleet

BUDGET_WINDOW, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REFRESH_EVERY = timedelta(seconds=10)
"""One of our refreshes for each repository in this time."""


def disruption_budget(a: GuardRequest) -> str | Closed:
    """Too much was restarted, rolled back or moved within an hour
    (``guards.budget.destructive_per_hour``), workload by workload."""
    running = a.recovery.running if a.recovery else None
    more = running is not None and bool(running.effects) and a.step.kind.one_by_one
    if not a.step.kind.destructive or ((begun(a) or under_way(a)) and not more):
        return ""
    own = _own(a)
    done, limits = a.situation.destroyed, a.situation.policies.budget.destructive_per_hour
    counts = (
        (" in all", done.fleet, limits.fleet),
        (f" in project {done.name}", done.project, limits.project),
        (" of this subject", done.subject, limits.application),
    )
    for where, starts, limit in counts:
        times = tuple(at for at in starts if at not in own)
        if len(times) >= limit:
            words = (
                f"{len(times)} restarts, rollbacks and failovers{where} within the last hour"
                f" (limit {limit})"
            )
            return (
                Closed(words, times[len(times) - limit] + BUDGET_WINDOW)
                if limit and times
                else words
            )
    return ""


def _own(a: GuardRequest) -> set[datetime]:
    """When the step that is asked about was written down, as long as it has done nothing: it does
    not stand in its own way."""
    running = a.recovery.running if a.recovery else None
    return {running.started_at} if running is not None and not running.effects else set()


def restart_rate_limit(a: GuardRequest) -> str | Closed:
    """Too many workloads were restarted within a minute
    (``guards.budget.restarts_per_minute``)."""
    if not a.step.kind.one_by_one:
        return ""
    own = _own(a)
    limit, since = a.situation.policies.budget.restarts_per_minute, a.situation.now - MINUTE
    times = tuple(at for at in a.situation.destroyed.fleet if at > since and at not in own)
    if len(times) < limit:
        return ""
    return Closed(
        f"{len(times)} workloads were restarted or rolled back within the last minute (limit"
        f" {limit})",
        times[-limit] + MINUTE,
    )


def rate_limited(a: GuardRequest) -> str:
    """The repository was refreshed less than ten seconds ago."""
    last = a.situation.fleet.refreshed_at
    if not a.step.kind.paced or last is None or a.situation.now - last >= REFRESH_EVERY:
        return ""
    return (
        f"its repository was refreshed {spell(a.situation.now - last)} ago (one refresh per"
        f" {spell(REFRESH_EVERY)})"
    )


def in_flight_limit(a: GuardRequest) -> str:
    """Too many recoveries are in progress (``guards.budget.in_flight``, ``per_cluster``,
    ``per_project``)."""
    situation = a.situation
    return full(situation.fleet, situation.policies.budget, situation.subject, situation.now)


def full(fleet: Fleet, limits: Budget, app: Application, now: datetime) -> str:
    """In words: why no recovery of this Application may begin beside those that are in progress;
    empty where one may."""
    if (
        fleet.calm_since is not None
        and (step := int((now - fleet.calm_since) / RESUMES)) < limits.in_flight - 1
    ):
        at_work = f"{fleet.in_flight} recoveries in progress (limit {1 + step})"
        if fleet.in_flight >= 1 + step:
            return (
                f"{at_work}: the storm ended {spell(now - fleet.calm_since)} ago,"
                " and the limit rises by one each minute"
            )
    # One place of a cluster that several projects share is left to the others.
    theirs = max(1, limits.per_cluster - 1) if fleet.cluster_shared else limits.per_cluster
    counts = (
        ("", fleet.in_flight, limits.in_flight),
        (
            f" in this shard of {fleet.shards}",
            fleet.in_flight_shard,
            max(1, limits.in_flight // fleet.shards),
        ),
        (f" on cluster {app.destination.cluster}", fleet.in_flight_cluster, limits.per_cluster),
        (
            f" of project {app.project} on cluster {app.destination.cluster}",
            fleet.in_flight_theirs,
            theirs,
        ),
        (f" in project {app.project}", fleet.in_flight_project, limits.per_project),
    )
    for where, count, limit in counts:
        if count >= limit:
            return f"{count} recoveries in progress{where} (limit {limit})"
    return ""
