"""Looking at clusters, at Git and at Argo CD's API over the wire: what each answer is taken for,
and what is never shown."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.argocd.api import ArgoCDAPI
from recovery.causes.operations import missing_kind
from recovery.kube.client import SECRETS
from recovery.kube.errors import Forbidden, KubeError, Unauthorized, Unavailable
from recovery.kube.remote import Remotes
from recovery.model.connection import Verdict
from recovery.observe.probes import ask_git, connect, witness
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from tests.answering import Answering
from tests.builders import NOW, an_application

GIT = "https://git.example/a b/shop.git"


def encoded(**data: str) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


async def hub(**secrets: dict[str, Any]) -> Cluster:
    cluster = Cluster(virtual.VirtualClock())
    for name, body in secrets.items():
        meta = {"name": name, "labels": {"argocd.argoproj.io/secret-type": "cluster"}} | body.pop(
            "metadata", {}
        )
        await cluster.create(SECRETS, "argocd", {"metadata": meta, "data": encoded(**body)})
    return cluster


# Other clusters


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, "ok", Verdict.reachable),
        (401, {"message": "Unauthorized"}, Verdict.credentials_refused),
        (403, {"message": "forbidden"}, Verdict.reachable),
        (500, "[-]etcd failed", Verdict.api_partial),
        (302, "https://elsewhere.example/", Verdict.no_evidence),
        (200, "<html>sign in</html>", Verdict.no_evidence),
    ],
)
async def test_an_answer_of_readyz_is_a_verdict(status: int, body: Any, verdict: Verdict) -> None:
    async with Answering() as there:
        there.answers["/readyz"] = (status, body)
        remotes = Remotes(
            await hub(
                a={"name": "a", "server": there.url, "config": '{"bearerToken": "s3cret-token"}'}
            ),
            "argocd",
            ("a",),
        )
        remote = await remotes.to(there.url)
        assert remote is not None

        found = await connect(remote, NOW)
        await remotes.close()

    assert found.verdict is verdict, found.message
    assert "s3cret" not in found.message
    assert there.asked[0][2]["Authorization"] == "Bearer s3cret-token"
    assert len(there.asked) == 1, "no redirect is followed with a token in hand"


async def test_nobody_there_is_unreachable() -> None:
    remotes = Remotes(
        await hub(a={"server": "http://127.0.0.1:1", "config": "{}"}), "argocd", ("a",)
    )
    remote = await remotes.to("http://127.0.0.1:1")
    assert remote is not None

    assert (await connect(remote, NOW)).verdict is Verdict.unreachable
    await remotes.close()


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({"server": "https://x", "config": "{broken"}, "not the JSON that Argo CD expects"),
        (
            {"server": "https://x", "config": '{"tlsClientConfig": {"caData": "bm8gY2VydA=="}}'},
            "certificates cannot be read",
        ),
        (
            {
                "server": "https://x",
                "config": '{"tlsClientConfig": {"certData": "eA==", "keyData": "eA=="}}',
            },
            "certificates cannot be read",
        ),
        (
            {"server": "https://x", "config": '{"execProviderConfig": {"command": "aws"}}'},
            "only Argo CD can use",
        ),
        (
            {"server": "https://x", "config": '{"awsAuthConfig": {"clusterName": "x"}}'},
            "only Argo CD can use",
        ),
        ({"config": "{}"}, "names no server"),
        (
            {"server": "https://x", "config": "{}", "metadata": {"labels": {}}},
            "not a cluster Secret",
        ),
    ],
)
async def test_a_secret_that_cannot_be_used_says_why_and_shows_nothing(
    secret: dict[str, Any], words: str
) -> None:
    remotes = Remotes(await hub(a=secret), "argocd", ("a", "missing"))

    first, second = await remotes.known()

    assert words in first.trouble
    assert "there is no such Secret" in second.trouble
    assert await remotes.to("https://x") is None


async def test_a_rotated_token_is_used_at_once_when_told_to_read_again() -> None:
    async with Answering() as there:
        there.answers["/readyz"] = (200, "ok")
        cluster = await hub(a={"server": there.url, "config": '{"bearerToken": "old"}'})
        remotes = Remotes(cluster, "argocd", ("a",))
        for token in ("old", "new"):
            await cluster.patch(
                SECRETS, "argocd", "a", {"data": encoded(config=json.dumps({"bearerToken": token}))}
            )
            remotes.forget()
            remote = await remotes.to(there.url)
            assert remote is not None
            await connect(remote, NOW)
        await remotes.close()

    assert [asked[2]["Authorization"] for asked in there.asked] == ["Bearer old", "Bearer new"]


# Git, and somebody outside


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.reachable),
        (401, Verdict.reachable),
        (404, Verdict.reachable),
        (429, Verdict.rate_limited),
        (503, Verdict.unreachable),
    ],
)
async def test_any_answer_of_a_git_server_says_that_it_is_there(
    status: int, verdict: Verdict
) -> None:
    async with Answering() as there:
        there.answers["/shop.git/info/refs?service=git-upload-pack"] = (status, "x")

        assert (await ask_git(f"{there.url}/shop.git", NOW)).verdict is verdict


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://127.0.0.1:1/x.git", Verdict.unreachable),
        ("http://no.such.host.invalid/x.git", Verdict.dns),
        ("git@git.example:shop.git", Verdict.no_evidence),
        ("https://***@git.example/shop.git", Verdict.no_evidence),
    ],
)
async def test_a_git_server_that_cannot_be_asked(url: str, verdict: Verdict) -> None:
    assert (await ask_git(url, NOW)).verdict is verdict


async def test_a_witness_is_anybody_who_answers() -> None:
    async with Answering() as there:
        assert "answered 404" in await witness(f"{there.url}/anything")
    assert await witness("http://127.0.0.1:1/") == ""


# Argo CD's API


def api(there: Answering, **how: Any) -> ArgoCDAPI:
    return ArgoCDAPI(there.url, token="t0ken", **how)


async def test_one_repository_is_one_segment_of_the_path() -> None:
    async with Answering() as there:
        there.answers["/api/v1/repositories"] = (200, {"branches": ["main"]})
        argocd = api(there)
        await argocd.test_repository(GIT, "shop", "git")
        await argocd.test_repository("https://charts.example", "", "helm")
        await argocd.close()

    assert [asked[1] for asked in there.asked] == [
        "/api/v1/repositories/https%3A%2F%2Fgit.example%2Fa%20b%2Fshop.git/refs?appProject=shop",
        "/api/v1/repositories/https%3A%2F%2Fcharts.example/helmcharts",
    ]


async def test_lists_are_read_as_far_as_they_can_be() -> None:
    async with Answering() as there:
        there.answers["/api/v1/clusters"] = (
            200,
            {"items": [{"server": "https://a", "name": "a", "info": {}}, {"server": 7}, None]},
        )
        there.answers["/api/v1/repositories"] = (200, {"items": None})
        argocd = api(there)

        assert [c.name for c in await argocd.clusters()] == ["a"]
        assert await argocd.repositories() == ()
        await argocd.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (200, "<html>sign in</html>", Unavailable, ""),
        (502, "<html>bad gateway</html>", Unavailable, ""),
        (
            401,
            {"error": "x", "code": 16, "message": "invalid session: token is expired"},
            Unauthorized,
            "invalid session: token is expired",
        ),
        (
            403,
            {"error": "x", "code": 7, "message": "permission denied"},
            Forbidden,
            "permission denied",
        ),
    ],
    ids=["HTML instead of JSON", "a proxy's error", "expired token", "no right"],
)
async def test_what_is_no_answer_of_argo_cd_is_an_error(
    status: int, body: Any, kind: type[KubeError], told: str
) -> None:
    async with Answering() as there:
        there.answers["/api/v1/"] = (status, body)
        argocd = api(there)
        with pytest.raises(kind) as error:
            await argocd.clusters()
        await argocd.close()

    assert error.value.told == told
    assert "t0ken" not in str(error.value)


async def test_a_commit_is_described_by_its_name_its_author_and_its_date() -> None:
    """As server/application/application.go:RevisionMetadata answers (seen on 3.2)."""
    bad = "b" * 40
    async with Answering() as there:
        body = {
            "author": "Dana Dev <dana@acme.example>",
            "date": "2026-03-02T12:00:00Z",
            "message": "Run cart 2\n\nfor all\n",
            "signatureInfo": "",
        }
        there.answers[f"/api/v1/applications/cart/revisions/{bad}/metadata"] = (200, body)
        argocd = api(there)
        commit = await argocd.commit(an_application(), 0, bad)
        await argocd.commit(
            an_application(repositories=("https://git.example/a.git", "https://git.example/b.git")),
            1,
            bad,
        )
        await argocd.close()

    assert str(commit) == 'bbbbbbb "Run cart 2" by Dana Dev, 2026-03-02 12:00 UTC'
    assert "appNamespace=argocd" in there.asked[0][1]
    assert "sourceIndex" not in there.asked[0][1]
    assert "sourceIndex=1" in there.asked[1][1]


async def test_a_live_read_reads_one_resource_and_never_a_secret() -> None:
    nodes = [
        {"kind": "Secret", "version": "v1", "namespace": "shop", "name": "s", "uid": "1"},
        {
            "kind": "Deployment",
            "group": "apps",
            "version": "v1",
            "namespace": "shop",
            "name": "web",
            "uid": "2",
        },
    ]
    async with Answering() as there:
        refused = "error getting resource: dial tcp: connect: connection refused"
        there.answers["/api/v1/applications/cart/resource"] = (500, {"message": refused})
        there.answers["/api/v1/applications/cart/resource-tree"] = (200, {"nodes": nodes})
        argocd = api(there)
        with pytest.raises(Unavailable) as error:
            await argocd.live_read(an_application())
        there.answers["/api/v1/applications/cart/resource-tree"] = (200, {"nodes": nodes[:1]})
        nothing = await argocd.live_read(an_application())
        await argocd.close()

    assert error.value.told == refused
    assert "kind=Deployment" in there.asked[1][1]
    assert nothing == ""


@pytest.mark.parametrize("part", ["resource-tree", "resource"])
async def test_argo_cds_own_trouble_says_nothing_about_a_cluster(part: str) -> None:
    node = {
        "kind": "Deployment",
        "group": "apps",
        "version": "v1",
        "namespace": "shop",
        "name": "web",
        "uid": "2",
    }
    async with Answering() as there:
        there.answers["/api/v1/applications/cart/resource"] = (500, {"message": "x"})
        there.answers["/api/v1/applications/cart/resource-tree"] = (
            200,
            {"nodes": [None, {"health": 7}, node]},
        )
        there.answers[f"/api/v1/applications/cart/{part}?"] = (
            500,
            {
                "message": "error getting app resources: dial tcp redis:6379: connect: connection refused"
            },
        )
        argocd = api(there)
        with pytest.raises(Unavailable) as error:
            await argocd.live_read(an_application())
        await argocd.close()

    assert error.value.told == ""


async def test_what_an_application_wants_and_what_it_mounts() -> None:
    template = {
        "spec": {
            "volumes": [
                {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "v", "hostPath": {"path": "/var"}},
                {"name": "n", "nfs": {"server": "x"}},
                {"name": "e", "emptyDir": {}},
                {"name": "c", "configMap": {"name": "x"}},
            ]
        }
    }
    items = [
        {
            "group": "apps",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "targetState": json.dumps({"apiVersion": "apps/v1", "spec": {"template": template}}),
        },
        {
            "kind": "ConfigMap",
            "namespace": "shop",
            "name": "c",
            "targetState": json.dumps({"apiVersion": "v1", "data": {}}),
        },
        {"kind": "Job", "name": "hook", "hook": True, "targetState": "{}"},
        {"kind": "Service", "name": "gone", "targetState": "null"},
    ]
    async with Answering() as there:
        there.answers["/api/v1/applications/cart/managed-resources"] = (200, {"items": items})
        argocd = api(there)
        found = await argocd.managed(an_application())
        await argocd.close()

    assert json.loads(msgspec.json.encode(found)) == [
        {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "volumes": ["persistentVolumeClaim volume d", "hostPath volume v", "nfs volume n"],
        },
        {
            "group": "",
            "version": "v1",
            "kind": "ConfigMap",
            "namespace": "shop",
            "name": "c",
            "volumes": [],
        },
    ]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Self-signed, as Argo CD's own is."""
    folder = tmp_path_factory.mktemp("tls")
    crt, key = folder / "tls.crt", folder / "tls.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *names,
        "-keyout",
        str(key),
        "-out",
        str(crt),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return crt, key


