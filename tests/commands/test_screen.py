"""What is on the screen of somebody on call: rows that fit, names that may be pasted, kubectl's own
flags."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
import yaml
from aiohttp import web

from recovery import __version__
from recovery.clock import SystemClock
from recovery.commands import diagnose
from recovery.commands.columns import Column, age, cut, lines, size
from recovery.commands.doctor import RIGHTS
from recovery.commands.errors import Shape
from recovery.commands.output import printed
from recovery.commands.pauses import selector
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS, RECOVERIES, SECRETS
from recovery.model.application import Application
from recovery.model.connection import Repository
from recovery.model.recovery import RecoveryPhase, Subject
from recovery.observe.adoption import ADOPTED, adoptions
from recovery.observe.pauses import read
from recovery.simulate.cluster import Cluster
from recovery.simulate.discovery import COLUMNS
from recovery.simulate.http import APIServer
from tests.builders import NOW, a_recovery, an_application, plant
from tests.commands.forked import run

NAME = "checkout-service-in-production-3f9a1c2b7d"
SUBJECT = "argocd/checkout-service-in-production"
PENDING = [
    {
        "subject": f"argocd/legacy-{n:03}",
        "policy": "sync",
        "reason": "PreExisting",
        "by": "PreExisting",
        "message": "it was unwell before",
    }
    for n in range(200)
]


class There:
    """An API server with a controller behind its service proxy, and the command at a width."""

    def __init__(self, kubeconfig: Path, cluster: Cluster) -> None:
        self.cluster, self.kubeconfig = cluster, kubeconfig
        self.body: dict[str, Any] = {}

    async def run(
        self, *words: str, columns: int | None = None, **env: str
    ) -> tuple[int, str, str]:
        width = {"COLUMNS": str(columns)} if columns else {}
        done = await asyncio.to_thread(run, *words, KUBECONFIG=str(self.kubeconfig), **width, **env)
        return done.returncode, done.stdout, done.stderr


def application(name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "project": "legacy" if name.startswith("legacy") else "shop",
            "destination": {},
            "source": {"repoURL": "https://git.example/x"},
        },
    }


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[There]:
    cluster = Cluster(SystemClock())
    subject = Subject("Application", "argocd", "checkout-service-in-production", "u")
    recovery = a_recovery(NAME, NOW, subject=subject, phase=RecoveryPhase.Stalled, resolved_at=None)
    await plant(cluster, recovery)
    await cluster.create(
        CONFIG_MAPS, "gitops-system", {"metadata": {"name": "recovery-policies"}, "data": {}}
    )
    for n in range(3):
        await cluster.create(APPLICATIONS, "argocd", application(f"legacy-{n:03}", team="old"))
    made = There(tmp_path / "kubeconfig", cluster)
    row = {
        "name": NAME,
        "subject": SUBJECT,
        "policy": "application-health-degraded",
        "phase": "Stalled",
        "attempt": 3,
        "maxAttempts": 3,
    }
    row |= {
        "openedTime": "2026-03-02T12:00:00Z",
        "message": "out of remedies after 3 attempts " * 8,
    }
    made.body = {
        "version": "0.2.0",
        "recoveries": [row],
        "pending": PENDING,
        "pending_total": 200,
        "clusters": [],
        "repositories": [],
    }

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(made.body), content_type="application/json")

    served = web.Application()
    served.router.add_get("/api/v1/recoveries", answer)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = int(runner.addresses[0][1])
    face = APIServer(cluster, lambda: port, user="ada")
    await face.start()
    made.kubeconfig.write_text(json.dumps(face.kubeconfig()))
    yield made
    await face.stop()
    await runner.cleanup()


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_each_recovery_is_one_line_with_its_whole_name_at_any_width(
    there: There, columns: int
) -> None:
    code, out, _ = await there.run("status", columns=columns)

    assert code == 0
    (line,) = [line for line in out.splitlines() if NAME in line]
    assert "Stalled" in line
    assert all(size(each) <= columns for each in out.splitlines() if not each.startswith("!")), out


async def test_many_that_are_alike_are_one_row_and_all_of_them_when_asked_for(there: There) -> None:
    _, out, _ = await there.run("status", columns=100)
    _, everything, _ = await there.run("status", "--all", columns=100)

    assert "200 subjects" in out
    assert out.count("argocd/legacy-") == 1
    assert everything.count("argocd/legacy-") == 200


async def test_a_pipe_without_columns_cuts_nothing(there: There) -> None:
    _, out, _ = await there.run("status")

    assert there.body["recoveries"][0]["message"].strip() in out


async def test_kubectls_flags_stand_before_and_after_the_command(
    there: There, tmp_path: Path
) -> None:
    body = json.loads(there.kubeconfig.read_text())
    body["contexts"].append(
        {"name": "prod", "context": {"cluster": "embedded", "user": "embedded"}}
    )
    body["current-context"] = "nowhere"
    other = tmp_path / "other"
    other.write_text(json.dumps(body))

    wrong = await there.run("status", "--kubeconfig", str(other))
    before = await there.run("--kubeconfig", str(other), "--context", "prod", "status")
    after = await there.run(
        "status", "-n", "gitops-system", "-A", "--kubeconfig", str(other), "--context", "prod"
    )
    elsewhere = await there.run("reset", NAME, "-n", "elsewhere")

    assert wrong[0] == 3
    assert (before[0], after[0], before[1]) == (0, 0, after[1])
    assert f"there is no recovery {NAME} in elsewhere" in elsewhere[2]


async def test_a_label_selects_as_kubectl_does(there: There) -> None:
    _, out, _ = await there.run("status", "-l", "team=old", "-o", "json")

    assert {row["subject"] for row in json.loads(out)["pending"]} == {
        "argocd/legacy-000",
        "argocd/legacy-001",
        "argocd/legacy-002",
    }


@pytest.mark.parametrize("named", [NAME, "checkout-service-in-production", SUBJECT])
async def test_a_recovery_may_be_named_by_its_application(there: There, named: str) -> None:
    reset = await there.run("reset", named)
    shown = await there.run("status", named, "-o", "json")
    told = await there.run("history", named)

    assert reset[0] == 0, reset
    assert [row["name"] for row in json.loads(shown[1])["recoveries"]] == [NAME]
    assert NAME in told[1]


async def test_a_pause_of_something_unknown_says_so(there: There) -> None:
    known = await there.run("pause", "legacy-001")
    unknown = await there.run("pause", "argocd/nonexistent", "--for", "1h")

    assert (known[0], known[2]) == (0, "")
    assert unknown[0] == 0
    assert "no Application nonexistent is known in namespace argocd" in unknown[2]
    _, out, _ = await there.run("resume")
    assert "argocd.legacy-001 by ada" in out


async def test_adopt_takes_on_what_is_named_and_nothing_else(there: There) -> None:
    dry = await there.run("adopt", "--project", "legacy", "--dry-run")
    assert "3 applications would be adopted; nothing is changed" in dry[1]
    assert ADOPTED not in _annotations(there)

    one = await there.run("adopt", "legacy-001")
    none = await there.run("adopt", "argocd/no-such")

    assert one[0] == 0, one
    assert (none[0], "none of these is suppressed" in none[2]) == (1, True)
    found = adoptions(_annotations(there))
    assert found.of(_app("legacy-001")) is not None
    assert found.of(_app("legacy-002")) is None

    await there.run("adopt", "--project", "leg*")
    found = adoptions(_annotations(there))
    assert found.of(_app("legacy-002")) is not None
    assert found.of(an_application(name="web", namespace="argocd", project="shop")) is None
    assert len(found.chosen) == 2


def _app(name: str) -> Application:
    return an_application(name=name, namespace="argocd", project="legacy")


def _annotations(there: There) -> dict[str, str]:
    held = there.cluster.find(CONFIG_MAPS, "gitops-system", "recovery-policies") or {}
    found: dict[str, str] = held["metadata"].get("annotations") or {}
    return found


@pytest.mark.parametrize(
    "text",
    ["[", '{"at": 1}', '[{"at": "2026-01-01T00:00:00"}]', '[{"at": "2026-01-01T00:00:00Z"}]'],
    ids=["half", "no list", "no zone", "nobody"],
)
def test_an_adoption_that_names_nobody_takes_nobody_on(text: str) -> None:
    assert adoptions({ADOPTED: text}).of(_app("x")) is None


def test_columns_are_left_out_before_anything_is_broken() -> None:
    columns = (Column("NAME"), Column("POLICY", rank=2), Column("WORDS", rank=1, words=True))
    row = ("a-long-identifier", "a-policy", "many words that say much")

    assert lines(columns, [row], 200)[1].split("  ") == [
        "a-long-identifier",
        "a-policy",
        "many words that say much",
    ]
    assert lines(columns, [row], 40)[1] == "a-long-identifier  many words that sa..."
    assert lines(columns, [row], 20)[1] == "a-long-identifier"


def test_what_others_wrote_breaks_no_row() -> None:
    (_, line) = lines(
        (Column("NAME"), Column("WORDS", words=True)), [("a", "one\ntwo\x1b[31m\u202e")], 80
    )

    assert "\n" not in line
    assert "\x1b" not in line
    assert (size("日本"), cut("日本語のテキスト", 9)) == (4, "日本語...")


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7260, "2h1m"),
        (36000, "10h"),
        (172800, "2d"),
    ],
)
def test_an_age_is_as_kubectl_writes_it(seconds: int, says: str) -> None:
    from datetime import timedelta

    assert age(NOW, NOW + timedelta(seconds=seconds)) == says


def test_the_embedded_tables_are_those_of_the_crd() -> None:
    crd = yaml.safe_load((Path(__file__).parents[2] / "manifests/crds/recoveries.yaml").read_text())
    printed = crd["spec"]["versions"][0]["additionalPrinterColumns"]

    assert [(c["name"], c["jsonPath"]) for c in printed] == list(COLUMNS[RECOVERIES])


async def test_doctor_says_what_is_missing_and_what_to_do(there: There) -> None:
    code, out, _ = await there.run("doctor", "-o", "json")
    found = {row["check"]: row for row in json.loads(out)}

    assert code == 1
    assert found["kubernetes"]["state"] == found["crd"]["state"] == found["argocd"]["state"] == "ok"
    assert found["policies"]["state"] == "error"
    assert (
        found["channels"]["state"],
        "no notification is sent" in found["channels"]["message"],
    ) == (
        "warning",
        True,
    )
    assert found["controller"]["message"] == f"version 0.2.0, this command {__version__}"

    _, table, _ = await there.run("doctor", columns=80)
    assert "Try: create it as the README's Channels says" in table


async def test_doctor_knows_a_channel_that_the_secret_lacks_and_shows_no_url(there: There) -> None:
    policies = "recovery_policies: [{name: a, condition: {type: application, health: Degraded}, actions: [{type: notify, parameters: {channels: [slack]}}]}]"
    body = {
        "kind": "ConfigMap",
        "metadata": {"name": "recovery-policies"},
        "data": {"policies.yaml": policies},
    }
    await there.cluster.update(CONFIG_MAPS, "gitops-system", "recovery-policies", body)
    await there.cluster.create(
        SECRETS,
        "gitops-system",
        {"metadata": {"name": "recovery-channels"}, "data": {"pager": "c2VjcmV0LXVybA=="}},
    )

    _, out, err = await there.run("doctor")

    assert "named in the policies, and not in the Secret: slack" in out
    assert "secret-url" not in out + err
    assert "c2VjcmV0" not in out + err


def test_what_the_doctor_asks_for_is_what_the_manifests_grant() -> None:
    granted: set[tuple[str, str, str, tuple[str, ...], str]] = set()
    for file, where in (("rbac.yaml", "ours"), ("in-argocd.yaml", "argocd")):
        for document in yaml.safe_load_all(
            (Path(__file__).parents[2] / "manifests/base" / file).read_text()
        ):
            for item in document.get("items", [document]):
                if (
                    item["kind"] != "Role"
                    or item["metadata"]["name"] != "gitops-recovery-controller"
                ):
                    continue
                for rule in item["rules"]:
                    name = (rule.get("resourceNames") or [""])[0]
                    granted |= {
                        (where, group, each, tuple(rule["verbs"]), name)
                        for group in rule["apiGroups"]
                        for each in rule["resources"]
                    }

    assert set(RIGHTS) == granted


async def test_wait_ends_with_the_phase_that_was_asked_for_or_says_what_came_instead(
    there: There,
) -> None:
    stalled = await there.run("wait", "checkout-service-in-production", "--for", "stalled")
    late = await there.run("wait", NAME, "--timeout", "1s")
    wrong = await there.run("wait", NAME, "--for", "Recovered")

    assert (stalled[0], NAME in stalled[1]) == (0, True)
    assert (late[0], "not within 1s: Stalled" in late[2]) == (1, True)
    assert (wrong[0], "is not one of Remediating" in wrong[2]) == (2, True)


async def test_a_pause_by_a_records_name_is_for_its_subject_alone(there: There) -> None:
    url = "https://git.example/*"
    subject = Subject("Repository", "", url, "repository-1")
    record = a_recovery(
        "git-1", NOW, subject=subject, phase=RecoveryPhase.Stalled, resolved_at=None
    )
    await plant(there.cluster, record)

    assert (await there.run("pause", "git-1"))[0] == 0

    data = (there.cluster.find(CONFIG_MAPS, "gitops-system", "recovery-pauses") or {})["data"]
    (entry,) = [read(name, text) for name, text in data.items()]
    assert entry.selector.selects(Repository(url=url))
    assert not entry.selector.selects(Repository(url="https://git.example/shop.git"))


@pytest.mark.parametrize(
    "subject", ["repository/https://[::1]/x.git", "repository/https://git.example/a*"]
)
def test_an_address_may_have_brackets_and_what_a_person_types_may_be_a_glob(subject: str) -> None:
    url = subject.partition("/")[2].replace("*", "bc")

    assert selector(subject, "").selects(Repository(url=url))


async def test_what_a_policy_file_says_forges_no_line(there: There, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text('"\\e]0;pwn\\a\\nother.yaml: error: forged": 1\nrecovery_policies: []\n')

    _, out, _ = await there.run("check", str(bad))

    assert all(line.startswith(str(bad)) for line in out.splitlines()), out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("recovery expl", ["explain"]),
        ("recovery explain check", [NAME]),
        ("recovery explain leg", ["legacy-000", "legacy-001", "legacy-002"]),
        ("recovery release argocd/legacy-001", ["argocd/legacy-001"]),
        ("recovery release check", []),
        ("recovery wait nobody", []),
    ],
)
async def test_names_are_completed(there: There, words: str, offered: list[str]) -> None:
    count = str(len(words.split()) - 1)
    code, out, err = await there.run(
        _RECOVERY_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count
    )

    assert (code, out.split(), err) == (0, offered, "")


async def test_where_no_cluster_answers_nothing_is_completed_and_nothing_said(there: There) -> None:
    there.kubeconfig.write_text("{")
    code, out, err = await there.run(
        _RECOVERY_COMPLETE="complete_bash", COMP_WORDS="recovery explain a", COMP_CWORD="2"
    )

    assert (code, out.strip(), err) == (0, "", "")


def test_diagnose_ends_with_one_where_something_could_not_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "b.tar.gz"
    bundle.write_bytes(b"")
    denied = {
        "section": "applications",
        "state": "denied",
        "why": "applications.argoproj.io is forbidden",
    }
    report = {
        "applications": [],
        "missing": [],
        "collected": [denied, {"section": "logs", "state": "collected", "why": ""}],
    }
    monkeypatch.setattr(diagnose, "reach", lambda _: report)

    with pytest.raises(typer.Exit) as ended:
        diagnose.diagnose(everything=True, output=bundle)

    assert ended.value.exit_code == 1
    assert capsys.readouterr().out.startswith(
        "denied: applications: applications.argoproj.io is forbidden"
    )


@pytest.mark.parametrize("shape", [Shape.json, Shape.yaml])
def test_what_scripts_read_turns_no_text_around(
    shape: Shape, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "cart\u202egpj\x1b[2J\u0007"
    printed({"name": hostile}, shape)
    out = capsys.readouterr().out
    assert yaml.safe_load(out) == {"name": hostile}
    assert not {"\u202e", "\x1b", "\u0007"} & set(out)
