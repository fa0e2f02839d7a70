"""The flags: what needs the real test bed, and what takes long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.transition_watch import Watched, transitions_watched


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--e2e", action="store_true", help="also run what needs the real test bed")
    parser.addoption(
        "--long", action="store_true", help="also run the larger share of soak and bursts"
    )
    parser.addoption(
        "--rewrite", action="store_true", help="write the transcripts of tests/scenarios anew"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {"e2e": "needs the real test bed: --e2e", "long": "takes long: --long"}
    for name, reason in reasons.items():
        for item in items if not config.getoption(f"--{name}") else ():
            if name in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _log_as_before() -> None:
    """Each test logs to the standard output it has itself, not to that of the test before, which a
    command bound and pytest has closed since. structlog's own default draws every local variable
    of every frame: seconds a traceback."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )


@pytest.fixture(autouse=True)
def transitions() -> Iterator[Watched]:
    """Every decision of every test is one that the table of transitions has."""
    with transitions_watched() as watched:
        yield watched
    assert watched.wrong == []
