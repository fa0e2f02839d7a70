"""One OpenTelemetry trace a recovery, sent when it is over: OTLP over HTTP as JSON, where
OTEL_EXPORTER_OTLP_ENDPOINT says so.

A trace's and its spans' ids follow from the recovery: sent twice after a crash, it is still one
trace. Traces may be lost; a recovery never waits for one.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from typing import Any

import structlog
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from recovery.clock import Clock
from recovery.model.names import USERNAME
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.http_post import post

log = structlog.get_logger(__name__)
MAX_WAITING_SPANS = 200
_OK, _ERROR = 1, 2
"""Status codes of a span (opentelemetry-proto trace.proto:Status.StatusCode)."""


class Traces:
    """A bounded queue of traces to send; what does not fit is dropped."""

    def __init__(self, endpoint: str, headers: str, clock: Clock) -> None:
        """``headers`` as OTEL_EXPORTER_OTLP_HEADERS has them: ``name=value,name=value``."""
        self._endpoint = endpoint.rstrip("/")
        pairs = (pair.partition("=") for pair in headers.split(",") if "=" in pair)
        self._headers = {name.strip(): value.strip() for name, _, value in pairs}
        self._clock = clock
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING_SPANS)

    def ended(self, recovery: Recovery) -> None:
        """End a span with the outcome of its step."""
        if self._endpoint and not self._queue.full():
            self._queue.put_nowait(trace(recovery, self._clock.now()))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            body = await self._queue.get()
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(Undelivered),
                wait=wait_exponential_jitter(1, 30),
                stop=stop_after_attempt(4),
                sleep=self._clock.sleep,
            )
            try:
                async for attempt in retrying:
                    with attempt:
                        await post(
                            "the trace collector",
                            f"{self._endpoint}/v1/traces",
                            body,
                            self._headers,
                        )
            except RetryError as error:
                log.warning("a trace was not taken", why=str(error.last_attempt.exception()))


def trace(recovery: Recovery, now: datetime) -> dict[str, Any]:
    """As OTLP/JSON: a root span from the first sight of the illness to the end, and one span a
    step."""
    began, ended = recovery.unhealthy_since or recovery.opened_at, recovery.resolved_at or now
    identity = f"{recovery.name}/{recovery.opened_at.isoformat()}"
    root, subject = _id(identity, 8), recovery.subject
    well = recovery.phase is RecoveryPhase.Resolved
    about = {
        "recovery.name": recovery.name,
        "recovery.policy": recovery.policy,
        "recovery.cause": recovery.cause,
        "recovery.outcome": recovery.phase.value,
        "recovery.reason": recovery.reason,
        "recovery.attempts": recovery.attempt,
        "argocd.subject": str(subject),
        "argocd.project": subject.project,
        "k8s.cluster.name": subject.cluster,
    }
    spans = [
        _span(
            identity,
            root,
            "",
            f"recover {subject.kind.lower()}",
            began,
            ended,
            about,
            ok=well,
            message=recovery.message,
        )
    ]
    for step in recovery.steps:
        told = {
            "recovery.action": step.action,
            "recovery.attempt": step.attempt,
            "recovery.targets": ", ".join(step.targets),
        }
        told |= {
            "recovery.outcome": step.outcome.value if step.outcome else "",
            "recovery.reason": step.reason,
        }
        ok = step.outcome in (StepOutcome.Succeeded, StepOutcome.Skipped)
        own = _id(f"{identity}/{step.attempt}.{step.index}", 8)
        spans.append(
            _span(
                identity,
                own,
                root,
                step.action,
                step.started_at,
                step.ended_at or ended,
                told,
                ok=ok,
                message=step.message,
            )
        )
    resource = {"attributes": _attributes({"service.name": USERNAME})}
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {"name": USERNAME}, "spans": spans}]}
        ]
    }


def _span(
    identity: str,
    own: str,
    parent: str,
    name: str,
    began: datetime,
    ended: datetime,
    about: dict[str, Any],
    *,
    ok: bool,
    message: str,
) -> dict[str, Any]:
    return {
        "traceId": _id(identity, 16),
        "spanId": own,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": _nanoseconds(began),
        "endTimeUnixNano": _nanoseconds(ended),
        "attributes": _attributes(about),
        "status": {"code": _OK if ok else _ERROR, **({} if ok else {"message": message[:500]})},
    }


def _attributes(about: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = (
        (key, "intValue" if isinstance(value, int) else "stringValue", str(value))
        for key, value in about.items()
        if value != ""
    )
    return [{"key": key, "value": {kind: value}} for key, kind, value in kinds]


def _id(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * size]


def _nanoseconds(at: datetime) -> str:
    return str(int(at.timestamp() * 1_000_000) * 1000)
