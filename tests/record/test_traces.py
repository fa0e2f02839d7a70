"""One trace a recovery, as OTLP has it; the same one after a crash."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from msgspec import structs

from recovery.clock import SystemClock
from recovery.model.recovery import RecoveryPhase, StepOutcome, StepRecord
from recovery.record.tracing import Traces, trace
from tests.answering import Answering
from tests.builders import NOW, a_recovery

STEP = StepRecord(
    1,
    0,
    "restart",
    NOW,
    ended_at=NOW + timedelta(seconds=90),
    outcome=StepOutcome.Failed,
    reason="Same",
    message="still ill",
)
OVER = structs.replace(
    a_recovery("cart", NOW, steps=(STEP,)),
    phase=RecoveryPhase.Resolved,
    unhealthy_since=NOW - timedelta(minutes=5),
    resolved_at=NOW + timedelta(minutes=2),
)


def test_a_root_from_illness_to_cure_and_a_span_a_step() -> None:
    made = trace(OVER, NOW)

    root, step = made["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (len(root["traceId"]), len(root["spanId"]), root["traceId"]) == (32, 16, step["traceId"])
    assert step["parentSpanId"] == root["spanId"]
    assert int(root["endTimeUnixNano"]) - int(root["startTimeUnixNano"]) == 420 * 10**9
    assert (root["status"], step["status"]) == ({"code": 1}, {"code": 2, "message": "still ill"})
    assert {"key": "recovery.action", "value": {"stringValue": "restart"}} in step["attributes"]
    assert trace(OVER, NOW + timedelta(hours=1)) == made, "the same after a crash"


async def test_it_is_sent_when_a_collector_is_named_and_tried_again() -> None:
    async with Answering() as there:
        there.answers["/v1/traces"] = (503, "busy")
        traces = Traces(there.url + "/", "Authorization=Bearer x", SystemClock(speed=100))
        running = asyncio.create_task(traces.run())
        traces.ended(OVER)
        async with asyncio.timeout(10):
            while not there.asked:  # noqa: ASYNC110 (a list is no event)
                await asyncio.sleep(0.01)
            there.answers["/v1/traces"] = (200, "{}")
            while len(there.asked) < 2:  # noqa: ASYNC110 (the same)
                await asyncio.sleep(0.01)
        running.cancel()
    _, path, headers, body = there.asked[-1]
    assert (path, headers["Authorization"]) == ("/v1/traces", "Bearer x")
    assert json.loads(body) == trace(OVER, NOW)
    silent = Traces("", "", SystemClock())
    silent.ended(OVER)
    assert silent._queue.empty()
