"""Commands that a person may type next, for a cause. Only what the cause does not forbid."""

from __future__ import annotations

from recovery.causes.remedy_matrix import verdict
from recovery.model.application import Application
from recovery.model.cause import Diagnosis, Remedy, Verdict
from recovery.model.text import shell

_LINES: dict[Remedy, str] = {
    Remedy.refresh: (
        "kubectl -n {ns} annotate application {name} argocd.argoproj.io/refresh=normal --overwrite"
    ),
    Remedy.hard_refresh: (
        "kubectl -n {ns} annotate application {name} argocd.argoproj.io/refresh=hard --overwrite"
    ),
    Remedy.sync: "argocd app sync {name} --app-namespace {ns}",
    Remedy.terminate: "argocd app terminate-op {name} --app-namespace {ns}",
    Remedy.rollback: (
        "argocd app history {name} --app-namespace {ns}   # then: argocd app rollback {name} ID"
    ),
}


def recovery_commands(app: Application, finding: Diagnosis | None) -> list[str]:
    """Commands for this application, the mildest first."""
    usable = (Verdict.allowed, Verdict.once)
    namespace, name = shell(app.namespace), shell(app.name)
    lines = [
        line.format(ns=namespace, name=name)
        for cure, line in _LINES.items()
        if finding and verdict(finding, cure) in usable
    ]
    return [*lines, f"recovery explain {shell(app.key)}"]
