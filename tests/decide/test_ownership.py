"""What proves that a live object is an Application's: a table of marks, by method, version and
AppProject."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from recovery.argocd.ownership import Ownership
from recovery.decide.ownership import Tracking, unpermitted, untracked
from recovery.kube.client import DEPLOYMENTS, STATEFUL_SETS, Resource
from recovery.model.application import Destination, Permitted, Project
from recovery.model.argocd_version import ArgoCDFeatures
from recovery.model.connection import Cluster
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster as Kube
from tests.builders import an_application

APP = an_application(name="cart")
MARK = "cart:apps/Deployment:shop/web"
V2, V3, UNKNOWN = ArgoCDFeatures((2, 14, 9)), ArgoCDFeatures((3, 2, 11)), ArgoCDFeatures()


def live(
    mark: str = "",
    label: str = "",
    installation: str = "",
    name: str = "web",
    namespace: str = "shop",
) -> dict[str, Any]:
    notes = {"argocd.argoproj.io/tracking-id": mark} if mark else {}
    notes |= {"argocd.argoproj.io/installation-id": installation} if installation else {}
    labels = {"app.kubernetes.io/instance": label} if label else {}
    meta = {"name": name, "namespace": namespace, "annotations": notes, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta}


ANNOTATION, LABEL, BOTH, UNSET = (
    Tracking("annotation"),
    Tracking("label"),
    Tracking("annotation+label"),
    Tracking(),
)


@pytest.mark.parametrize(
    ("tracking", "version", "item", "why"),
    [
        pytest.param(ANNOTATION, V3, live(MARK), "", id="its own annotation"),
        pytest.param(
            ANNOTATION,
            V3,
            live(label="cart"),
            "has no annotation",
            id="a label proves nothing where annotations do",
        ),
        pytest.param(
            ANNOTATION,
            V3,
            live("other:apps/Deployment:shop/web"),
            "names another application",
            id="another application's",
        ),
        pytest.param(
            ANNOTATION,
            V3,
            live("cart:apps/Deployment:shop/api"),
            "of another object",
            id="copied from another object",
        ),
        pytest.param(
            ANNOTATION,
            V3,
            live("cart:apps/Deployment:prod/web"),
            "of another object",
            id="copied from another namespace",
        ),
        pytest.param(
            ANNOTATION,
            V3,
            live("cart:apps/StatefulSet:shop/web"),
            "of another object",
            id="copied from another kind",
        ),
        pytest.param(ANNOTATION, V3, live("cart"), "of another object", id="a mark that is none"),
        pytest.param(
            ANNOTATION, V3, live(MARK, installation="b"), "installation-id", id="another Argo CD's"
        ),
        pytest.param(
            Tracking("annotation", installation="a"),
            V3,
            live(MARK, installation="a"),
            "",
            id="this Argo CD's by ID",
        ),
        pytest.param(
            Tracking("annotation", installation="a"),
            V3,
            live(MARK),
            "installation-id",
            id="an ID is set and it has none",
        ),
        pytest.param(LABEL, V3, live(label="cart"), "", id="by label where that is the method"),
        pytest.param(
            LABEL, V3, live(MARK), "its label", id="an annotation proves nothing where labels do"
        ),
        pytest.param(LABEL, V3, live(label="other"), "its label", id="another's label"),
        pytest.param(
            BOTH, V3, live(label="cart"), "has no annotation", id="both: the annotation counts"
        ),
        pytest.param(BOTH, V3, live(MARK), "", id="both: the annotation suffices"),
        pytest.param(
            Tracking("label", "example.com/app"),
            V3,
            live(label="cart"),
            "example.com/app",
            id="another label key",
        ),
        pytest.param(UNSET, V2, live(label="cart"), "", id="not set: 2.14 tracks by label"),
        pytest.param(
            UNSET,
            V3,
            live(label="cart"),
            "has no annotation",
            id="not set: 3.x tracks by annotation",
        ),
        pytest.param(
            UNSET,
            UNKNOWN,
            live(label="cart"),
            "has no annotation",
            id="not set, version unknown: a label proves nothing",
        ),
        pytest.param(
            UNSET, UNKNOWN, live(MARK), "", id="not set, version unknown: an annotation does"
        ),
        pytest.param(
            Tracking("nonsense"),
            V3,
            live(label="cart"),
            "has no annotation",
            id="a method that is none",
        ),
    ],
)
def test_marks(tracking: Tracking, version: ArgoCDFeatures, item: dict[str, Any], why: str) -> None:
    said = untracked(APP, item, tracking, version, "argocd")
    assert (why in said) if why else said == ""


def test_an_application_in_another_namespace_is_called_with_it() -> None:
    app = structs.replace(APP, namespace="team-a")
    assert untracked(app, live(MARK), ANNOTATION, V3, "argocd") != ""
    assert (
        untracked(app, live("team-a_cart:apps/Deployment:shop/web"), ANNOTATION, V3, "argocd") == ""
    )
    assert untracked(app, live(label="team-a_cart"), LABEL, V3, "argocd") == ""


HERE = "https://kubernetes.default.svc"
OURS = Cluster(server=HERE, name="in-cluster")


@pytest.mark.parametrize(
    ("destinations", "namespace", "why"),
    [
        pytest.param((Permitted(server=HERE, namespace="shop"),), "shop", "", id="named"),
        pytest.param((Permitted(server=HERE, namespace="shop-*"),), "shop-eu", "", id="by glob"),
        pytest.param(
            (Permitted(name="in-cluster", namespace="*"),), "shop", "", id="the cluster by name"
        ),
        pytest.param(
            (Permitted(server=HERE, namespace="shop"),),
            "kube-system",
            "does not permit namespace kube-system",
            id="another",
        ),
        pytest.param(
            (Permitted(server="https://far", namespace="*"),),
            "shop",
            "does not permit",
            id="another cluster's",
        ),
        pytest.param(
            (Permitted(server="*", namespace="*"), Permitted(server="*", namespace="!kube-system")),
            "kube-system",
            "does not",
            id="denied",
        ),
        pytest.param((), "shop", "does not permit", id="none"),
    ],
)
def test_the_project_has_to_permit_the_namespace(
    destinations: tuple[Permitted, ...], namespace: str, why: str
) -> None:
    said = unpermitted(APP, namespace, Project("default", destinations=destinations), OURS)
    assert (why in said) if why else said == ""


def test_a_project_may_name_our_cluster_as_its_secret_does() -> None:
    project = Project("default", destinations=(Permitted(name="prod", namespace="*"),))
    assert "does not permit" in unpermitted(APP, "shop", project, OURS)
    assert unpermitted(APP, "shop", project, Cluster(server=HERE, name="prod")) == ""


def test_without_its_project_or_on_another_cluster_nothing_here_is_its_own() -> None:
    assert "is not known" in unpermitted(APP, "shop", None, OURS)
    away = structs.replace(APP, destination=Destination(name="prod-eu"))
    assert "prod-eu" in unpermitted(
        away, "shop", Project("default", destinations=(Permitted("*", "*", "*"),)), OURS
    )


def test_where_nobody_knows_how_argo_cd_tracks_the_answer_says_what_to_set() -> None:
    assert "application.resourceTrackingMethod" in untracked(
        APP, live(label="cart"), Tracking(), ArgoCDFeatures(), "argocd"
    )
    assert "application.resourceTrackingMethod" not in untracked(
        APP, live(label="cart"), Tracking(), V3, "argocd"
    )


@pytest.mark.parametrize(
    ("what", "body", "restarted"),
    [
        pytest.param(
            STATEFUL_SETS,
            {"image": "quay.io/argoproj/argocd:v2.14.9"},
            True,
            id="Helm's name, by its image",
        ),
        pytest.param(
            DEPLOYMENTS, {"image": "quay.io/argoproj/argocd:v2.14.9"}, True, id="a Deployment"
        ),
        pytest.param(
            STATEFUL_SETS,
            {"image": "x@sha256:0123", "version": "v2.14.9"},
            True,
            id="a digest, and a label",
        ),
        pytest.param(STATEFUL_SETS, {"image": "x@sha256:0123"}, False, id="a digest alone"),
        pytest.param(
            STATEFUL_SETS,
            {"image": "quay.io/argoproj/argocd:v3.1.0"},
            False,
            id="3.x, where a label proves nothing",
        ),
    ],
)
def test_argo_cds_version_is_found_by_its_controllers_labels(
    what: Resource, body: dict[str, str], restarted: bool
) -> None:
    async def inside() -> str:
        clock = virtual.VirtualClock()
        kube = Kube(clock)
        labels = {
            "app.kubernetes.io/component": "application-controller",
            "app.kubernetes.io/part-of": "argocd",
        }
        labels |= {"app.kubernetes.io/version": body["version"]} if "version" in body else {}
        spec = {"template": {"spec": {"containers": [{"image": body["image"]}]}}}
        await kube.create(
            what,
            "argocd",
            {
                "metadata": {"name": "argo-cd-argocd-application-controller", "labels": labels},
                "spec": spec,
            },
        )
        mine = {"metadata": {"name": "cart", "labels": {"app.kubernetes.io/instance": "cart"}}}
        await kube.create(DEPLOYMENTS, "shop", mine)

        async def project(_: str) -> Project:
            return Project("default", destinations=(Permitted("*", "*", "*"),))

        found, why = await Ownership(kube, "argocd", clock, ArgoCDFeatures, project).owned(
            APP, DEPLOYMENTS, "shop", "cart"
        )
        assert (found is None) is bool(why)
        return why

    assert (virtual.run(inside()) == "") is restarted