@pytest.mark.parametrize(("how", "taken"), [("its CA", True), ("no CA", False), ("insecure", True)])
async def test_argo_cds_certificate_is_verified_unless_told_otherwise(
    certificate: tuple[Path, Path], how: str, taken: bool
) -> None:
    async with Answering().over_tls(*certificate) as there:
        there.answers["/api/v1/clusters"] = (200, {"items": [{"name": "a", "server": "https://a"}]})
        argocd = api(
            there,
            ca_file=str(certificate[0]) if how == "its CA" else "",
            insecure=how == "insecure",
        )
        told, listed = "", []
        try:
            listed = [c.name for c in await argocd.clusters()]
        except Unavailable as error:
            told = str(error).lower()
        await argocd.close()

    assert ("certificate" in told) is not taken
    assert listed == (["a"] if taken else [])
    assert bool(there.asked) is taken, "no token is sent to whoever cannot prove who he is"


@pytest.mark.parametrize(("with_ca", "verdict"), [(True, Verdict.reachable), (False, Verdict.tls)])
async def test_a_clusters_certificate_is_verified_by_the_ca_in_its_secret(
    certificate: tuple[Path, Path], with_ca: bool, verdict: Verdict
) -> None:
    ca = base64.b64encode("# Zürich\n".encode() + certificate[0].read_bytes()).decode()
    config = json.dumps(
        {"bearerToken": "t", "tlsClientConfig": {"caData": ca if with_ca else None}}
    )
    async with Answering().over_tls(*certificate) as there:
        there.answers["/readyz"] = (200, "ok")
        remotes = Remotes(
            await hub(a={"server": f"{there.url}/", "config": config}), "argocd", ("a",)
        )
        remote = await remotes.to(there.url)
        assert remote is not None, (await remotes.known())[0].trouble
        found = await connect(remote, NOW)
        await remotes.close()

    assert found.verdict is verdict, found.message


async def test_a_token_file_is_read_anew_for_every_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with Answering() as there:
        there.answers["/api/version"] = (200, {})
        argocd = ArgoCDAPI(there.url, token_file=str(token))
        for content in ("first", "second"):
            token.write_text(content)
            await argocd.alive()
        token.write_bytes(b"\xff\xfe")
        with pytest.raises(Unavailable, match="ARGOCD_TOKEN_FILE"):
            await argocd.alive()
        await argocd.close()

    assert [asked[2]["Authorization"] for asked in there.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('could not find version "v1alpha1/applications" of argoproj.io/Foo', "argoproj.io/Foo"),
        ('could not find version "v1" of secret.corp/Vault', "secret.corp/v1/Vault"),
        ('could not find version "../../api" of x/Y', ""),
    ],
)
def test_a_version_that_somebody_writes_is_one_word(words: str, kind: str) -> None:
    assert "applications" not in missing_kind(words)
    assert missing_kind(words) in (kind, "")
