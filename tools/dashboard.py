"""``python -m tools.dashboard``: manifests/monitoring/dashboard.json anew, from the rows below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "manifests/monitoring/dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
STAT, SERIES = "stat", "timeseries"
ROWS: tuple[tuple[str, tuple[tuple[str, str, str, str, str], ...]], ...] = (
    (
        "Now",
        (
            ("Applications watched", STAT, "none", "sum(recovery_applications)", ""),
            (
                "Need a person",
                STAT,
                "none",
                "sum(recovery_manual_intervention_required) or vector(0)",
                "",
            ),
            (
                "Open recoveries",
                SERIES,
                "none",
                "sum by (phase) (recovery_recoveries)",
                "{{phase}}",
            ),
            ("Ill, by cause", SERIES, "none", "sum by (cause) (recovery_causes)", "{{cause}}"),
        ),
    ),
    (
        "Recoveries",
        (
            (
                "Steps per hour",
                SERIES,
                "none",
                "sum by (action, result) (increase(recovery_steps_total[1h]))",
                "{{action}} {{result}}",
            ),
            (
                "Writes per minute",
                SERIES,
                "none",
                "sum by (action) (rate(recovery_writes_total[5m])) * 60",
                "{{action}}",
            ),
            (
                "Time to recover, median",
                SERIES,
                "s",
                "histogram_quantile(0.5, sum by (le, policy) (rate(recovery_time_to_recover_seconds_bucket[6h])))",
                "{{policy}}",
            ),
            (
                "Suppressed, by guard",
                SERIES,
                "none",
                "sum by (guard) (recovery_suppressed)",
                "{{guard}}",
            ),
            (
                "Pending conditions",
                SERIES,
                "none",
                "sum by (policy) (recovery_pending_conditions)",
                "{{policy}}",
            ),
            (
                "Decisions per hour",
                SERIES,
                "none",
                "sum by (decision) (increase(recovery_decisions_total[1h]))",
                "{{decision}}",
            ),
        ),
    ),
    (
        "Repositories and clusters",
        (
            (
                "By state",
                SERIES,
                "none",
                "sum by (kind, state) (recovery_connections)",
                "{{kind}} {{state}}",
            ),
            ("Away from home", STAT, "none", "sum(recovery_relocated_applications)", ""),
        ),
    ),
    (
        "Notifications",
        (
            (
                "Notifications per hour",
                SERIES,
                "none",
                "sum by (channel, result) (increase(recovery_notifications_total[1h]))",
                "{{channel}} {{result}}",
            ),
            (
                "Notification queue length",
                SERIES,
                "none",
                "sum by (channel) (recovery_notification_queue_length)",
                "{{channel}}",
            ),
            (
                "Consecutive delivery failures",
                SERIES,
                "none",
                "max by (channel) (recovery_channel_failures)",
                "{{channel}}",
            ),
            ("Taken by nobody", STAT, "none", "max(recovery_undelivered_notifications)", ""),
            ("Policies that only watch", STAT, "none", "max(recovery_circuits_open)", ""),
        ),
    ),
    (
        "Controller",
        (
            (
                "Age of the watches",
                SERIES,
                "s",
                "max by (stream) (recovery_watch_age_seconds)",
                "{{stream}}",
            ),
            (
                "Watch restarts",
                SERIES,
                "none",
                "sum by (stream) (increase(recovery_watch_restarts_total[1h]))",
                "{{stream}}",
            ),
            (
                "Unreadable objects",
                SERIES,
                "none",
                "sum by (stream) (recovery_unreadable_objects)",
                "{{stream}}",
            ),
            ("Queue", SERIES, "none", "sum(recovery_workqueue_depth)", "subjects"),
            (
                "Reconciles per second",
                SERIES,
                "none",
                "sum by (result) (rate(recovery_reconciles_total[5m]))",
                "{{result}}",
            ),
            (
                "API answers a second",
                SERIES,
                "none",
                "sum by (verb, status) (rate(recovery_api_requests_total[5m]))",
                "{{verb}} {{status}}",
            ),
            (
                "Event loop lag, maximum",
                SERIES,
                "s",
                "max(recovery_event_loop_lag_seconds)",
                "lag",
            ),
            ("Shards held", STAT, "none", "sum(recovery_shards_held)", ""),
            (
                "Newest policies in force",
                STAT,
                "none",
                "min(recovery_config_last_reload_successful)",
                "",
            ),
            (
                "Policy texts refused",
                STAT,
                "none",
                "sum(recovery_config_reload_failures_total)",
                "",
            ),
            ("Version", STAT, "none", "sum by (version) (recovery_build_info)", "{{version}}"),
            ("Events dropped", STAT, "none", "sum(recovery_events_dropped_total)", ""),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, shown in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }
        )
        y += 1
        x = tall = 0
        for name, kind, unit, expression, legend in shown:
            wide, high = (6, 4) if kind == STAT else (12, 8)
            if x + wide > 24:
                x, y, tall = 0, y + tall, 0
            target = {
                "refId": "A",
                "datasource": SOURCE,
                "expr": expression,
                **({"legendFormat": legend} if legend else {}),
            }
            panels.append(
                {
                    "id": len(panels) + 1,
                    "type": kind,
                    "title": name,
                    "datasource": SOURCE,
                    "targets": [target],
                    "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                    "gridPos": {"x": x, "y": y, "w": wide, "h": high},
                }
            )
            x, tall = x + wide, max(tall, high)
        y += tall
    source = {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Prometheus",
    }
    return {
        "title": "GitOps recovery",
        "uid": "gitops-recovery",
        "tags": ["argocd", "gitops"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2) + "\n")
