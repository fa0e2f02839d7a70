"""Log lines reach the stream that was configured last."""

from __future__ import annotations

import io
import json

import structlog

from recovery import logs


def test_a_logger_in_use_follows_a_new_configuration() -> None:
    log = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    for out in (first, second):
        logs.configure("info", "json", out)
        log.info("here")
    assert [json.loads(out.getvalue())["event"] for out in (first, second)] == ["here", "here"]
    first.close()
    log.info("here")  # the first stream is not written to any more


def test_below_the_level_nothing_is_written() -> None:
    out = io.StringIO()
    logs.configure("warning", "json", out)
    structlog.get_logger().info("here")
    assert out.getvalue() == ""
