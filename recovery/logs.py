"""Logs: JSON lines for machines, coloured ones on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from recovery.model.redact import redact

LONGEST_VALUE = 16_000
"""Characters of one value in a line."""


def configure(level: str, fmt: str, stream: TextIO | None = None) -> None:
    """Set up structlog once; ``fmt`` is json, console, or empty to choose by the stream."""
    out = stream or sys.stdout
    console = fmt == "console" or (not fmt and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _clean,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    stray = logging.StreamHandler(out)
    stray.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[stray], force=True)


def _clean(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last look at every line: no credential that this process holds, or that looks like one,
    and no line break of a stranger."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(
                value, LONGEST_VALUE, lines=key == "exception"
            )  # ours, and of several lines
        else:
            event[key] = _cleaned(value)
    return event


def _cleaned(value: Any) -> Any:
    """The same of all texts in a value, however deep: the lines are ours, and none is deep."""
    if isinstance(value, str):
        return redact(value, LONGEST_VALUE)
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(each) for name, each in value.items()}
    return value


class _Line(logging.Formatter):
    """Lines that libraries log, as one JSON line like all the others."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "event": redact(record.getMessage(), LONGEST_VALUE),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.exc_info:
            told["exception"] = redact(
                self.formatException(record.exc_info), LONGEST_VALUE, lines=True
            )
        return json.dumps(told)
