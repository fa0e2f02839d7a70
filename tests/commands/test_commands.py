"""The commands as a person runs them: what they print, their exit codes, and no traceback ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recovery import __version__
from recovery.cli import COMMANDS, OFFLINE, loaded
from recovery.commands.target import flags
from tests.commands.forked import run as recovery

ROOT = Path(__file__).parent.parent.parent
RECOVERY = str(Path(sys.executable).parent / "recovery")


def test_the_installed_program_starts_and_ends_with_its_exit_code() -> None:
    good = subprocess.run(
        [RECOVERY, "check", "config/policies.yaml"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    bad = subprocess.run(
        [RECOVERY, "check", "-"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        input="recovery_policies: 3",
    )

    assert (good.returncode, good.stderr) == (0, "")
    assert "config/policies.yaml: OK" in good.stdout
    assert bad.returncode == 1


def test_check_praises_the_shipped_policies() -> None:
    done = recovery("check", "config/policies.yaml")

    assert done.returncode == 0
    assert (
        "application-health-degraded: Degraded for 5m: restart (resources: [Deployment, StatefulSet]), then rollback"
        in done.stdout
    )
    assert (
        "cluster-connection-failure: cluster Failed for 3m: refresh_cluster_config, then test_cluster_connectivity"
        in done.stdout
    )


def test_check_tells_all_that_is_wrong_with_place_and_mend(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "recovery_policies:\n- name: a\n  condition: {type: application, status: OutOfSnyc}\n  actions: [{type: restrat}]\n"
    )

    done = recovery("check", str(bad), "config/policies.yaml")

    assert done.returncode == 1
    assert (
        f"{bad}:3:42: error: recovery_policies[0].condition.status: unknown word 'OutOfSnyc', did you mean 'OutOfSync'?"
        in done.stdout
    )
    assert (
        f"{bad}:4:20: error: recovery_policies[0].actions[0].type: unknown action 'restrat', did you mean 'restart'?"
        in done.stdout
    )


def test_check_speaks_json() -> None:
    done = recovery("check", "-o", "json", "-", text="recovery_policies: 3")

    assert json.loads(done.stdout) == [{
        "file": "-", "line": 1, "column": 20, "path": "recovery_policies", "level": "error", "message": "expected a list, found a whole number '3'",
    }]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text", "code", "says"),
    [
        pytest.param(
            ("check", "/no/such/file"),
            "",
            2,
            "/no/such/file: No such file or directory",
            id="no file",
        ),
        pytest.param(("check", "/tmp"), "", 2, "Is a directory", id="a directory"),
        pytest.param(("check", "-"), b"\x00\xff" * 100, 1, "not a text file", id="binary"),
        pytest.param(
            ("check", "-"), "x" * 20_000_000, 1, "a policy file has at most 262,144", id="20 MB"
        ),
        pytest.param(
            ("plan", "-f", "-"), "", 2, "not a JSON list of Applications", id="an empty fleet file"
        ),
        pytest.param(
            ("plan", "-f", "-"), "[1, 2]", 2, "not a JSON list of Applications", id="not a fleet"
        ),
        pytest.param(
            ("plan", "-f", "-"),
            '{"items": [{"kind": "Pod", "metadata": {"name": "a"}}]}',
            2,
            "no Application in it",
            id="pods",
        ),
        pytest.param(
            ("plan", "-f", "-", "-p", "/no/such"),
            '{"items": []}',
            2,
            "/no/such: No such file",
            id="no policies",
        ),
        pytest.param(("release",), "", 2, "name one application, or say --all", id="release what?"),
        pytest.param(("fly",), "", 2, "No such command", id="no such command"),
    ],
)
def test_bad_input(words: tuple[str, ...], text: str | bytes, code: int, says: str) -> None:
    done = recovery(*words, text=text)

    assert done.returncode == code
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("status",), ("adopt",), ("release", "cart")])
def test_an_unreachable_cluster_is_exit_code_three(words: tuple[str, ...], tmp_path: Path) -> None:
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "x", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))

    for kubeconfig in (str(path), str(tmp_path / "missing")):
        done = recovery(*words, KUBECONFIG=kubeconfig, HOME=str(tmp_path))
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("recovery: ")


def test_an_environment_that_cannot_be_used_is_named() -> None:
    done = recovery("run", RECOVERY_INTERVAL="soon", MAX_RECOVERY_ATTEMPTS="many")

    assert done.returncode == 2
    assert "RECOVERY_INTERVAL: 'soon' is not a Go duration" in done.stderr
    assert "MAX_RECOVERY_ATTEMPTS: 'many' is not a whole number" in done.stderr


def test_the_schema_is_one_that_accepts_the_shipped_policies() -> None:
    schema = json.loads(recovery("schema").stdout)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    action = schema["$defs"]["ActionText"]
    assert "restart" in action["properties"]["type"]["enum"]
    assert schema["$defs"]["PolicyText"]["additionalProperties"] is False
    assert schema["$defs"]["ConditionText"]["properties"]["duration"]["pattern"]


def fleet(*apps: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": apps})


def exported(name: str, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": "argocd",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
        },
        "spec": {
            "project": "shop",
            "source": {"repoURL": "https://git.example/x.git"},
            "destination": {"server": "https://kubernetes.default.svc"},
            "syncPolicy": {"automated": {}},
        },
        "status": {
            "sync": {"status": "Synced", "revision": "abc"},
            "health": {"status": "Healthy"},
            "resources": [{"kind": "Deployment", "name": name}],
            **status,
        },
    }


def test_plan_shows_what_would_be_done_and_what_refused() -> None:
    failed = {
        "phase": "Failed",
        "finishedAt": "2026-03-01T00:00:00Z",
        "syncResult": {"revision": "def"},
    }
    gave_up = exported(
        "cart", sync={"status": "OutOfSync", "revision": "def"}, operationState=failed
    )
    manual = exported("gate", sync={"status": "OutOfSync", "revision": "def"})
    manual["spec"]["syncPolicy"] = {}
    sick = exported(
        "api", health={"status": "Degraded", "lastTransitionTime": "2026-03-01T00:00:00Z"}
    )

    done = recovery(
        "plan", "-f", "-", "-o", "json", text=fleet(gave_up, manual, sick, exported("well"))
    )

    rows = {row["application"]: row for row in json.loads(done.stdout)["rows"]}
    assert done.returncode == 0
    assert rows["argocd/cart"]["message"] == "would refresh (hard: true)"
    assert rows["argocd/gate"]["verdict"] == "refuse"
    assert "release gate" in rows["argocd/gate"]["message"]
    assert (
        rows["argocd/api"]["message"]
        == "would restart (resources: [Deployment, StatefulSet]), if a closer look finds a crash loop"
    )
    assert "argocd/well" not in rows
    assert json.loads(done.stdout)["well"] == 1


def test_plan_is_a_table_for_people() -> None:
    sick = exported(
        "api", health={"status": "Degraded", "lastTransitionTime": "2026-03-01T00:00:00Z"}
    )

    done = recovery("plan", "-f", "-", text=fleet(sick, exported("well")))

    assert "argocd/api" in done.stdout
    assert done.stdout.endswith(
        "2 applications: 1 would be recovered (1 of them only if a closer look finds a crash loop; --trees tells), "
        "0 wait, 0 held back, 0 require manual intervention, 1 match no policy\n"
    )


def test_version() -> None:
    assert recovery("--version").stdout.strip() == __version__


ILL = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "cart", "namespace": "argocd", "uid": "u"},
    "spec": {"destination": {"server": "https://kubernetes.default.svc"}},
    "status": {"sync": {"status": "Synced", "revision": "b"}, "health": {"status": "Progressing"}},
}
TREE = {"nodes": [{"kind": "Pod", "name": "p", "health": {"status": "Degraded", "message": "Back-off pulling image: not found"}, "info": [{"name": "Status Reason", "value": "ImagePullBackOff"}]}]}  # fmt: skip


def test_explain_of_a_file_needs_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "app.json").write_text(json.dumps(ILL))
    (tmp_path / "tree.json").write_text(json.dumps(TREE))

    done = recovery(
        "explain",
        "-f",
        str(tmp_path / "app.json"),
        "--tree",
        str(tmp_path / "tree.json"),
        KUBECONFIG="/no/such/file",
    )

    assert done.returncode == 0, done.stderr
    assert "cause: C31 ImageUnavailable/NotFound" in done.stdout
    assert "recommended: rollback" in done.stdout


def test_explain_of_a_file_speaks_json_as_documented(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text(json.dumps(TREE))

    done = recovery(
        "explain",
        "-f",
        "-",
        "--tree",
        str(tmp_path / "tree.json"),
        "-o",
        "json",
        text=json.dumps(ILL),
    )
    body = json.loads(done.stdout)

    assert {k: body[k] for k in ("cause", "code", "allowed")} == {
        "cause": "ImageUnavailable",
        "code": "C31",
        "allowed": ["rollback"],
    }
    assert {"evidence", "forbidden", "advice"} <= set(body)


def test_explain_reads_what_kubectl_prints_by_default(tmp_path: Path) -> None:
    import yaml

    done = recovery("explain", "-f", "-", text=yaml.safe_dump(ILL))

    assert done.returncode == 0
    assert "cause: C36 StuckProgressing (guess)" in done.stdout
    assert "argocd/cart: Synced and Progressing" in done.stdout


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        pytest.param((), "", "name a subject, or a file with -f", id="nothing"),
        pytest.param(("cart", "-f", "x"), "", "name a subject, or a file with -f", id="both"),
        pytest.param(("-f", "/no/such"), "", "/no/such: No such file or directory", id="no file"),
        pytest.param(
            ("-f", "-"),
            "kind: Deployment",
            "holds a Deployment, not an Application",
            id="another kind",
        ),
        pytest.param(("-f", "-"), "{", "- is no Application", id="half a file"),
        pytest.param(("-f", "-"), "a: [", "is neither JSON nor YAML", id="neither"),
        pytest.param(("-f", "-"), "[1]", "- is no Application", id="a list"),
    ],
)
def test_explain_says_what_is_wrong_with_its_input(
    words: tuple[str, ...], text: str, says: str
) -> None:
    done = recovery("explain", *words, text=text)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param((), "name one application, or ask for --all", id="nothing"),
        pytest.param(("cart", "--all"), "name one application, or ask for --all", id="both"),
        pytest.param(("cart", "-o", "x.zip"), "x.zip is no name for a bundle", id="no tar"),
    ],
)
def test_diagnose_says_how_it_is_used(words: tuple[str, ...], says: str) -> None:
    done = recovery("diagnose", *words)

    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_diagnose_of_a_cluster_that_does_not_answer_leaves_no_file(tmp_path: Path) -> None:
    done = recovery(
        "diagnose", "cart", "-o", str(tmp_path / "b.tar.gz"), KUBECONFIG="/no/such/file"
    )

    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_check_goes_on_after_a_missing_file_and_says_everything_as_one_document(
    tmp_path: Path,
) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(
        "recovery_policies: [{name: a, condition: {type: application, health: Degraded}, actions: [{type: refresh}]}]"
    )
    bad = tmp_path / "bad.yaml"
    bad.write_text("recovery_policies: 3")

    done = recovery("check", "/no/such/file", str(bad), str(good), "-o", "json")

    assert done.returncode == 2
    assert [(row["file"], row["level"]) for row in json.loads(done.stdout)] == [
        ("/no/such/file", "error"),
        (str(bad), "error"),
    ]
    assert json.loads(recovery("check", str(good), "-o", "json").stdout) == []


def test_a_pipeline_may_take_warnings_for_errors_and_knows_the_channels() -> None:
    assert recovery("check", "config/policies.yaml").returncode == 0
    assert recovery("check", "--strict", "config/policies.yaml").returncode == 1

    named = recovery("check", "config/policies.yaml", "--channels", "slack,heartbeat")

    assert named.returncode == 1
    assert (
        "names channel 'email', which the Secret recovery-channels lacks; it has slack"
        in named.stdout
    )
    assert (
        recovery("check", "config/policies.yaml", "--channels", "slack,email,pagerduty").returncode
        == 0
    )


def test_no_option_of_a_command_is_taken_for_one_of_kubectls() -> None:
    """Both are kept by their name: one of the same name would point the command elsewhere."""
    theirs = {flag.name for flag in flags()}
    for name in COMMANDS:
        names = [param.name for param in loaded(name).params]
        assert len(names) == len(set(names)), f"{name}: {sorted(names)}"
        if name in OFFLINE:
            assert not theirs & set(names), name
