"""Two small charts as SVG: outcomes and typical times of the last seven days. Readable without
colour, and to a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from html import escape

from recovery.decide.statistics import Day
from recovery.model.duration import spell

WIDTH, HEIGHT, FOOT, HEAD = 420, 150, 22, 16
OUTCOME_SERIES = (
    ("cured", "recovered", "cured"),
    ("by_itself", "self-healed", "itself"),
    ("needed_person", "requires manual intervention", "person"),
    ("other", "other", "other"),
)
"""Field, words, class."""


def outcomes(days: Sequence[Day]) -> str:
    """Stacked bars of outcomes, one bar a day, as SVG."""
    most = max((d.cured + d.by_itself + d.needed_person + d.other for d in days), default=0)
    parts, step = [], WIDTH / max(len(days), 1)
    for index, day in enumerate(days):
        x, y, total = index * step + step * 0.2, float(HEIGHT - FOOT), 0
        for field, words, css in OUTCOME_SERIES:
            number = getattr(day, field)
            if not number:
                continue
            total += number
            tall = (HEIGHT - FOOT - HEAD) * number / most
            y -= tall
            shown = f"<title>{day.day:%a %d}: {number} {words}</title>"
            parts.append(
                f'<rect class="bar {css}" x="{x:.1f}" y="{y:.1f}" width="{step * 0.6:.1f}"'
                f' height="{tall:.1f}">{shown}</rect>'
            )
        if total:
            parts.append(
                f'<text class="value" x="{x + step * 0.3:.1f}" y="{y - 4:.1f}">{total}</text>'
            )
        parts.append(_foot(index, step, day))
    said = "; ".join(
        f"{d.day:%a}: {d.cured} recovered, {d.by_itself} self-healed, {d.needed_person} by hand,"
        f" {d.other} other"
        for d in days
    )
    return _svg("outcomes", f"Recoveries of the last {len(days)} days. {said}", parts)


def times(days: Sequence[Day]) -> str:
    """A dot a day: the median from the first sight of the illness to the proven cure."""
    most = max((d.typical or 0 for d in days), default=0) or 1
    parts, step, points = [], WIDTH / max(len(days), 1), []
    for index, day in enumerate(days):
        if day.typical is not None:
            x, y = (
                index * step + step / 2,
                HEIGHT - FOOT - (HEIGHT - FOOT - HEAD - 8) * day.typical / most,
            )
            points.append(f"{x:.1f},{y:.1f}")
            words = spelt(day.typical)
            parts.append(
                f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{day.day:%a %d}:'
                f" {words}</title></circle>"
            )
            parts.append(f'<text class="value" x="{x:.1f}" y="{y - 8:.1f}">{escape(words)}</text>')
        parts.append(_foot(index, step, day))
    if len(points) > 1:
        parts.insert(0, f'<polyline class="line" points="{" ".join(points)}"/>')
    said = "; ".join(
        f"{d.day:%a}: {spelt(d.typical) if d.typical is not None else 'none'}" for d in days
    )
    return _svg("times", f"Typical time to recover, last {len(days)} days. {said}", parts)


def spelt(seconds: float) -> str:
    """Seconds in words: ``4m10s``."""
    return spell(timedelta(seconds=round(seconds)))


def _foot(index: int, step: float, day: Day) -> str:
    return (
        f'<text class="foot" x="{index * step + step / 2:.1f}" y="{HEIGHT - 6}">{day.day:%a}</text>'
    )


def _svg(name: str, words: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-labelledby="chart-{name}">'
    )
    return f'{head}<title id="chart-{name}">{escape(words)}</title>{"".join(parts)}</svg>'
