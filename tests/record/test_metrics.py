"""What Prometheus reads: names as it wants them, and who we are."""

from __future__ import annotations

from recovery import __version__
from recovery.record.metrics import Metrics


def test_counters_end_in_total_and_nothing_else_does() -> None:
    metrics = Metrics()
    metrics.api.is_at(3, "get", "200")
    metrics.decisions.labels("p", "Wait", "Pending").inc()
    text = metrics.render().decode()
    types = dict(line.split(" ")[2:4] for line in text.splitlines() if line.startswith("# TYPE "))

    assert (
        'recovery_api_requests_total{status="200",verb="get"} 3.0' in text
        or 'recovery_api_requests_total{verb="get",status="200"} 3.0' in text
    )
    assert {name for name, kind in types.items() if kind == "counter"} == {
        name for name in types if name.endswith("_total")
    }
    assert "_created" not in text
    assert f'recovery_build_info{{version="{__version__}"}} 1.0' in text
    assert "process_resident_memory_bytes" in text
