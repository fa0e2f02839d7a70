"""A diagnosis as data: what ``recovery explain -o json``, the API and a bundle say of it."""

from __future__ import annotations

from typing import Any

from recovery.causes.remedy_matrix import cause_of
from recovery.model.cause import Diagnosis, Verdict


def told(finding: Diagnosis | None, *, tree_read: bool = True) -> dict[str, Any]:
    """The diagnosis as data: what ``-o json`` prints."""
    if finding is None:
        return {
            "cause": None,
            "code": None,
            "evidence": [],
            "allowed": [],
            "forbidden": [],
            "useless": [],
            "advice": "",
            "tree_read": tree_read,
        }
    cause = cause_of(finding)

    def cures(*wanted: Verdict) -> list[str]:
        return [
            cure.value
            for verdict in wanted
            for cure in cause.with_verdict(verdict, finding.variant)
        ]

    return {
        "cause": cause.name,
        "code": cause.code,
        "variant": finding.variant or None,
        "about": finding.about or None,
        "title": cause.title,
        "note": cause.notes.get(finding.variant),
        "confidence": finding.confidence.value,
        "evidence": list(finding.evidence),
        "also": list(finding.also),
        "allowed": cures(Verdict.allowed, Verdict.once),
        "once": cures(Verdict.once),
        "useless": cures(Verdict.useless),
        "forbidden": cures(Verdict.forbidden),
        "advice": cause.advised(finding.variant),
        "tree_read": tree_read,
    }
