"""Causes read from operations: what it waits for, why it failed, whether anybody works on it at
all."""

from __future__ import annotations

import re
from datetime import timedelta

from msgspec import structs

from recovery.causes.case import DiagnosisInput, found
from recovery.causes.comparisons import compared
from recovery.causes.error_patterns import (
    BY_HAND,
    GAVE_UP,
    GENERIC,
    HOOK_RESULTS,
    MIGRATES,
    OPERATION_WAITS,
    POD_RESULTS,
    RENDERED,
    RESULT,
    RETRYING,
    ROLLOUTS,
    TIMED_OUT,
    TRANSIENT,
    WAITS_FOR,
    WIPES,
)
from recovery.causes.remedy_matrix import STRICT, verdict
from recovery.causes.workloads import BUILT_IN, classified, words
from recovery.model.application import Operation, Phase, Sync, short
from recovery.model.cause import Confidence, Diagnosis, Observations, Remedy

RUNS = ("Job", "Pod", "Workflow", "CronWorkflow", "TaskRun", "PipelineRun")
"""Kinds that run to an end: a hook most often is one of them."""
YOUNG = timedelta(seconds=30)
"""An operation that is no older does what operations do."""
TERMINATING = timedelta(minutes=10)
"""Ending an operation takes seconds; what takes so long has nobody who does it, or a hook with a
finalizer."""


def orphaned(patient: DiagnosisInput) -> Diagnosis | None:
    """A state that Argo CD itself never leaves behind (argo-cd#29636, #3663)."""
    app, operation = patient.app, patient.app.operation
    if operation is None:
        return None
    state = f"operationState is {operation.phase.value}"
    if operation.phase.over and operation.finished_at is None and operation.started_at is not None:
        return found(
            "OperationOrphaned",
            f"{state} and has no finishedAt",
            variant="NoEnd",
            confidence=Confidence.certain,
        )
    if operation.phase.over or operation.retrying:
        return None
    if app.requested is None and patient.lasted(patient.still_since, YOUNG):
        return found(
            "OperationOrphaned",
            f"{state}, and .operation is gone: nobody works on it",
            variant="NotAsked",
            confidence=Confidence.certain,
        )
    if (
        operation.phase is Phase.Terminating
        and patient.now is not None
        and patient.lasted(patient.still_since, TERMINATING)
    ):
        return found(
            "OperationOrphaned",
            f"{state}, without progress: {operation.message}",
            variant="Terminating",
        )
    return None


def running(patient: DiagnosisInput) -> Diagnosis | None:
    """A running operation is at work, waits for something, or for its own retry."""
    app, operation = patient.app, patient.app.operation
    if operation is None or operation.phase.over:
        return None
    said = f"operation {operation.phase.value}: {operation.message}"
    if operation.retrying or RETRYING.search(operation.message):
        if (
            operation.revisions
            and app.revisions
            and operation.revisions != app.revisions
            and app.sync is Sync.OutOfSync
        ):
            newer = f"it tries {short(operation.revisions)} and Git wants {short(app.revisions)}"
            return found(
                "RetryInProgress",
                said,
                newer,
                variant="NewerRevision",
                confidence=Confidence.certain,
            )
        inner = _failed(operation, patient.signs)
        if inner is not None and inner.cause != "AutoSyncGaveUp":
            return found(
                inner.cause,
                *inner.evidence,
                said,
                variant=inner.variant,
                about=inner.about,
                confidence=inner.confidence,
                also=("RetryInProgress",),
            )
        return found("RetryInProgress", said, confidence=Confidence.certain)
    waits = OPERATION_WAITS.first(operation.message)
    if waits is None or not patient.lasted(operation.started_at, YOUNG):
        return None
    about = WAITS_FOR.search(operation.message)
    what = about.group(1) if about else ""
    # What it waits for may say itself why it does not come.
    why = [each for each in classified(patient) if waits.cause == "WaveNotHealthy"]
    also = tuple(dict.fromkeys(line.cause for line, _ in why))
    return found(
        waits.cause,
        said,
        *(words(one) for _, one in why),
        variant=waits.variant,
        about=what,
        also=also,
    )


