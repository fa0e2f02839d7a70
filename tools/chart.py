"""``python -m tools.chart``: manifests/helm's templates anew, from manifests/base, config and
manifests/crds. One source, two ways in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "manifests/helm"
BASE = ROOT / "manifests/base"
SOURCES = Path(__file__).parent / "chart_sources"
"""What stands in no manifest: named templates, notes, extra objects."""
HEAD = "{{- /* Made from %s by python -m tools.chart: change it there. */ -}}\n"
SUFFIX = "{{ .Values.nameSuffix }}"
OURS, THEIRS = "{{ .Release.Namespace }}", "{{ .Values.argocd.namespace }}"
OPTIONAL = {
    "admission.yaml": 'include "recovery.admission" .',
    "network.yaml": ".Values.networkPolicy.enabled",
}
READS = (
    "  resources: [applications]\n  verbs: [get, list, watch, patch]\n",
    '  resources: [applications]\n  verbs: [get, list, watch{{ if include "recovery.acts" . }}, patch{{ end }}]\n',
)
"""An installation that only observes has no right to write elsewhere than in its own namespace, but
for its Lease."""
"""Whole files that a value leaves out."""
SWAPS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "in-argocd.yaml": (
        READS,
        (
            "- apiGroups: [events.k8s.io]\n  resources: [events]\n  verbs: [create]\n",
            '{{- if include "recovery.acts" . }}\n- apiGroups: [events.k8s.io]\n  resources: [events]\n  verbs: [create]\n{{- end }}\n',
        ),
        (
            "recovery.gitops.dev/lease: gitops-recovery-controller ",
            "recovery.gitops.dev/lease: {{ .Values.lease }} ",
        ),
    ),
    "rbac.yaml": (
        (
            '- apiGroups: [""]\n  resources: [secrets]\n  resourceNames: [recovery-channels]\n  verbs: [get]\n',
            (
                '{{- if include "recovery.acts" . }}\n'
                '- apiGroups: [""]\n  resources: [secrets]\n  resourceNames: [recovery-channels]\n  verbs: [get]\n'
                "{{- end }}\n"
            ),
        ),
        (
            "  resources: [deployments, statefulsets, daemonsets]\n  verbs: [get, patch]\n",
            '  resources: [deployments, statefulsets, daemonsets]\n  verbs: [get{{ if include "recovery.acts" . }}, patch{{ end }}]\n',
        ),
    ),
    "admission.yaml": (
        (
            '  - name: forces  # components/force\n    expression: "false"\n',
            "  - name: forces\n    expression: {{ .Values.admission.force | quote }}\n",
        ),
        (
            '  - name: takesOut  # components/argocd-before-3.1: automated has no `enabled` there, and is taken out whole\n    expression: "false"\n',
            "  - name: takesOut\n    expression: {{ .Values.admission.argocdBefore31 | quote }}\n",
        ),
    ),
    "network.yaml": (
        (
            "values: [monitoring, ingress-nginx]",
            "values: {{ .Values.networkPolicy.namespaces | toJson }}",
        ),
        ("{cidr: 192.0.2.1/32}", "{cidr: {{ .Values.networkPolicy.apiServer | quote }}}"),
    ),
    "deployment.yaml": (
        ("  replicas: 1\n", "  replicas: {{ .Values.replicas }}\n"),
        (
            "    type: Recreate  #",
            "    type: {{ if gt (int .Values.replicas) 1 }}RollingUpdate{{ else }}Recreate{{ end }}  #",
        ),
        (
            "image: gitops-recovery-controller:v1.0.0\n",
            (
                'image: "{{ .Values.image.registry }}{{ if .Values.image.registry }}/{{ end }}'
                '{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"\n'
                "        {{- with .Values.image.pullPolicy }}\n"
                "        imagePullPolicy: {{ . }}\n"
                "        {{- end }}\n"
            ),
        ),
        ('value: "argocd"\n', "value: {{ .Values.argocd.namespace | quote }}\n"),
        (
            'value: "true"\n',
            'value: {{ if include "recovery.acts" . }}"true"{{ else }}"false"{{ end }}\n',
        ),
        (
            "    version: v1.0.0\n",
            "    version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}\n",
        ),
        (
            "    team: platform\n    owner: platform\n",
            "    {{- toYaml .Values.labels | nindent 4 }}\n",
        ),
        (
            "    metadata:\n      labels:\n        app: gitops-recovery-controller\n",
            (
                "    metadata:\n"
                "      {{- with .Values.podAnnotations }}\n"
                "      annotations:\n"
                "        {{- toYaml . | nindent 8 }}\n"
                "      {{- end }}\n"
                "      labels:\n        app: gitops-recovery-controller\n"
                "        {{- with .Values.podLabels }}\n"
                "        {{- toYaml . | nindent 8 }}\n"
                "        {{- end }}\n"
            ),
        ),
        (
            "      terminationGracePeriodSeconds: 10\n",
            (
                "      terminationGracePeriodSeconds: 10\n"
                "      {{- with .Values.priorityClassName }}\n"
                "      priorityClassName: {{ . }}\n"
                "      {{- end }}\n"
                "      {{- with .Values.imagePullSecrets }}\n"
                "      imagePullSecrets:\n"
                "      {{- toYaml . | nindent 6 }}\n"
                "      {{- end }}\n"
            ),
        ),
        ('value: "3"\n', "value: {{ .Values.attempts | quote }}\n"),
        (
            'value: "300s"\n',
            (
                "value: {{ .Values.interval | quote }}\n"
                "        {{- if gt (int .Values.replicas) 1 }}\n"
                "        - name: RECOVERY_SHARDS\n"
                "          value: {{ .Values.replicas | quote }}\n"
                "        {{- end }}\n"
                '        {{- if ne .Values.lease "gitops-recovery-controller" }}\n'
                "        - name: RECOVERY_LEASE\n"
                "          value: {{ .Values.lease | quote }}\n"
                "        {{- end }}\n"
                "        {{- range $name, $value := .Values.env }}\n"
                "        - name: {{ $name }}\n"
                "          value: {{ $value | quote }}\n"
                "        {{- end }}\n"
            ),
        ),
        (
            '          requests:\n            memory: "128Mi"\n            cpu: "100m"\n          limits:\n            memory: "256Mi"\n            cpu: "200m"\n',
            "          {{- toYaml .Values.resources | nindent 10 }}\n",
        ),
        (
            "            drop: [ALL]\n",
            (
                "            drop: [ALL]\n"
                "        {{- with .Values.volumeMounts }}\n"
                "        volumeMounts:\n"
                "        {{- toYaml . | nindent 8 }}\n"
                "        {{- end }}\n"
                "      {{- with .Values.volumes }}\n"
                "      volumes:\n"
                "      {{- toYaml . | nindent 6 }}\n"
                "      {{- end }}\n"
                "      {{- with .Values.nodeSelector }}\n"
                "      nodeSelector:\n"
                "        {{- toYaml . | nindent 8 }}\n"
                "      {{- end }}\n"
                "      {{- with .Values.affinity }}\n"
                "      affinity:\n"
                "        {{- toYaml . | nindent 8 }}\n"
                "      {{- end }}\n"
                "      {{- with .Values.topologySpreadConstraints }}\n"
                "      topologySpreadConstraints:\n"
                "      {{- toYaml . | nindent 6 }}\n"
                "      {{- end }}\n"
                "      {{- with .Values.tolerations }}\n"
                "      tolerations:\n"
                "      {{- toYaml . | nindent 6 }}\n"
                "      {{- end }}\n"
            ),
        ),
    ),
}
"""What values replace, file by file; each has to be there exactly once."""
WORKLOADS = "# Restart in the cluster we run in."
"""Where the rights on workloads begin: left out with workloads.enabled=false, when Argo CD
restarts."""


def _suffixed(text: str) -> str:
    """Names outside the release's own namespace, so that two releases can stand beside each
    other."""
    parts = re.split(r"(?m)^(?=---$)", text)
    for index, part in enumerate(parts):
        for name in ("reviews", "workloads", "applications", "records", "requests"):
            part = part.replace(
                f"gitops-recovery-controller-{name}", f"gitops-recovery-controller-{name}{SUFFIX}"
            )
        # Each release's policies bind its own bindings: the narrower ones of another would bind
        # this one as well.
        part = part.replace(
            "recovery.gitops.dev/bounds: controller",
            f"recovery.gitops.dev/bounds: controller{SUFFIX}",
        )
        if f"  namespace: {THEIRS}\n" in part:
            for name in ("gitops-recovery-controller", "gitops-recovery-viewer"):
                part = part.replace(
                    f"metadata:\n  name: {name}\n", f"metadata:\n  name: {name}{SUFFIX}\n"
                )
                part = part.replace(
                    f"kind: Role, name: {name}}}", f"kind: Role, name: {name}{SUFFIX} }}"
                )
        parts[index] = part
    return "".join(parts)


def _labelled(text: str) -> str:
    """The labels that every chart gives its objects (helm.sh/docs/chart_best_practices/labels)."""
    parts = re.split(r"(?m)^(?=---$)", text)
    for index, part in enumerate(parts):
        head = re.search(r"(?m)^metadata:\n((?:[ #{].*\n)*)", part)
        if head is None:
            continue
        ours = '    {{- include "recovery.labels" . | nindent 4 }}\n'
        block = head[1]
        block = (
            block.replace("  labels:\n", f"  labels:\n{ours}", 1)
            if "  labels:\n" in block
            else f"{block}  labels:\n{ours}"
        )
        parts[index] = part[: head.start(1)] + block + part[head.end(1) :]
    return "".join(parts)


def _apart(text: str) -> str:
    """The objects of a list that only kustomize needs, each for itself."""
    _, listed, items = text.partition("\nitems:\n")
    if not listed:
        return text
    comments: list[str] = []
    lines: list[str] = []
    for line in items.splitlines():
        if line.startswith("#"):
            comments.append(line)
        elif line.startswith("- "):
            lines += ["---", *comments, line[2:]] if lines else [*comments, line[2:]]
            comments = []
        else:
            lines.append(line[2:])
    return "\n".join(lines) + "\n"


def templates() -> dict[str, str]:
    """Every file that is made: path inside the chart, and text."""
    made = {}
    for name in (
        "rbac.yaml",
        "in-argocd.yaml",
        "viewer.yaml",
        "deployment.yaml",
        "network.yaml",
        "admission.yaml",
    ):
        text = _apart((BASE / name).read_text())
        assert "{{" not in text, f"{name} would be read as a template"
        text = text.replace("namespace: argocd", f"namespace: {THEIRS}").replace(
            "gitops-system", OURS
        )
        text = _suffixed(text)
        for old, new in SWAPS.get(name, ()):
            assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        if WORKLOADS in text:
            before, after = text.split(WORKLOADS)
            text = f"{before.removesuffix('---' + chr(10))}{{{{- if .Values.workloads.enabled }}}}\n---\n{WORKLOADS}{after}{{{{- end }}}}\n"
        if value := OPTIONAL.get(name):
            text = f"{{{{- if {value} }}}}\n{text}{{{{- end }}}}\n"
        text = _labelled(text)
        made[f"templates/{name}"] = HEAD % f"manifests/base/{name}" + text
    monitor = (
        (ROOT / "manifests/monitoring/servicemonitor.yaml")
        .read_text()
        .replace("gitops-system", OURS)
    )
    made["templates/servicemonitor.yaml"] = (
        HEAD % "manifests/monitoring/servicemonitor.yaml"
        + f"{{{{- if .Values.serviceMonitor.enabled }}}}\n{_labelled(monitor)}{{{{- end }}}}\n"
    )
    made["templates/prometheusrule.yaml"] = (
        HEAD % "manifests/monitoring/rules.yaml" + "{{- if .Values.prometheusRule.enabled }}\n"
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: gitops-recovery-controller\n"
        f'  namespace: {OURS}\n  labels:\n    {{{{- include "recovery.labels" . | nindent 4 }}}}\n    app: gitops-recovery-controller\nspec:\n'
        '{{ .Files.Get "files/rules.yaml" | indent 2 }}\n{{- end }}\n'
    )
    made["templates/policies.yaml"] = (
        HEAD % "config/policies.yaml"
        + _labelled(
            f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: recovery-policies\n  namespace: {OURS}\n"
        )
        + "data:\n"
        '  policies.yaml: |\n{{ include "recovery.policies" . | indent 4 }}\n'
    )
    for name in ("_helpers.tpl", "NOTES.txt", "extra.yaml"):
        made[f"templates/{name}"] = (SOURCES / name).read_text()
    made["files/policies.yaml"] = (ROOT / "config/policies.yaml").read_text()
    made["files/rules.yaml"] = re.sub(
        r"^#.*\n", "", (ROOT / "manifests/monitoring/rules.yaml").read_text()
    )
    made["crds/recoveries.yaml"] = (ROOT / "manifests/crds/recoveries.yaml").read_text()
    return made


def write() -> None:
    """All of them; what is made no longer is taken away."""
    for folder in ("templates", "files", "crds"):
        shutil.rmtree(CHART / folder, ignore_errors=True)
    for name, text in templates().items():
        (CHART / name).parent.mkdir(parents=True, exist_ok=True)
        (CHART / name).write_text(text)


if __name__ == "__main__":
    write()
