"""What a person sees on the real bed, and how it starts when things are wrong."""

from __future__ import annotations

import json
import signal
import tarfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Show
from tests.testbed.bed import write_kubeconfig
from tests.testbed.installation import ACCOUNT, Controller, recovery
from tests.testbed.processes import free_port, wait_for

pytestmark = pytest.mark.e2e


def test_restart_through_argo_cds_api(show: Show) -> None:
    played = show.results["through_argo_cd"].result()
    user = f"system:serviceaccount:{played.stage.namespace}:{ACCOUNT}"

    (transcript,) = played.transcripts.values()
    assert "attempt 1 restart Succeeded Recovered" in transcript
    touched = [
        e
        for e in played.stage.audit()
        if e["user"]["username"] == user and e["objectRef"].get("apiGroup") == "apps"
    ]
    assert touched == []


def test_the_observe_overlay_tries_no_write_outside_its_own_namespace(show: Show) -> None:
    played = show.results["looked_at_only"].result()
    user = f"system:serviceaccount:{played.stage.namespace}:{ACCOUNT}"

    assert played.transcripts == {f"{played.stage.prefix}-observe": ["Suppressed ObserveOnly"]}
    writes = [
        e
        for e in played.stage.audit()
        if e["user"]["username"] == user and e["verb"] not in ("get", "list", "watch")
    ]
    assert {
        e["objectRef"]["namespace"] for e in writes if e["objectRef"]["resource"] != "leases"
    } == {played.stage.namespace}
    denied = [e for e in writes if e.get("responseStatus", {}).get("code") == 403]
    assert denied == []


def test_recoveries_as_kubectl_and_recovery_status_show_them(show: Show) -> None:
    namespace = show.results["looked_at_only"].result().stage.namespace

    narrow = ["NAME", "SUBJECT", "POLICY", "CAUSE", "PHASE", "STALLED", "ATTEMPT", "AGE"]
    assert show.bed.kubectl("-n", namespace, "get", "rcv").splitlines()[0].split() == narrow
    table = show.bed.kubectl("-n", namespace, "get", "rcv", "-o", "wide")
    assert table.splitlines()[0].split() == [*narrow, "MESSAGE"]
    assert "would refresh (hard: true)" in table
    shown = recovery(show.bed, "status", namespace=namespace)
    assert shown.returncode == 0, shown.stderr
    assert "application-sync-failure" in shown.stdout
    assert "would refresh (hard: true)" in shown.stdout
    told = json.loads(recovery(show.bed, "status", "-o", "json", namespace=namespace).stdout)
    assert told["source"] == "objects"
    assert [r["phase"] for r in told["recoveries"]] == ["Suppressed"]


def test_plan_on_an_exported_fleet(show: Show) -> None:
    fleet = show.bed.kubectl("get", "applications", "-A", "-o", "json")

    done = recovery(show.bed, "plan", "-f", "-", "-o", "json", text=fleet)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unreadable"] == {}


def test_everything_in_one_file_and_why_from_an_exported_application(
    show: Show, tmp_path: Path
) -> None:
    namespace = show.results["looked_at_only"].result().stage.namespace
    name = f"{show.results['looked_at_only'].result().stage.prefix}-observe"
    bundle = tmp_path / "all.tar.gz"
    env = {
        "ARGOCD_SERVER": f"http://127.0.0.1:{show.bed.argocd_port}",
        "ARGOCD_TOKEN": show.bed.argocd_token,
    }

    done = recovery(show.bed, "diagnose", "--all", "-o", str(bundle), namespace=namespace, **env)

    with tarfile.open(bundle) as tar:
        files = {m.name.removeprefix("all/"): tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    assert {"index.html", "report.json", "missing.json", "SHA256SUMS"} <= set(files)
    report = json.loads(files["report.json"])
    # The controller runs as a process here, and there is no kubelet: its Service has no endpoint,
    # and pods have no logs.
    lacking = {
        each["section"]: each for each in report["collected"] if each["state"] != "collected"
    }
    assert set(lacking) <= {"this controller", "metrics", "logs"}, lacking
    assert done.returncode == (1 if lacking else 0), done.stderr
    assert report["summary"]["applications"] >= 1
    assert any("in-cluster" in str(row) for row in report["sections"]["Clusters by Argo CD"])
    assert not any(show.bed.argocd_token.encode() in body for body in files.values())
    exported = show.bed.kubectl("-n", "argocd", "get", "application", name, "-o", "json")
    told = json.loads(recovery(show.bed, "explain", "-f", "-", "-o", "json", text=exported).stdout)
    assert (told["cause"], told["code"]) == ("MissingCRD", "C16")


def test_an_unreachable_api_server_is_waited_for(show: Show) -> None:
    namespace = show.results["looked_at_only"].result().stage.namespace
    controller = Controller(show.bed, namespace, server=f"http://127.0.0.1:{free_port()}").start(
        ready=False
    )
    try:
        wait_for("its health", lambda: controller.status("/healthz") == 200, 30, controller.process)
        code, body = controller.get("/ready")
        assert code == 503
        assert json.loads(body)["reasons"]
        controller.process.signal(signal.SIGTERM)
        assert controller.process.stop(5) == 0
    finally:
        controller.process.kill()


def test_an_expired_token_is_shown_and_survived(show: Show) -> None:
    namespace = show.results["looked_at_only"].result().stage.namespace
    controller = Controller(show.bed, namespace)
    good = controller.kubeconfig.read_text()
    write_kubeconfig(
        controller.kubeconfig,
        f"https://127.0.0.1:{show.bed.port}",
        "expired",
        show.bed.folder / "certs" / "apiserver.crt",
    )
    controller.start(ready=False)
    try:

        def told() -> bool:
            code, body = controller.get("/ready")
            return code == 503 and any("401" in reason for reason in json.loads(body)["reasons"])

        wait_for("the reason in /ready", told, 60, controller.process)
        controller.kubeconfig.write_text(good)
        wait_for(
            "the new token to be used",
            lambda: controller.status("/ready") == 200,
            150,
            controller.process,
        )
        assert controller.stop() == 0
    finally:
        controller.process.kill()


def test_a_namespace_it_may_not_read(show: Show) -> None:
    namespace = show.results["looked_at_only"].result().stage.namespace
    controller = Controller(show.bed, namespace, ARGOCD_APPLICATION_NAMESPACES="kube-system").start(
        ready=False
    )
    try:

        def told() -> bool:
            return any(
                "applications in kube-system" in reason and "403" in reason
                for reason in json.loads(controller.get("/ready")[1] or "{}").get("reasons", ())
            )

        wait_for("the reason in /ready", told, 60, controller.process)
    finally:
        controller.stop()