def failed(patient: DiagnosisInput) -> Diagnosis | None:
    """The last operation did not succeed, or auto-sync says why it does not begin another."""
    app, operation = patient.app, patient.app.operation
    sync_errors = [c.message for c in app.conditions if c.type == "SyncError"]
    if wiped := next((m for m in sync_errors if WIPES.search(m)), None):
        return found("WipeGuard", f"condition SyncError: {wiped}", confidence=Confidence.certain)
    over = operation is not None and operation.phase in (Phase.Failed, Phase.Error)
    current = app.sync is not Sync.Synced or (
        operation is not None and any("Failed" in h or "Error" in h for h in operation.hooks)
    )
    if (
        operation is not None
        and over
        and current
        and (finding := _failed(operation, patient.signs))
    ):
        return finding
    if operation is not None and not operation.phase.over:
        return None
    for message in sync_errors:
        said = f"condition SyncError: {message}"
        inner = GAVE_UP.sub("", message)
        if finding := _cause_of(inner, said, patient.signs):
            return (
                structs.replace(finding, also=(*finding.also, "AutoSyncGaveUp"))
                if finding.cause != "AutoSyncGaveUp"
                else finding
            )
        if BY_HAND.search(inner):
            return found(
                "AutoSyncGaveUp", said, variant="Terminated", confidence=Confidence.certain
            )
        if GENERIC.search(inner.strip()) and GAVE_UP.search(message):
            return found("AutoSyncGaveUp", said, confidence=Confidence.guess)
        if not GENERIC.search(inner.strip()):
            return found(
                "Unclassified", said, confidence=Confidence.guess, also=("AutoSyncGaveUp",)
            )
    return None


def _failed(operation: Operation, signs: Observations | None) -> Diagnosis | None:
    """Messages of its resources before its own: those are what failed."""
    said = f"operation {operation.phase.value}: {operation.message}"
    if BY_HAND.search(operation.message) and not TIMED_OUT.search(operation.message):
        return found("AutoSyncGaveUp", said, variant="Terminated", confidence=Confidence.certain)
    hooks = [h for h in operation.hooks if h.endswith((" Failed", " Error"))]

    def is_hook(who: str) -> bool:
        return any(f" {who} " in f" {h} " for h in hooks)

    unknown = []
    known: list[Diagnosis] = []
    for failure in operation.ran_failed:
        who, _, words = failure.partition(": ")
        known.append(_ran(who, f"resource {failure}", words, hook=is_hook(who)))
    for failure in operation.failures:
        who, _, words = failure.partition(": ")
        if is_hook(who) and RESULT.first(words) is None:
            known.append(_hook(who, f"resource {failure}"))
        elif finding := _cause_of(words, f"resource {failure}", signs, who):
            hook = finding.cause == "ObjectInvalid" and is_hook(who)
            known.append(
                structs.replace(_hook(who, *finding.evidence), also=(finding.cause,))
                if hook
                else finding
            )
        elif words.strip():
            unknown.append(f"resource {failure}")
    if known:
        return _strictest(known, said)
    if hooks:
        return _hook(hooks[0].split(" ")[1], *(f"hook {h}" for h in hooks), said)
    message = RETRYING.sub("", operation.message).strip()
    if RENDERED.search(message) and (finding := compared(message, said)):
        return finding
    if finding := _cause_of(message, said, signs):
        return finding
    if unknown or not (GENERIC.search(message.rstrip(". ")) or not message):
        return found(
            "HookFailed"
            if HOOK_RESULTS.search(message) and not unknown and "hook" in message
            else "Unclassified",
            *unknown,
            said,
            confidence=Confidence.guess,
        )
    return None


