"""The Helm chart is made from the manifests; that both render the same is
tests/e2e/test_chart.py's."""

from __future__ import annotations

from tools import chart


def test_the_chart_is_made_from_the_manifests() -> None:
    there = {
        str(p.relative_to(chart.CHART)): p.read_text()
        for f in ("templates", "files", "crds")
        for p in (chart.CHART / f).glob("*")
    }

    assert there == chart.templates(), "python -m tools.chart writes it anew"


def test_the_dashboard_is_as_its_rows_say() -> None:
    import json

    from tools import dashboard

    assert json.loads(dashboard.FILE.read_text()) == dashboard.dashboard(), (
        "python -m tools.dashboard writes it anew"
    )
