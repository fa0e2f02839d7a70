"""Titles and bodies in people's own words: Jinja2 in a sandbox, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

LONGEST = 12_000
"""Characters of what a template makes."""
SAMPLE: Mapping[str, Any] = {
    "title": "shop/cart (prod-eu) needs a person",
    "body": "OutOfSync and Degraded at 9f2c1aa since 13:58 UTC. Tried: restart Deployment/cart Failed.",
    "severity": "critical",
    "resolves": False,
    "subject": "shop/cart",
    "namespace": "shop",
    "name": "cart",
    "kind": "Application",
    "project": "shop",
    "cluster": "prod-eu",
    "policy": "application-degraded",
    "cause": "CrashLoop",
    "phase": "Stalled",
    "reason": "Exhausted",
    "message": "out of attempts",
    "attempt": 3,
    "limit": 3,
    "since": "2026-03-02T13:58:00Z",
    "record": "cart-3f9a1c2b7d",
    "facts": {"Policy": "application-degraded"},
    "links": {"Page": "https://recovery.example/recoveries/cart-3f9a1c2b7d"},
}
"""Every name a template may use, with a value such as it has."""


class BadTemplate(ValueError):
    """Why it cannot be used, with its line."""


def render(template: str, known: Mapping[str, Any]) -> str:
    """The text; BadTemplate says what is wrong with the template."""
    import jinja2

    try:
        return str(_compiled(template).render(known))[:LONGEST]
    except jinja2.TemplateSyntaxError as error:
        raise BadTemplate(f"line {error.lineno}: {error.message}") from error
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise BadTemplate(f"{error}; known are {', '.join(SAMPLE)}") from error


@lru_cache(16)
def _compiled(template: str) -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(template)


def wrong_with(template: str) -> str:
    """What is wrong with a template; empty when it can be used."""
    try:
        render(template, SAMPLE)
    except BadTemplate as error:
        return str(error)
    return ""