def _strictest(known: list[Diagnosis], said: str) -> Diagnosis:
    """Of several causes in one operation that one leads which allows the least: a sync would meet
    all of them again."""
    first = max(known, key=lambda f: STRICT.index(verdict(f, Remedy.sync)))
    also = tuple(dict.fromkeys(c for f in known for c in (f.cause, *f.also) if c != first.cause))
    evidence = [line for f in (first, *known) for line in f.evidence]
    return found(
        first.cause,
        *evidence,
        said,
        variant=first.variant,
        about=first.about,
        confidence=first.confidence,
        also=also,
    )


def _hook(who: str, *evidence: str) -> Diagnosis:
    variant = "Migration" if who.partition("/")[0] in RUNS and MIGRATES.search(who) else ""
    return found("HookFailed", *evidence, variant=variant, about=who, confidence=Confidence.certain)


def _ran(who: str, evidence: str, words: str, *, hook: bool) -> Diagnosis:
    """Something that was applied, and came to nothing: its words are of what ran, and not the API
    server's."""
    kind = who.partition("/")[0]
    if hook or kind in RUNS:
        finding = _hook(who, evidence)
        return finding if hook or finding.variant else structs.replace(finding, variant="Job")
    if kind in BUILT_IN and (line := POD_RESULTS.first(f"{kind}: {words}")) is not None:
        return found(line.cause, evidence, variant=line.variant, about=who)
    if kind == "Rollout" and (line := ROLLOUTS.first(words)) is not None:
        return found(line.cause, evidence, about=who)
    if kind in BUILT_IN:
        return found("Unclassified", evidence, about=who, confidence=Confidence.guess)
    return found("DependencyUnhealthy", evidence, about=who)


def _cause_of(
    words: str, evidence: str, signs: Observations | None, who: str = ""
) -> Diagnosis | None:
    line = RESULT.first(words)
    if line is None:
        line = TRANSIENT.first(words)
    if line is None:
        return None
    if line.cause != "MissingCRD":
        return found(line.cause, evidence, variant=line.variant, about=who)
    kind = missing_kind(words)
    variant, more = _there(kind, signs)
    return found(line.cause, evidence, *more, variant=variant, about=kind or who)


def _there(kind: str, signs: Observations | None) -> tuple[str, tuple[str, ...]]:
    """Is the missing kind served by now?"""
    if signs is None or not kind:
        return "", ()
    answers = [there for asked, there in signs.served.items() if _same_kind(asked, kind)]
    if not answers:
        return "", ()
    provided = (f"brought by application {', '.join(signs.providers)}",) if signs.providers else ()
    if any(answers):
        return "Established", (f"the cluster serves {kind} by now",)
    return "Absent", (
        f"the cluster does not serve {kind}",
        *(provided or ("no application that Argo CD knows of brings its CRD",)),
    )


def _same_kind(asked: str, kind: str) -> bool:
    return asked == kind or (
        asked.split("/", maxsplit=1)[0],
        asked.rsplit("/", maxsplit=1)[-1],
    ) == (
        kind.split("/", maxsplit=1)[0],
        kind.rsplit("/", maxsplit=1)[-1],
    )


def missing_kind(words: str) -> str:
    """``group/Kind`` or ``group/version/Kind`` that these words miss; empty when they do not name
    it."""
    if m := re.search(r"could not find version \"([a-z0-9]{1,63})\" of ([\w.-]+)/(\w+)", words):
        return f"{m.group(2)}/{m.group(1)}/{m.group(3)}"
    if m := re.search(r"could not find ([\w.-]+)/(\w+)", words):
        return f"{m.group(1)}/{m.group(2)}"
    if m := re.search(r"\b(\w{1,63})\.([a-z0-9.-]{1,253}) \"\" not found", words):
        return f"{m.group(2)}/{m.group(1)}"
    if m := re.search(
        r"no matches for kind \"?(\w+)\"? in (?:version|group) \"?([\w.-]+)(?:/(\w+))?", words
    ):
        return (
            f"{m.group(2)}/{m.group(3)}/{m.group(1)}"
            if m.group(3)
            else f"{m.group(2)}/{m.group(1)}"
        )
    return ""
