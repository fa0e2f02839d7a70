"""Causes read from what pods, workloads, jobs and volume claims say."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from recovery.causes.case import DiagnosisInput, found
from recovery.causes.error_patterns import POD_RESULTS, ROLLOUTS, Line
from recovery.model.application import Health
from recovery.model.cause import Confidence, Diagnosis, UnhealthyResource

LONG = timedelta(minutes=10)
"""Progressing for longer than this, with nothing that tells why, is stuck."""
ROLLOUTS_GROUP = "argoproj.io"
WAITS_FOR_A_NODE = "PendingWithoutNode"
"""Of a Pod that the tree shows Pending and on no node, in place of a reason: it says no more."""
BUILT_IN = frozenset(
    {
        "Pod",
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "ReplicationController",
        "PersistentVolumeClaim",
        "PersistentVolume",
        "Service",
        "Ingress",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Node",
        "Namespace",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Event",
        "APIService",
        "CustomResourceDefinition",
        "Rollout",
        "AnalysisRun",
        "Experiment",
    }
)
"""Kinds whose words are those of pods, of Kubernetes itself or of Argo Rollouts; what else Argo CD
shows ill is a custom resource."""
_ILL = (Health.Degraded, Health.Progressing, Health.Missing, Health.Unknown)


def unwell(patient: DiagnosisInput) -> tuple[UnhealthyResource, ...]:
    """Unhealthy resources: from the tree, and from the Application itself where it still says
    so (2.14, or ``controller.resource.health.persist``)."""
    return (*(patient.signs.unwell if patient.signs else ()), *patient.app.unwell)


def words(one: UnhealthyResource) -> str:
    """``Pod/cart-7c9: ImagePullBackOff: Back-off pulling image``."""
    return ": ".join(filter(None, (str(one), one.reason, one.message)))


def classified(patient: DiagnosisInput) -> list[tuple[Line, UnhealthyResource]]:
    """Every resource whose words are known, the most telling first."""
    known = [
        (line, one)
        for one in unwell(patient)
        if one.kind in BUILT_IN and (line := _line(one, patient)) is not None
    ]
    claims = [
        one
        for one in unwell(patient)
        if one.kind == "PersistentVolumeClaim" and one.health in ("Progressing", "Degraded")
    ]
    known += [
        (line, one)
        for one in claims
        if (line := POD_RESULTS.first("Unschedulable")) is not None
        and all(one is not o for _, o in known)
    ]
    return sorted(known, key=lambda each: POD_RESULTS.rank(each[0]))


def _line(one: UnhealthyResource, patient: DiagnosisInput) -> Line | None:
    if one.reason == WAITS_FOR_A_NODE:
        return POD_RESULTS.first("Unschedulable") if patient.lasted(one.since, LONG) else None
    return POD_RESULTS.first(f"{one.kind}: {one.reason}: {one.message}")


def custom(patient: DiagnosisInput) -> Diagnosis | None:
    """A custom resource that says it is not ready: its own words, and never a reason to touch what
    runs."""
    ill = [one for one in unwell(patient) if one.health in ("Degraded", "Progressing", "Unknown")]
    told = [one for one in ill if one.kind not in BUILT_IN and one.health == "Degraded"]
    # One that is on its way is the reason only where nothing else is ill, and after a while.
    alone = patient.app.health is Health.Progressing and all(
        one.kind not in BUILT_IN for one in ill
    )
    if not told and alone and patient.lasted(patient.app.health_since, LONG):
        told = [one for one in ill if one.message]
    if not told:
        return None
    sure = (
        Confidence.certain
        if told[0].health == "Degraded" and told[0].message
        else Confidence.likely
    )
    return found("DependencyUnhealthy", *map(words, told), about=str(told[0]), confidence=sure)


def rollouts(patient: DiagnosisInput) -> Diagnosis | None:
    """Causes that Argo Rollouts itself reports. Where something else is ill with it, that leads: it
    is no quiet matter, and nothing is done to it all the same while a Rollout decides."""
    # No kind of the core group has this name: where no group was told, it is theirs.
    ill = [
        one
        for one in unwell(patient)
        if one.kind == "Rollout" and one.group in ("", ROLLOUTS_GROUP)
    ]
    said = [
        (line, one)
        for one in ill
        if (line := ROLLOUTS.first(f"{one.reason}: {one.message}")) is not None
    ]
    under_way = (
        [one for one in ill if one.health == "Progressing"]
        if patient.app.health is Health.Progressing
        else []
    )
    if said:
        line, one = min(said, key=lambda each: ROLLOUTS.rank(each[0]))
        cause, told = (
            line.cause,
            [one, *(run for run in unwell(patient) if run.kind == "AnalysisRun")],
        )
    elif under_way:
        cause, told = "RolloutProgressing", under_way
    else:
        return None
    beside = workloads(patient) if classified(patient) or custom(patient) else None
    if beside is not None:
        return structs.replace(beside, also=tuple(dict.fromkeys((*beside.also, cause))))
    return found(cause, *map(words, told), about=str(told[0]), confidence=Confidence.certain)


def crowd(patient: DiagnosisInput) -> Diagnosis | None:
    """Many fell ill at once, and this one was not deployed anew."""
    app = patient.app
    if not patient.storm or app.health is not Health.Degraded:
        return None
    lately = (
        app.deployed_at is not None
        and app.health_since is not None
        and app.health_since - app.deployed_at < timedelta(hours=1)
    )
    return (
        None
        if lately
        else found(
            "DependencyOutage",
            patient.storm,
            "it was not deployed within the hour before",
            confidence=Confidence.likely,
        )
    )


def workloads(patient: DiagnosisInput) -> Diagnosis | None:
    """Why what was deployed does not run."""
    app = patient.app
    if app.health not in _ILL:
        return None
    known = classified(patient)
    if (
        not known
        and app.health_message
        and (line := POD_RESULTS.first(app.health_message)) is not None
    ):
        return found(
            line.cause, f"health {app.health.value}: {app.health_message}", variant=line.variant
        )
    if known:
        line, one = known[0]
        if line.cause == "ImageUnavailable" and not line.variant:
            # The same image with a better reason: kubelet says it once in full, and then only that
            # it waits.
            line, one = next(
                ((other, o) for other, o in known if other.cause == line.cause and other.variant),
                known[0],
            )
        causes = [other.cause for other, _ in known if other.cause != line.cause]
        causes += ["DependencyUnhealthy"] if custom(patient) else []
        also = tuple(dict.fromkeys(causes))
        return found(
            line.cause,
            words(one),
            *(words(o) for _, o in known if o is not one),
            variant=line.variant,
            about=str(one),
            also=also,
        )
    if finding := custom(patient):
        return finding
    ill = [
        one
        for one in unwell(patient)
        if one.health in ("Degraded", "Progressing", "Missing", "Unknown")
    ]
    if app.health is Health.Degraded:
        told = [one for one in ill if one.health == "Degraded" and one.message]
        return (
            found(
                "Unclassified", *map(words, told), about=str(told[0]), confidence=Confidence.guess
            )
            if told
            else None
        )
    if app.health is Health.Progressing and (
        patient.now is None or patient.lasted(app.health_since, LONG)
    ):
        since = (
            f"Progressing since {app.health_since:%Y-%m-%d %H:%M:%SZ}"
            if app.health_since
            else "Progressing"
        )
        return found(
            "StuckProgressing",
            since,
            *map(words, ill),
            about=str(ill[0]) if ill else "",
            confidence=Confidence.guess,
        )
    return None


def suspended(patient: DiagnosisInput) -> Diagnosis | None:
    """The cause of an application that is Suspended on purpose."""
    if patient.app.health is not Health.Suspended:
        return None
    told = [
        one
        for one in unwell(patient)
        if (line := ROLLOUTS.first(f"{one.reason}: {one.message}"))
        and line.cause == "AnalysisInconclusive"
    ]
    if told:
        return found(
            "AnalysisInconclusive",
            *map(words, told),
            about=str(told[0]),
            confidence=Confidence.certain,
        )
    return found(
        "Suspended",
        "health is Suspended",
        *map(words, unwell(patient)),
        confidence=Confidence.certain,
    )
