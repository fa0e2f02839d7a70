"""The page: HTML rendered here, no build step, no outside asset, nothing that needs JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from recovery.decide.statistics import Day
from recovery.model.duration import elapsed
from recovery.model.text import shell
from recovery.serve import charts
from recovery.serve.auth import Viewer

STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


def render(
    name: str,
    *,
    root: str,
    here: str,
    viewer: Viewer,
    now: datetime,
    live: bool = True,
    **known: Any,
) -> str:
    """One page. ``root`` leads from its address to the front page: ``./`` or ``../``, so that any
    path may stand before it."""
    html: str = (
        _environment()
        .get_template(name)
        .render(root=root, here=here, viewer=viewer, now=now, live=live, **known)
    )
    return html


def drawn(days: list[Day]) -> Mapping[str, str]:
    """The charts of the front page, as SVG."""
    return {"outcomes": charts.outcomes(days), "times": charts.times(days)}


@cache
def static(name: str) -> bytes:
    """One of the page's own files."""
    return files("recovery.serve").joinpath("static", name).read_bytes()


@cache
def _environment() -> Any:
    # Only a controller whose page is looked at pays for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context

    made = Environment(
        loader=PackageLoader("recovery.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["at"] = pass_context(_at)
    made.filters["stamp"] = _stamp
    made.filters["spelt"] = charts.spelt
    made.filters["shell"] = shell
    return made


def _at(context: Mapping[str, Any], moment: datetime | None) -> Markup:
    """How long ago, or in how long; the time itself on hover."""
    if moment is None:
        return Markup()
    apart = context["now"] - moment
    words = f"in {elapsed(-apart)}" if apart.total_seconds() < 0 else f"{elapsed(apart)} ago"
    html = Markup('<time class="apart" datetime="{}" title="{} UTC">{}</time>')
    return html.format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S}", words)


def _stamp(moment: datetime) -> Markup:
    """The time in full, in UTC."""
    return Markup('<time datetime="{}">{} UTC</time>').format(
        f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S}"
    )
