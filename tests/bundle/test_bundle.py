"""A bundle as the person gets it who has to read it: what is in it, what is not, and that nothing
secret ever is."""

from __future__ import annotations

import hashlib
import json
import socket
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.bundle.archive import FILE_AT_MOST, Archive
from recovery.bundle.collect import Collector, Scope
from recovery.bundle.drift import drift
from recovery.bundle.page import page
from recovery.bundle.redaction import clean
from recovery.bundle.tries import Tries, resolve, tried
from recovery.kube.errors import Forbidden, KubeError, NotFound, Unavailable
from recovery.model.application import Application
from recovery.model.cause import Diagnosis, Observations
from recovery.model.connection import ProbeResult, ProbeSource, Verdict
from recovery.observe.probes import ask_git
from recovery.replay.recorded import read_files
from recovery.simulate import virtual
from tests.builders import NOW

SECRET = "Ca1xyzzyPlugh0815Quux4711Garply"
CRD = "The Kubernetes API could not find shop.example/Widget for requested resource shop/w. Make sure the CRD is installed on the destination cluster."


def app(name: str, *, ill: bool = True, **more: Any) -> dict[str, Any]:
    failed = {
        "phase": "Failed",
        "message": "one or more synchronization tasks are not valid",
        "startedAt": "2026-03-02T11:00:00Z",
        "finishedAt": "2026-03-02T11:00:01Z",
        "syncResult": {
            "revision": "b",
            "resources": [{"kind": "Widget", "name": "w", "status": "SyncFailed", "message": CRD}],
        },
    }
    status = {
        "sync": {"status": "OutOfSync" if ill else "Synced", "revision": "b"},
        "health": {"status": "Healthy"},
    }
    return {
        "metadata": {"name": name, "namespace": "argocd", "uid": name, "managedFields": [{"x": 1}]},
        "spec": {
            "project": "p",
            "source": {
                "repoURL": f"https://bot:{SECRET}@git.example/{name}.git",
                "helm": {"parameters": [{"name": "db.password", "value": SECRET}]},
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        },
        "status": {**status, **({"operationState": failed} if ill else {})},
        **more,
    }


class Door:
    """Answers by path; what is not there is not there."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def raw(self, path: str, **query: str) -> bytes:
        self.asked.append(path)
        found = self.answers.get(path)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise NotFound(f"get {path}: 404", 404)
        return found if isinstance(found, bytes) else msgspec.json.encode(found)


async def looks(app: Application, finding: Diagnosis | None) -> Observations:
    return Observations(NOW, missing=("its resources: no token",))


async def no_name(host: str) -> list[str]:
    raise socket.gaierror(-2, "Name or service not known")


async def answered(url: str, now: datetime) -> ProbeResult:
    return ProbeResult(
        ProbeSource.request,
        Verdict.reachable,
        now,
        "it answers 401; it wants credentials, which we do not have",
    )


QUIET = Tries(no_name, answered)
"""No name has an address, so that nothing further is tried."""


APPS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
POD = {
    "metadata": {"name": "argocd-repo-server-1", "namespace": "argocd"},
    "spec": {"containers": [{"name": "a", "env": [{"name": "REDIS_PASSWORD", "value": SECRET}]}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "ready": False,
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            }
        ],
    },
}


def answers(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        APPS: {"items": [app("cart"), app("well", ill=False)]},
        "/api/v1/namespaces/argocd/events": {"items": [{"type": "Warning", "reason": "X", "message": f"token: {SECRET}", "involvedObject": {"kind": "Application", "name": "cart"}}]},
        "/api/v1/namespaces/shop/events": {"items": []},
        "/api/v1/namespaces/argocd/pods": {"items": [POD]},
        "/api/v1/namespaces/gitops-system/pods": {"items": []},
        "/apis/recovery.gitops.dev/v1alpha2/namespaces/gitops-system/recoveries": {"items": []},
        "/api/v1/nodes": {"items": [{"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}]},
        "/api/v1/pods": {"items": [POD]},
        "/api/v1/persistentvolumeclaims": {"items": [{"metadata": {"name": "data", "namespace": "shop"}, "status": {"phase": "Pending"}}]},
        "/apis/networking.k8s.io/v1/ingresses": {"items": []},
        "/apis/networking.k8s.io/v1/networkpolicies": {"items": []},
        "/apis/discovery.k8s.io/v1/endpointslices": {"items": [{"metadata": {"name": "s", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}}, "endpoints": []}]},
        "/api/v1/namespaces/argocd/services/argocd-metrics%3A8082/proxy/metrics": b"argocd_app_info{name=\"cart\"} 1\nother 2\n",
        "/api/v1/namespaces/argocd/pods/argocd-repo-server-1/log": f"level=info msg=\"Authorization: Bearer {SECRET}\"\n".encode(),
    }  # fmt: skip
    return {**found, **more}


def collected(
    tmp_path: Path,
    door: Door,
    *,
    only: tuple[str, str] | None = None,
    at_most: int = 10_000_000,
    seconds: float = 60,
    tries: Tries = QUIET,
) -> dict[str, bytes]:
    """The files of a bundle by name."""
    path = tmp_path / "b.tar.gz"

    async def inside() -> None:
        scope = Scope("argocd", "gitops-system", ("argocd",), only)
        with Archive(path, NOW, at_most=at_most) as archive:
            await Collector(door, looks, scope, archive, NOW, lambda _: None, tries).collect(
                "1.0", seconds
            )
            archive.close()

    virtual.run(inside())
    with tarfile.open(path) as tar:
        return {m.name.removeprefix("b/"): tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def test_it_holds_what_the_incident_script_collected_and_why(tmp_path: Path) -> None:
    files = collected(tmp_path, Door(answers()))
    report = json.loads(files["report.json"])

    assert [a["subject"] for a in report["applications"]] == ["argocd/cart"]
    assert report["applications"][0]["diagnosis"]["code"] == "C16"
    assert report["summary"] == {
        "applications": 2,
        "not Healthy": 0,
        "OutOfSync": 1,
        "sync Unknown": 0,
        "controller pods not ready": 1,
        "pods that do not run": 1,
    }
    assert report["sections"]["Controllers"][0]["why"] == "CrashLoopBackOff"
    assert report["sections"]["Nodes"] == [{"node": "n1", "ready": "False", "pressure": ""}]
    assert report["sections"]["Services without an endpoint"] == [{"service": "shop/cart"}]
    assert report["sections"]["Volume claims that are not bound"] == [
        {"claim": "shop/data", "phase": "Pending"}
    ]
    assert report["sections"]["Repositories"][0]["applications"] == 1
    assert files["metrics/argocd-metrics.txt"] == b'argocd_app_info{name="cart"} 1'
    for name in (
        "applications/argocd/cart/application.json",
        "applications/argocd/cart/events.json",
        "logs/argocd-argocd-repo-server-1.log",
        "index.html",
    ):
        assert name in files


def test_it_holds_what_the_controller_recorded_for_a_replay(tmp_path: Path) -> None:
    line = {"audit": 1, "kind": "state", "namespace": "argocd", "name": "cart"}
    line |= {"state": {"sync": "Synced", "health": "Degraded"}, "timestamp": "2026-03-02T00:00:00Z"}
    log = f"{json.dumps(line)}\n{json.dumps({'event': 'ready'})}\n".encode()
    pod = {"metadata": {"name": "gitops-recovery-1"}, "spec": {}, "status": {}}
    ours = "/api/v1/namespaces/gitops-system/pods"
    door = Door(answers(**{ours: {"items": [pod]}, f"{ours}/gitops-recovery-1/log": log}))
    files = collected(tmp_path, door)

    assert json.loads(files["states/gitops-system-gitops-recovery-1.jsonl"]) == line
    assert len(read_files([str(tmp_path / "b.tar.gz")]).changes) == 1  # it is in the log as well


def test_recorded_lines_are_whole_clean_and_of_nobody_else(tmp_path: Path) -> None:
    def state(name: str, **state: Any) -> bytes:
        line = {"audit": 1, "kind": "state", "subject": f"argocd/{name}", "state": state}
        return json.dumps(line).encode()

    url = f'https://git.example/x?token={SECRET}"y'
    lines = [state("cart", repositories=[url]), state("victim"), state("cart", x="y" * 100_000)]
    pod = {"metadata": {"name": "gitops-recovery-1"}, "spec": {}, "status": {}}
    ours = "/api/v1/namespaces/gitops-system/pods"
    log = b"\n".join([*lines, b'{"audit" broken'])
    door = Door(answers(**{ours: {"items": [pod]}, f"{ours}/gitops-recovery-1/log": log}))
    files = collected(tmp_path, door, only=("argocd", "cart"))

    (kept,) = files["states/gitops-system-gitops-recovery-1.jsonl"].decode().splitlines()
    assert json.loads(kept)["subject"] == "argocd/cart"
    assert SECRET not in kept
    missing = {m["what"]: m["why"] for m in json.loads(files["missing.json"])}
    why = missing["states/gitops-system-gitops-recovery-1.jsonl"]
    assert why == "2 lines that are too long, or cannot be read"


def test_the_commands_it_proposes_are_not_those_that_the_cause_forbids(tmp_path: Path) -> None:
    report = json.loads(collected(tmp_path, Door(answers()))["report.json"])
    commands = " ".join(report["applications"][0]["commands"])

    assert "argocd app sync cart" in commands
    assert "rollback" not in commands


def test_nothing_secret_is_in_any_file(tmp_path: Path) -> None:
    files = collected(tmp_path, Door(answers()))

    assert [name for name, body in files.items() if SECRET.encode() in body] == []
    assert b"managedFields" not in files["applications/argocd/cart/application.json"]


def test_every_file_is_in_the_manifest_with_its_checksum(tmp_path: Path) -> None:
    files = collected(tmp_path, Door(answers()))
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())

    assert sums == {
        name: hashlib.sha256(body).hexdigest()
        for name, body in files.items()
        if name != "SHA256SUMS"
    }


@pytest.mark.parametrize(
    ("path", "error", "what"),
    [
        ("/api/v1/nodes", Forbidden("nodes is forbidden", 403), "Nodes"),
        ("/api/v1/namespaces/argocd/pods", Unavailable("no answer"), "pods in argocd"),
        ("/apis/networking.k8s.io/v1/ingresses", NotFound("404", 404), "Ingresses"),
        (
            "/api/v1/namespaces/argocd/pods/argocd-repo-server-1/log",
            Forbidden("pods/log is forbidden", 403),
            "log of argocd/argocd-repo-server-1",
        ),
    ],
)
def test_what_could_not_be_had_is_listed_with_its_reason_and_the_rest_is_there(
    tmp_path: Path, path: str, error: KubeError, what: str
) -> None:
    files = collected(tmp_path, Door(answers(**{path: error})))
    missing = {m["what"]: m["why"] for m in json.loads(files["missing.json"])}

    assert str(error) in missing[what]
    assert json.loads(files["report.json"])["applications"]


def test_a_section_that_hangs_costs_its_time_and_no_more(tmp_path: Path) -> None:
    door = Door(answers())
    whole = door.raw

    async def raw(path: str, **query: str) -> bytes:
        if path == "/api/v1/nodes":
            await virtual.VirtualClock().sleep(10_000)
        return await whole(path, **query)

    door.raw = raw  # type: ignore[method-assign]
    missing = {m["what"]: m["why"] for m in json.loads(collected(tmp_path, door)["missing.json"])}

    assert "no answer in time" in missing["cluster resources"]
    assert "network" not in missing


def test_one_application_is_asked_for_by_name(tmp_path: Path) -> None:
    report = json.loads(
        collected(tmp_path, Door(answers()), only=("argocd", "well"))["report.json"]
    )

    assert [(a["subject"], a["diagnosis"]["cause"]) for a in report["applications"]] == [
        ("argocd/well", None)
    ]


def test_a_full_bundle_lists_what_did_not_fit(tmp_path: Path) -> None:
    files = collected(tmp_path, Door(answers()), at_most=3_000)
    missing = json.loads(files["missing.json"])

    assert any("the bundle is full" in m["why"] for m in missing)
    assert "SHA256SUMS" in files


def test_a_long_file_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with Archive(path, NOW, at_most=100_000_000) as archive:
        archive.text("x.log", "\n".join(["first", *["word " * 20] * 30_000, "last"]))
        archive.close()
    with tarfile.open(path) as tar:
        body = tar.extractfile("b/x.log").read()  # type: ignore[union-attr]

    assert len(body) < FILE_AT_MOST + 100
    assert body.startswith(b"first")
    assert body.endswith(b"last")
    assert b"left out for size" in body


def test_a_bundle_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Archive(tmp_path / "b.tar.gz", NOW, at_most=1000):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_the_page_is_plain_html_and_takes_nothing_from_outside(tmp_path: Path) -> None:
    hostile = app("<script>alert(1)</script>")
    found = collected(tmp_path, Door(answers(**{APPS: {"items": [hostile]}})))[
        "index.html"
    ].decode()

    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert "http://" not in found.replace("http://www.w3.org", "")
    assert "C16 MissingCRD" in found
    assert "Not in here" in found


def _empty(state: str, applications: int) -> str:
    read = {
        "section": "applications",
        "state": state,
        "why": "applications.argoproj.io is forbidden" * (state == "denied"),
    }
    report = {
        "title": "t",
        "at": "now",
        "version": "1",
        "summary": {"applications": applications},
        "applications": [],
    }
    return page({**report, "collected": [read], "sections": {"Nodes": []}, "missing": []}, [])


def test_that_nothing_is_wrong_is_only_said_where_it_was_looked_at() -> None:
    assert "Nothing is wrong with any application" in _empty("collected", 3)
    assert "no Application in the namespaces" in _empty("collected", 0)
    for state in ("denied", "failed"):
        html = _empty(state, 0)
        assert "Nothing is wrong" not in html
        assert "Whether anything is wrong is not known" in html
    assert "applications.argoproj.io is forbidden" in _empty("denied", 0)


def _states(files: dict[str, bytes]) -> dict[str, str]:
    return {
        each["section"]: each["state"] for each in json.loads(files["report.json"])["collected"]
    }


def test_each_section_says_whether_it_was_collected_denied_or_failed(tmp_path: Path) -> None:
    well = _states(collected(tmp_path, Door(answers())))
    denied = collected(
        tmp_path,
        Door(
            answers(
                **{
                    APPS: Forbidden("applications is forbidden", 403),
                    "/api/v1/nodes": Unavailable("reset"),
                }
            )
        ),
    )

    assert well["applications"] == well["cluster resources"] == well["flux"] == "collected"
    assert _states(denied)["applications"] == "denied"
    assert _states(denied)["cluster resources"] == "failed"
    assert b"Whether anything is wrong is not known" in denied["index.html"]


def test_events_that_may_not_be_read_cost_no_application(tmp_path: Path) -> None:
    many = {"items": [app(f"cart-{n}") for n in range(40)]}
    events = {"/api/v1/namespaces/argocd/events": Forbidden("events is forbidden", 403)}
    files = collected(tmp_path, Door(answers(**{APPS: many, **events})))

    assert len(json.loads(files["report.json"])["applications"]) == 40
    assert _states(files)["applications"] == "denied"


def test_pods_by_memory_and_flux_where_they_are_there(tmp_path: Path) -> None:
    used = [
        {
            "metadata": {"namespace": "shop", "name": f"p{n}"},
            "containers": [{"usage": {"memory": f"{n}Mi"}}],
        }
        for n in range(40)
    ]
    stuck = {
        "metadata": {"namespace": "flux-system", "name": "apps"},
        "status": {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "BuildFailed",
                    "message": "no such file",
                }
            ]
        },
    }
    there = {
        "/apis/metrics.k8s.io/v1beta1/pods": {"items": used},
        "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations": {"items": [stuck]},
    }
    sections = json.loads(collected(tmp_path, Door(answers(**there)))["report.json"])["sections"]

    assert sections["Pods by memory"][0] == {"pod": "shop/p39", "memory MiB": 39}
    assert len(sections["Pods by memory"]) == 20
    assert sections["Flux objects that are not ready"] == [
        {
            "object": "Kustomization/flux-system/apps",
            "reason": "BuildFailed",
            "says": "no such file",
        }
    ]


def secret(**data: str) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": "s"}, "data": data}


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(secret(a=SECRET), id="a Secret"),
        pytest.param({"items": [secret(a=SECRET)]}, id="a Secret in a list"),
        pytest.param(
            {
                "metadata": {
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRET}
                }
            },
            id="last applied",
        ),
        pytest.param(
            {"env": [{"name": "DB_PASSWORD", "value": SECRET}]}, id="an environment variable"
        ),
        pytest.param({"clientSecret": SECRET}, id="a field of that name"),
        pytest.param({"url": f"https://u:{SECRET}@x"}, id="a URL"),
        pytest.param({"args": [f"--token {SECRET}"]}, id="an argument"),
        pytest.param(
            {"command": ["redis-server", "--redis-password", SECRET]}, id="an argument in two items"
        ),
        pytest.param(
            {
                "env": [
                    {"name": "DB_PWD", "value": SECRET},
                    {"name": "ENCRYPTION_KEY", "value": SECRET},
                ]
            },
            id="further names",
        ),
        pytest.param(
            {"parameters": [{"name": "db.pwd", "value": SECRET}], "secretKey": SECRET},
            id="Helm parameters",
        ),
        pytest.param(
            {"tokens": [SECRET], "apiKeys": [{"x": SECRET}], "secret": {"a": SECRET}},
            id="lists and mappings under such a name",
        ),
    ],
)
def test_what_is_secret_by_kind_name_or_look_is_taken_out(item: dict[str, Any]) -> None:
    assert SECRET not in json.dumps(clean(item))


def test_references_to_secrets_and_their_names_stay() -> None:
    item = {
        "secretName": "db",
        "secretKeyRef": {"name": "db", "key": "password"},
        "password": 123456,
        "automountServiceAccountToken": False,
    }

    assert clean(item) == {
        "secretName": "db",
        "secretKeyRef": {"name": "db", "key": "password"},
        "password": "***",
        "automountServiceAccountToken": False,
    }


def test_a_part_that_cannot_be_cleaned_is_left_out_and_the_rest_stays() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(100):
        inner["a"] = {}
        inner = inner["a"]

    found = clean({"deep": deep, "rest": "stays"})

    assert found["rest"] == "stays"
    assert "left out" in json.dumps(found)


def test_drift_names_fields_and_never_their_values() -> None:
    def managed(live: Any, wanted: Any, target: Any = None, **more: Any) -> dict[str, Any]:
        texts = {
            "normalizedLiveState": json.dumps(live),
            "predictedLiveState": json.dumps(wanted),
            "targetState": json.dumps(target or wanted),
        }
        return {"kind": "Deployment", "namespace": "shop", "name": "cart", **texts, **more}

    found = drift(
        [
            managed(
                {"spec": {"replicas": 3, "x": [1, SECRET]}},
                {"spec": {"replicas": 1, "x": [1, "other"]}},
            ),
            managed({"spec": {}}, {"spec": {}}),
            managed(None, {"spec": {}}, name="new"),
            {**managed({"a": 1}, None, name="old"), "targetState": "null"},
            managed({"a": 1}, {"a": 2}, hook=True),
        ]
    )

    assert found == [
        {"resource": "Deployment/shop/cart", "differs": ".spec.replicas, .spec.x[1]"},
        {
            "resource": "Deployment/shop/new",
            "differs": "it is not in the cluster and would be created",
        },
        {"resource": "Deployment/shop/old", "differs": "it is not in Git and would be pruned"},
    ]


async def two(host: str) -> list[str]:
    return [f"192.0.2.{n}" for n in range(1, 7)]


async def odd_name(host: str) -> list[str]:
    return list(host.encode("idna").decode())


async def mine(host: str) -> list[str]:
    return ["169.254.169.254"]


async def silent(host: str) -> list[str]:
    raise TimeoutError


@pytest.mark.parametrize(
    ("url", "tries", "dns", "ls_remote"),
    [
        ("https://git.example/x.git", Tries(two, answered), "git.example: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4 and 2 more", "reachable: it answers 401; it wants credentials, which we do not have"),
        ("https://git.example/x.git", QUIET, "git.example: [Errno -2] Name or service not known", "not tried: its host has no address here"),
        ("https://git.example/x.git", Tries(silent, answered), "git.example: no answer within 5s", "not tried: its host has no address here"),
        ("git@git.example:x.git", Tries(two, ask_git), "git.example: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4 and 2 more", "no evidence: only http and https without credentials in the URL are asked"),
        ("", QUIET, "not tried: no plain URL of a repository", "not tried"),
        ("http://127.0.0.1:8080/admin/shutdown?x=", Tries(two, answered), "not tried: no plain URL of a repository", "not tried"),
        ("http://meta.example/x", Tries(mine, answered), "meta.example: 169.254.169.254", "not tried: that is this machine or its own network link"),
        ("https://git..evil.example/x", Tries(odd_name, answered), "git..evil.example: encoding with 'idna' codec failed (UnicodeError: label empty or too long)", "not tried: its host has no address here"),
    ],
)  # fmt: skip
def test_a_repository_is_tried_from_where_the_bundle_is_made(
    url: str, tries: Tries, dns: str, ls_remote: str
) -> None:
    row = virtual.run(tried(url, tries, NOW))

    assert (row["DNS"], row["ls-remote"]) == (dns, ls_remote)


def test_behind_a_proxy_the_server_is_asked_whatever_the_name_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    assert virtual.run(tried("https://git.example/x.git", QUIET, NOW))["ls-remote"].startswith(
        "reachable"
    )


def test_what_cannot_be_compared_is_tried_and_what_can_is_not(tmp_path: Path) -> None:
    lost = app("lost")
    lost["spec"]["source"]["repoURL"] = "https://git.example/lost.git"
    lost["status"]["conditions"] = [
        {"type": "ComparisonError", "message": "failed to list refs: dial tcp: no such host"}
    ]
    files = collected(
        tmp_path,
        Door(answers(**{APPS: {"items": [app("cart"), lost]}})),
        tries=Tries(two, answered),
    )
    report = json.loads(files["report.json"])

    assert [row["repository"] for row in report["sections"]["Repositories tried from here"]] == [
        "https://git.example/lost.git"
    ]
    assert b"Repositories tried from here" in files["index.html"]
    assert SECRET not in files["report.json"].decode()


async def test_a_name_is_resolved_by_this_machine() -> None:
    assert "127.0.0.1" in await resolve("localhost")
    with pytest.raises((OSError, ValueError)):
        await resolve("git..evil.example")
