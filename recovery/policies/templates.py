"""Titles and bodies in people's own words: Jinja2 in a sandbox, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

LONGEST_TEXT = 12_000
"""Characters of what a template makes."""
SAMPLE: Mapping[str, Any] = {
    "title": "shop/cart (prod-eu) requires manual intervention",
    "body": (
        "OutOfSync and Degraded at 9f2c1aa since 13:58 UTC. Tried: restart Deployment/cart Failed."
    ),
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


ALLOWED_NODES = frozenset(
    {
        *(
            "Template",
            "Output",
            "TemplateData",
            "Name",
            "Const",
            "List",
            "Tuple",
            "Getattr",
            "Getitem",
            "Slice",
            "If",
            "CondExpr",
            "For",
        ),
        *(
            "Test",
            "Compare",
            "Operand",
            "And",
            "Or",
            "Not",
            "Add",
            "Sub",
            "Div",
            "FloorDiv",
            "Mod",
            "Concat",
            "Neg",
            "Filter",
            "Call",
        ),
        *("Keyword", "Dict", "Pair"),
    }
)
"""Parts of Jinja2's grammar that a message needs; none of them can make a text much larger than
what it is given, or take long."""
FILTERS = frozenset(
    {
        *(
            "upper",
            "lower",
            "title",
            "capitalize",
            "trim",
            "default",
            "d",
            "join",
            "first",
            "last",
            "length",
            "count",
            "escape",
            "e",
        ),
        *("truncate", "int", "string", "sort", "reverse", "list", "items", "urlencode"),
    }
)
CALLS = frozenset(
    {
        "items",
        "keys",
        "values",
        "get",
        "startswith",
        "endswith",
        "upper",
        "lower",
        "title",
        "strip",
        "split",
    }
)
"""What may be called, as ``facts.items()``."""


@lru_cache(16)
def _forbidden(template: str) -> str:
    """Constructs that could take for ever or fill the memory of whoever renders it; empty for
    nothing."""
    import jinja2
    from jinja2 import nodes

    tree = jinja2.Environment(autoescape=False).parse(template)  # noqa: S701 (it is only read)
    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        if kind not in ALLOWED_NODES:
            return f"line {node.lineno}: {kind} is not for messages"
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            return (
                f"line {node.lineno}: the filter {node.name!r} is not for messages; known are"
                f" {', '.join(sorted(FILTERS))}"
            )
        if (
            isinstance(node, nodes.Mod)
            and isinstance(node.left, nodes.Const)
            and isinstance(node.left.value, str)
        ):
            return f"line {node.lineno}: a text is not formatted with %"
        if isinstance(node, nodes.Call) and not (
            isinstance(node.node, nodes.Getattr) and node.node.attr in CALLS
        ):
            return f"line {node.lineno}: only {', '.join(sorted(CALLS))} may be called"
        if isinstance(node, nodes.For) and (node.recursive or node.find(nodes.For)):
            return f"line {node.lineno}: a loop within a loop"
    return ""


def render(template: str, known: Mapping[str, Any]) -> str:
    """The text; BadTemplate says what is wrong with the template."""
    import jinja2

    try:
        why = _forbidden(template)
        text = "" if why else str(_compiled(template).render(known))[:LONGEST_TEXT]
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
    if why:
        raise BadTemplate(why)
    return text


@lru_cache(16)
def _compiled(template: str) -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False
    ).from_string(template)


def wrong_with(template: str) -> str:
    """The problem with a template; empty when it can be used."""
    if "{" not in template:
        return ""  # a plain text: the library that would read it is not loaded
    try:
        render(template, SAMPLE)
    except BadTemplate as error:
        return str(error)
    return ""
